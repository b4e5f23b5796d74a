"""Whatever happens at Stripe, and however we hear of it: after comparing, open is what Stripe's state says, and nothing else.

What Stripe's state says is worked out here a second time, from the fake's own books and in other words than the application's.
"""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from courseapp import clock
from courseapp.billing import loops, reconciling
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import Checkout, Interval, Plan, Tier
from courseapp.billing.watching.loops import bring_in_line, compare_all
from courseapp.extensions import db
from tests.billing.buying import begun, holds, price_of, synced_plan
from tests.billing.conftest import Shop
from tests.conftest import set_clock
from tests.factories import make_tier, make_user

GRACE = timedelta(days=14)
WAYS = st.sampled_from(["pay", "pay", "later_succeeds", "later_fails", "decline"])
Thing = dict[str, Any]


class Life(RuleBasedStateMachine):
    """One person, three tiers, and all that may befall them. Webhooks are held back until they are let go, twice, backwards, or never."""

    shop: Shop

    def __init__(self) -> None:
        super().__init__()
        db.session.rollback()
        self.shop.steering.heal()
        self.books = self.shop.fake.books
        self.user = make_user()
        self.small, self.large, self.single = make_tier(), make_tier(), make_tier()
        self.plans: dict[str, Plan] = {
            "small": synced_plan(self.small, amount=900),
            "large": synced_plan(self.large, amount=1900),
            "single": synced_plan(self.single, Interval.ONCE, amount=2900),
        }
        self.prices = {name: str(price_of(plan).stripe_id) for name, plan in self.plans.items()}
        self.sessions: list[str] = []
        self.address = self.user.contact.address
        self.shop.steering.rule(hold=True)
        db.session.commit()

    # --- what Stripe holds of this person ---

    def things(self, kind: str) -> list[Thing]:
        """Their objects of a kind."""
        owned = {self.books.kept[session]["customer"] for session in self.sessions}
        return [thing for thing in self.books.all(kind) if thing["customer"] in owned - {None}]

    def live(self) -> Thing | None:
        """Their subscription that has not ended."""
        return next((one for one in self.things("subscription") if one["status"] not in {"canceled", "incomplete_expired"}), None)

    def paid_charges(self) -> list[Thing]:
        """Their charges that could be given back or disputed."""
        return [one for one in self.things("charge") if one["status"] == "succeeded" and not one["disputed"] and not one["refunded"]]

    # --- what happens there ---

    @rule(name=st.sampled_from(["small", "large"]), way=WAYS)
    def subscribe(self, name: str, way: str) -> None:
        """Nobody subscribes twice: the site sends them to the portal."""
        if self.live() is None and not any(self.is_open(session) for session in self.sessions):
            self.buy(name, way)

    @rule(way=WAYS)
    def buy_once(self, way: str) -> None:
        """The site sells no one-off twice either."""
        bought = [one for one in self.sessions if self.books.kept[one]["mode"] == "payment" and not self.is_open(one)]
        if not bought:
            self.buy("single", way)

    def is_open(self, session: str) -> bool:
        """Whether somebody might still go through with a session."""
        return self.books.kept[session]["status"] == "open"

    def buy(self, name: str, way: str) -> None:
        """Begin a checkout as the site does, and go through with it."""
        customers = {self.books.kept[session]["customer"] for session in self.sessions} - {None}
        checkout: Checkout = begun(self.plans[name], self.user, **({"customer": customers.pop()} if customers else {}))
        self.sessions.append(str(checkout.stripe_id))
        db.session.commit()
        self.shop.steering.buy(self.sessions[-1], way, email=self.address)
        if way == "decline":
            gateway.expire_checkout(self.sessions[-1])

    @precondition(lambda self: self.live() is not None)
    @rule(flag=st.booleans())
    def cancel_at_the_end(self, flag: bool) -> None:
        """By the API's flag, or as the portal does it."""
        subscription = self.live()
        if subscription["status"] in {"active", "trialing"}:
            end = subscription["items"]["data"][0]["current_period_end"]
            gateway.update("subscriptions", subscription["id"], {"cancel_at_period_end": True} if flag else {"cancel_at": end})

    @precondition(lambda self: self.live() is not None)
    @rule()
    def cancel_now(self) -> None:
        """At once."""
        gateway.cancel_subscription(self.live()["id"])

    @precondition(lambda self: self.live() is not None)
    @rule(name=st.sampled_from(["small", "large"]))
    def change_plan(self, name: str) -> None:
        """To another tier."""
        subscription = self.live()
        if subscription["status"] == "active":
            item = subscription["items"]["data"][0]["id"]
            gateway.update("subscriptions", subscription["id"], {"items": [{"id": item, "price": self.prices[name]}]})

    @precondition(lambda self: self.live() is not None)
    @rule(how=st.sampled_from(["pays", "declines", "requires_action"]))
    def change_card(self, how: str) -> None:
        """Their card begins to work, or stops."""
        self.shop.steering.card(self.live()["customer"], how)

    @precondition(lambda self: self.paid_charges())
    @rule(whole=st.booleans(), which=st.integers(0, 5))
    def refund(self, whole: bool, which: int) -> None:
        """All or a part of one payment."""
        charge = self.paid_charges()[which % len(self.paid_charges())]
        left = charge["amount"] - charge["amount_refunded"]
        self.shop.steering.refund(charge=charge["id"], amount=left if whole else max(left // 3, 1))

    @precondition(lambda self: self.things("refund"))
    @rule(which=st.integers(0, 5))
    def refund_comes_back(self, which: int) -> None:
        """The bank could not give it to them."""
        refunds = [one for one in self.things("refund") if one["status"] == "succeeded"]
        if refunds:
            self.shop.steering.finish_refund(refunds[which % len(refunds)]["id"], succeeds=False)

    @precondition(lambda self: self.paid_charges())
    @rule(which=st.integers(0, 5))
    def dispute(self, which: int) -> None:
        """They say at their bank that it was not them."""
        self.shop.steering.dispute(self.paid_charges()[which % len(self.paid_charges())]["id"])

    @rule(won=st.booleans())
    def bank_decides(self, won: bool) -> None:
        """About every dispute that is open."""
        charges = {one["id"] for one in self.things("charge")}
        for one in self.books.all("dispute"):
            if one["charge"] in charges and one["status"] == "needs_response":
                self.shop.steering.close_dispute(one["id"], won=won)

    @rule(days=st.sampled_from([1, 5, 12, 16, 31]))
    def time_goes_by(self, days: int) -> None:
        """After a night, in which what was lost is found."""
        self.compare()
        db.session.commit()
        self.shop.steering.pass_time(days=days)
        set_clock(self.shop.app, datetime.fromtimestamp(self.shop.steering.now(), UTC))

    # --- what we hear of it ---

    @rule(order=st.sampled_from(["as_made", "reversed", "shuffled"]), copies=st.integers(1, 2), part=st.sampled_from([1, 2, 3]))
    def webhooks_arrive(self, order: str, copies: int, part: int) -> None:
        """Some of those held back, in any order, perhaps twice."""
        held = [letter["event"] for letter in self.shop.steering.letters() if letter["state"] == "held"]
        if chosen := held[::part][:30]:
            self.shop.deliver(chosen, order=order, copies=copies)

    @rule()
    def worker_works(self) -> None:
        """What has arrived."""
        loops.work_events(clock.now)

    @precondition(lambda self: self.sessions)
    @rule(which=st.integers(0, 5))
    def page_is_opened(self, which: int) -> None:
        """The page that people come back to after paying."""
        loops.refresh_checkout(self.sessions[which % len(self.sessions)], clock.now())

    def compare(self) -> None:
        """A comparison that mends what is missing; the staff then bring in line what it would not close by itself."""
        report = reconciling.begin(clock.now(), is_fixing=True)
        db.session.commit()
        assert report is not None
        claimed = reconciling.claim(clock.now(), report.id)
        db.session.commit()
        compare_all(claimed, clock.now)
        for finding in reconciling.remaining(reconciling.findings_of(claimed)):
            bring_in_line(finding, clock.now())
        db.session.commit()

    # --- what must be true in the end ---

    def teardown(self) -> None:
        """Compare, and then open is what Stripe's state says."""
        loops.work_events(clock.now)
        self.compare()
        now = clock.now()
        said = {tier.key: self.is_paid(name, now) for name, tier in (("small", self.small), ("large", self.large), ("single", self.single))}
        assert {tier.key: holds(self.user, tier) for tier in self.tiers()} == said
        self.shop.steering.ask("DELETE", "rules")

    def tiers(self) -> list[Tier]:
        """All three."""
        return [self.small, self.large, self.single]

    def is_paid(self, name: str, now: datetime) -> bool:
        """Whether what Stripe holds pays for a tier now."""
        if name == "single":
            return any(self.is_purchase_paid(self.books.kept[one]) for one in self.sessions)
        return any(
            one["items"]["data"][0]["price"]["id"] == self.prices[name] and self.is_subscription_paid(one, now)
            for one in self.things("subscription")
        )

    def is_purchase_paid(self, session: Thing) -> bool:
        """Whether a one-off is paid and its money still with us."""
        is_paid = session["mode"] == "payment" and session["status"] == "complete" and session["payment_status"] == "paid"
        return is_paid and self.is_ours(session["payment_intent"])

    def is_subscription_paid(self, one: Thing, now: datetime) -> bool:
        """Whether a subscription opens what it is for."""
        if one["status"] not in {"active", "trialing", "past_due"}:
            return False
        if one["cancel_at"] is not None and one["cancel_at"] <= now.timestamp():
            return False
        invoices = [
            each
            for each in self.things("invoice")
            if ((each["parent"] or {}).get("subscription_details") or {}).get("subscription") == one["id"]
        ]
        if one["status"] == "past_due":
            newest_first = sorted(invoices, key=lambda each: each["created"], reverse=True)
            unpaid = list(takewhile(lambda each: each["status"] in {"open", "draft"}, newest_first))
            first = next((each for each in reversed(unpaid) if each["status"] == "open"), self.books.kept[one["latest_invoice"]])
            if now.timestamp() >= first["created"] + GRACE.total_seconds():
                return False
        paid = [each for each in invoices if each["status"] == "paid" and each["amount_paid"]]
        if not paid:
            return True
        last = max(paid, key=lambda each: (each["status_transitions"]["paid_at"], each["created"]))
        intents = [
            each["payment"]["payment_intent"] for each in self.books.all("invoice_payment", invoice=last["id"]) if each["status"] == "paid"
        ]
        return not intents or self.is_ours(intents[0])

    def is_ours(self, intent: str) -> bool:
        """Whether the money of a payment is still with us, and nobody disputes it."""
        charge = self.books.kept[self.books.kept[intent]["latest_charge"]]
        disputes = [one["status"] for one in self.books.all("dispute", charge=charge["id"])]
        return charge["amount_refunded"] < charge["amount"] and not (
            disputes and disputes[-1] in {"needs_response", "under_review", "lost"}
        )


def test_after_comparing_open_is_what_stripe_says(shop: Shop) -> None:
    class Here(Life):
        pass

    Here.shop = shop
    quick = settings(max_examples=12, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Here, settings=quick)
