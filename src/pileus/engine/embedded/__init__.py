"""The engine of one machine: SQLite log with group commit, files for blobs, the system's clock."""
