"""What an IAM policy says: documents, conditions, decisions. Pure functions, no state."""
