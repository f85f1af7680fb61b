"""Who hears about a change, and how often: consumers, positions, claims, retries, dead letters,
archive."""
