"""What money adds up to: its own edge, for owners alone look at it, and only where something is sold."""
