"""What billing relies on at Stripe: the same assertions at the fake and, with STRIPE_TEST_KEY, at a sandbox of the real one."""
