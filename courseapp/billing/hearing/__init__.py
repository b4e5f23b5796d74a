"""Where Stripe's webhooks arrive, a part of billing."""
