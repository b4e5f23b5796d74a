"""What came of broadcasts and sequences: its own edge, for it is marketers who look at it."""
