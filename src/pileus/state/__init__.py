"""What the log means: entries, apply, rows, changes, checkpoints, digests, tablets."""
