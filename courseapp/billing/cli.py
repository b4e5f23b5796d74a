"""`flask billing …`: what is sold, and how it stands with Stripe."""

from flask.cli import AppGroup

from courseapp.billing.watching.cli import reconcile

billing = AppGroup("billing", help="Paid tiers: set up, bring in line with Stripe, compare.")
billing.add_command(reconcile)
COMMANDS = (billing,)
