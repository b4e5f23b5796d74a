"""Who has paid: owns tiers, plans, prices, checkouts, subscriptions, payments, entitlements, and what Stripe tells.

May ask catalog and below. Never enrols anyone, and never shows a lesson: learning asks it what is open to whom.
"""
