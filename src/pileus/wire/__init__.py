"""AWS's grammar, spoken from botocore's models: http, protocols, signature v4, authorisation,
errors."""
