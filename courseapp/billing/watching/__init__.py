"""Watching over what Stripe tells: events, what was missed, comparing both ways; its loops, command and pages."""
