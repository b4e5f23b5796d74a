"""A fake Stripe: a real HTTP server on loopback for tests and for trying paid tiers out offline.

    with FakeStripe(now=NOW.timestamp(), hooks=[(url, "whsec_…")]) as fake:
        client = stripe.StripeClient(fake.key, base_addresses={"api": fake.url})
        fake.steering.pass_time(days=31)            # see tests/fakes/stripe/steering.py

    python -m tests.fakes.stripe_server --port 12111 --hook http://127.0.0.1:8000/billing/webhook=whsec_…

It speaks the API version of the installed SDK and no other. It is no proof that Stripe does the same: it was written from the
SDK's types and from Stripe's documentation, and has never been compared with Stripe itself. Run the contract tests for that.

What it does, and the page of Stripe's documentation (docs.stripe.com) or the source that it was taken from
-----------------------------------------------------------------------------------------------------------
- Form bodies, errors, pages of lists, `expand`, metadata: "API Reference" (Errors, Pagination, Expanding Responses, Metadata).
- Parameters: the SDK's `stripe.params`. Unknown, missing, empty or of the wrong kind: 400 that names the parameter in
  brackets. Literals are closed, as they are at Stripe, though the SDK's types leave them open.
- Objects: the SDK's classes. A field that is not in the class cannot be sent; one that may not be null never is.
- Idempotency keys: "Idempotent requests". The same answer again, also a 500; other parameters 400; in use 409; kept for a day.
- Checkout Sessions and their page: "Checkout Sessions", "Fulfill orders", "No-cost orders", "Free trials", "Delayed
  notification payment methods". The browser goes on when checkout.session.completed was answered, after 10 seconds at most.
  A subscription is made after its payment, and a failed one leaves neither it nor an invoice: changelog of 2025-03-31.basil,
  "Checkout Sessions have lower latency and new update semantics".
- Subscriptions: "How subscriptions work" (statuses), "Using trial periods", "Cancel subscriptions", "Compare classic versus
  flexible billing mode" (the portal's cancellation is `cancel_at` alone), "Prorations", "Subscription invoices" (a renewal is
  a draft for an hour), "Automate payment retries", "Using webhooks with subscriptions" (which events, and in which order).
- Customer Portal: "Customer portal configuration", "Handle subscription downgrades" (`schedule_at_period_end`), deep links.
- Refunds: "Refund and cancel payments". Disputes: "How disputes work". Coupons and promotion codes: "Coupons and promotion codes".
- Webhooks: "Receive Stripe events in your webhook endpoint", "Verify webhook signatures manually", "Roll endpoint secrets",
  "Process undelivered webhook events" (`delivery_success=false`). Zero-decimal amounts: "Supported currencies".

What it does not do
-------------------
- Whatever the types allow and is not done here is refused by 400 `not_in_the_fake`, and a path that is not here by 404: no
  parameter is silently ignored. What Stripe checks beyond the types is checked only where a test of ours would notice:
  not the smallest and largest amounts, lengths of texts, forms of addresses, currencies that there are, numbers of metadata keys.
- No money: no fees, balance transactions, payouts, exchange; `balance_transaction` is null.
- No tax: `automatic_tax` and `tax_id_collection` are stored and change no amount. No addresses, shipping, custom fields.
- No making of subscriptions, invoices, invoice items or confirmed payment intents by the API: all begins at Checkout. No items
  added to or taken from a subscription, no mixed intervals, no usage, tiers, `price_data`, subscription schedules as objects
  (a downgrade at the period's end shows as an id in `schedule`, which cannot be fetched), quotes, credit notes, pausing,
  classic billing mode.
- Cancelling gives nothing back (`prorate`, `invoice_now`). An uncollectible or voided invoice comes of nothing but an
  incomplete subscription's end. `payment_behavior` is `allow_incomplete`. Unpaid and draft invoices are never deleted.
- A card fails or not by the button that is pressed: there are no numbers, no Radar, no Link, no wallets.
- What no page says for certain, and how it is here: a subscription is announced as incomplete and then updated to active, and
  is incomplete while its delayed first payment is under way (settings `created_as`, `while_processing`); a trial's session is
  `no_payment_required`; an invoice that needs the bank's check is announced as payment_action_required and then as
  payment_failed; a failed refund is taken off `amount_refunded`; a coupon is shared out over line items in proportion.
- A customer's credit balance counts for renewals and not at Checkout. Coupons are for all products (`applies_to` is refused).
- Stored, shown in the API and otherwise without effect: addresses, phone numbers, consent, texts of one's own, `locale`,
  `submit_type`, `tax_behavior`, `statement_descriptor`, the portal's `customer_update`. An endpoint's `api_version` changes
  what events say their version is, and not what they hold.
- Events: of each change those that billing may read; not balance.*, setup_intent.*, subscription_schedule.*,
  invoice.updated, invoice.will_be_due, payout.*, radar.*, and no thin events. Stripe promises no order; here they
  leave in the order in which things happened, unless a rule says otherwise. Retries take seconds instead of days.
- `test_clocks` of Stripe are not there; the clock is that of the whole server, and only goes forward.
- Search, Connect, files, the v2 API, restricted keys with their permissions (an answer 403 can be asked for), live mode.
- Portal links never expire; the portal changes the first item alone, has no pages for addresses, tax ids or promotion codes,
  and no confirmation step. Pages are in English, whatever `locale` says.
- Events and idempotency keys stay in memory; with `--state` objects and events outlive a restart, deliveries and keys do not.
"""

import argparse
import signal
import threading
from pathlib import Path

from tests.fakes.stripe.server import KEY, FakeStripe
from tests.fakes.stripe.steering import Steering

TICK = 10.0  # seconds

__all__ = ["KEY", "FakeStripe", "Steering", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.stripe_server", description="A fake Stripe on loopback. No money moves.")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    parser.add_argument("--key", default=KEY, help="the one key it knows; must begin with sk_test_ or rk_test_")
    parser.add_argument("--hook", action="append", default=[], metavar="URL=SECRET", help="an address that gets all events")
    parser.add_argument("--state", type=Path, help="keep what it knows in this file")
    given = parser.parse_args(arguments)
    if not given.key.startswith(("sk_test_", "rk_test_")):
        parser.error("a live key has no business here")
    hooks = [(url, secret) for url, _equals, secret in (hook.rpartition("=") for hook in given.hook)]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with FakeStripe(key=given.key, port=given.port, hooks=hooks, state=given.state) as fake:
        print(f"Ready on {fake.url}", flush=True)
        while not stop.wait(TICK):
            fake.steering.pass_time()  # none but what has gone by: who leaves it running finds subscriptions renewed


if __name__ == "__main__":
    main()
