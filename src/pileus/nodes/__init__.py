"""The machines of one cloud: who belongs to it, how one joins or leaves, who is alive."""
