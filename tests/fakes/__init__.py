"""Stand-ins for outside systems: real servers on loopback, spoken to by the same libraries as the real ones."""
