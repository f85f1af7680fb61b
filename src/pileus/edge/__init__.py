"""Who answers the door: distributions' cache, balancing, TLS."""
