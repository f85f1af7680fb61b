"""An engine in memory: every fault, every tear and every order of events follows from a seed."""
