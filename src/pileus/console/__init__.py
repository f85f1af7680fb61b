"""What the operator sees: the console's pages, and the small APIs only it needs so far."""
