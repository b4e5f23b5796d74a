"""Pages about buying: what is offered, beginning, what came of it, what one has."""
