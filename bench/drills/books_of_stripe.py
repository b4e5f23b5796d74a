"""The fake Stripe's own books, asked over its API, and held against ours: what was paid must be open, once, with one receipt."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import stripe

from bench.drills.ground import Ground, Sums
from bench.drills.mailbox import Mailbox
from tests.fakes.stripe.steering import Steering

GONE, PARTLY, DISPUTED, ENDING, FAILING = 8, 4, 3, 5, 5
OPEN = {"active", "trialing"}
SHUT = {"canceled", "unpaid", "incomplete_expired"}
OURS = """
SELECT c.public_id, c.state, e.id, e.closed_at IS NULL
FROM checkouts c LEFT JOIN entitlements e ON e.checkout_id = c.id
"""
SUBSCRIBED = """
SELECT s.stripe_id, e.id, e.closed_at IS NULL FROM subscriptions s LEFT JOIN entitlements e ON e.subscription_id = s.id
"""


class Ledger:
    """What Stripe knows."""

    def __init__(self, url: str, key: str) -> None:
        self._api = stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=4).v1

    def _all(self, service: Any, **params: Any) -> list[dict[str, Any]]:
        return _patiently(lambda: [one.to_dict() for one in service.list({"limit": 100, **params}).auto_paging_iter()])

    def _charge_of(self, session: dict[str, Any]) -> dict[str, Any]:
        expanded: Any = {"expand": ["latest_charge"]}
        found: dict[str, Any] = _patiently(lambda: self._api.payment_intents.retrieve(session["payment_intent"], expanded)).to_dict()
        return found["latest_charge"]

    def sessions(self) -> list[dict[str, Any]]:
        """Those that somebody paid."""
        return [one for one in self._all(self._api.checkout.sessions) if one["payment_status"] in {"paid", "no_payment_required"}]

    def let_things_happen(self, dice: random.Random, steering: Steering) -> dict[str, int]:
        """Staff refund, banks dispute, people cancel, cards fail: some of those who bought, each in one way."""
        bought = [one for one in self.sessions() if one["mode"] == "payment"]
        subscribed = [one for one in self.sessions() if one["mode"] == "subscription"]
        dice.shuffle(bought)
        dice.shuffle(subscribed)
        for number, session in enumerate(bought[: GONE + PARTLY + DISPUTED]):
            charge = self._charge_of(session)["id"]
            if number < GONE:
                steering.refund(charge=charge)
            elif number < GONE + PARTLY:
                steering.refund(charge=charge, amount=900)
            else:
                steering.dispute(charge)
        for number, session in enumerate(subscribed[: ENDING + FAILING]):
            if number < ENDING:
                _patiently(lambda session=session: self._api.subscriptions.update(session["subscription"], {"cancel_at_period_end": True}))
            else:
                steering.card(session["customer"], "declines")
        return {"refunded": GONE, "partly": PARTLY, "disputed": DISPUTED, "ending": ENDING, "failing": FAILING}

    # Held against ours

    def hold_against(self, ground: Ground, mailbox: Mailbox, sums: Sums) -> None:
        """Purchases, subscriptions, payments and receipts, both ways."""
        sessions = self.sessions()
        self._purchases(ground, [one for one in sessions if one["mode"] == "payment"], sums)
        self._subscriptions(ground, sums)
        self._payments(ground, sums)
        self._mails(mailbox, sessions, sums)
        unsettled = ground.rows("sold", "SELECT count(*) FROM stripe_events WHERE processed_at IS NULL OR result = 'failed'")[0][0]
        sums.uncertain += unsettled
        sums.expect(not sums.lost, f"{sums.lost} who paid have not got it")
        sums.expect(not sums.duplicated, f"{sums.duplicated} came twice")
        sums.expect(not sums.uncertain, f"{sums.uncertain} are not settled")
        sums.detail |= {"paid_sessions": len(sessions)}

    def _purchases(self, ground: Ground, sessions: Iterable[dict[str, Any]], sums: Sums) -> None:
        rows = ground.rows("sold", OURS)
        ours = {row[0]: row[1:] for row in rows}
        opened = Counter(row[0] for row in rows if row[2] is not None)
        sums.duplicated += sum(count - 1 for count in opened.values())
        paid = set()
        for session in sessions:
            paid.add(session["client_reference_id"])
            state, _entitlement, is_open = ours[session["client_reference_id"]]
            charge = self._charge_of(session)
            should_be_open = not charge["refunded"] and not charge["disputed"]
            sums.lost += should_be_open and not is_open
            sums.uncertain += state != "fulfilled"
            sums.expect(should_be_open or not is_open, f"{session['id']} went back, and is open")
        free = [public_id for public_id, (_state, entitlement, _open) in ours.items() if entitlement is not None and public_id not in paid]
        sums.expect(not free, f"open and not paid: {free}")

    def _subscriptions(self, ground: Ground, sums: Sums) -> None:
        rows = ground.rows("sold", SUBSCRIBED)
        ours = {row[0]: row[1:] for row in rows}
        sums.duplicated += len(rows) - len(ours)
        theirs = {one["id"]: one["status"] for one in self._all(self._api.subscriptions, status="all")}
        for stripe_id, status in theirs.items():
            _entitlement, is_open = ours.get(stripe_id, (None, False))
            sums.lost += status in OPEN and not is_open
            sums.expect(status not in SHUT or not is_open, f"{stripe_id} is {status}, and open")
        sums.expect(ours.keys() <= theirs.keys(), f"subscriptions that Stripe does not know: {ours.keys() - theirs.keys()}")
        sums.detail["subscriptions"] = dict(Counter(theirs.values()))

    def _payments(self, ground: Ground, sums: Sums) -> None:
        rows = ground.rows("sold", "SELECT stripe_id, amount FROM payments")
        ours = {row[0]: row[1] for row in rows}
        theirs = {one["id"]: one["amount_received"] for one in self._all(self._api.payment_intents) if one["status"] == "succeeded"}
        sums.lost += len(theirs.keys() - ours.keys())
        sums.duplicated += len(rows) - len(ours) + len(ours.keys() - theirs.keys())
        wrong = [stripe_id for stripe_id in ours.keys() & theirs.keys() if ours[stripe_id] != theirs[stripe_id]]
        sums.expect(not wrong, f"amounts differ: {wrong}")
        gone = sum(one["amount"] for one in self._all(self._api.refunds))
        kept = ground.rows("sold", "SELECT coalesce(sum(amount), 0) FROM refunds")[0][0]
        sums.expect(gone == kept, f"{gone} went back at Stripe, {kept} here")
        sums.detail |= {"payments": len(theirs), "taken": sum(theirs.values()), "gone_back": gone}

    def _mails(self, mailbox: Mailbox, sessions: list[dict[str, Any]], sums: Sums) -> None:
        """Each purchase has its mail, and each renewal that was paid its receipt: the very same mail twice is one too many."""
        got = Counter((event["to"], event["subject"]) for event in mailbox.events("taken"))
        sums.duplicated += sum(count - 1 for count in mailbox.taken().values())
        reached = {to for to, _subject in got}
        missing = [one for one in sessions if one["customer_details"]["email"] not in reached]
        sums.expect(not missing, f"{len(missing)} who paid got no mail")
        renewals = Counter(
            one["customer_email"]
            for one in self._all(self._api.invoices)
            if one["billing_reason"] == "subscription_cycle" and one["amount_paid"]
        )
        subjects = Counter(subject for _to, subject in got.elements())
        sums.detail |= {"mails": sum(got.values()), "renewals": sum(renewals.values()), "subjects": dict(subjects)}


def _patiently(ask: Callable[[], Any]) -> Any:
    """What Stripe answers once it does: the drill's own questions meet with its faults too."""
    for _try in range(60):
        try:
            return ask()
        except stripe.StripeError:
            time.sleep(0.2)
    return ask()
