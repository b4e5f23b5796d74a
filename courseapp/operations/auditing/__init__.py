"""Who did what: an edge of its own, for marketers see a part of it."""
