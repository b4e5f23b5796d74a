"""The owner's pages about tiers, and bringing them in line with Stripe."""
