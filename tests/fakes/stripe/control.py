"""The control API below `/_control/`: JSON in, JSON out, for tests alone. Stripe has nothing like it.

POST clock            {"by": seconds} or {"to": moment}; does all that becomes due            → {"now", "done"}
POST settings         any of Books.settings                                                   → all of them
POST faults           a faults.Fault;      DELETE faults: no more of them
POST rules            a delivery.Rule;     DELETE rules: no more of them
GET  webhooks         letters and rules;   POST webhooks/settle {"seconds"}: wait until nothing waits
POST webhooks/deliver {"events", "order": as_made|reversed|shuffled, "copies", "at_once"}     → {"answers"}
POST webhooks/retries {"seconds": [0.2, …]};   webhooks/clock {"follows": whether signatures are dated by this clock}
POST endpoints/ID/roll {"hours": 24}: a new secret beside the old one                         → {"secret"}
POST checkout/ID/buy  {"way", "email", "name"}: as somebody at the hosted page would
POST checkout/ID/settle, refunds/ID/finish {"succeeds"};  disputes/ID/close {"won"}
POST customers/ID/card {"how": pays|declines|requires_action}: how the card behaves that is on file
POST refunds          {"charge" or "payment_intent", "amount"}: staff refund at Stripe's pages
POST disputes         {"charge", "reason"}
POST prices/ID/raise  {"unit_amount"}: a new price under the same lookup key
POST objects/ID/put   {"values", "announce"}: set fields of an object to anything, and announce it as an event of that type
GET  requests         what the API was asked
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.stripe import buying, calendar, catalogue, paying, refunds, webhooks
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.delivery import Post, Rule
from tests.fakes.stripe.faults import Fault, Faults
from tests.fakes.stripe.routing import Given
from tests.fakes.stripe.wire import ApiError, Thing


@dataclass
class Desk:
    """What the control API steers."""

    books: Books
    post: Post
    faults: Faults
    requests: list[Thing] = field(default_factory=list)

    def ask(self, method: str, path: str, given: Thing) -> Thing:
        """Carry out one order. Raises ApiError 404 for one that there is not."""
        steps = path.strip("/").split("/")
        name, key = (f"{steps[0]} {steps[2]}", steps[1]) if len(steps) == 3 else ("/".join(steps), "")
        order = getattr(self, f"_{method.lower()}_{name.replace(' ', '_').replace('/', '_')}", None)
        if order is None:
            raise ApiError(404, f"No such order: {method} {path}")
        return order(key, **given) if key else order(**given)  # type: ignore[no-any-return]  # orders are found by name

    # --- time, settings, faults ---

    def _post_clock(self, by: float | None = None, to: float | None = None) -> Thing:
        with self.books.lock:
            done = calendar.advance(self.books, int(self.books.now() + by if by is not None else to or 0))
            return {"now": self.books.now(), "done": done}

    def _get_clock(self) -> Thing:
        return {"now": self.books.now()}

    def _post_settings(self, **values: Any) -> Thing:
        if unknown := values.keys() - self.books.settings.keys():
            raise ApiError(400, f"No such settings: {sorted(unknown)}")
        self.books.settings.update(values)
        return self.books.settings

    def _post_faults(self, **values: Any) -> Thing:
        self.faults.coming.append(Fault(**values))
        return {}

    def _delete_faults(self) -> Thing:
        self.faults.coming.clear()
        return {}

    def _get_requests(self) -> Thing:
        return {"requests": self.requests}

    # --- webhooks ---

    def _post_rules(self, **values: Any) -> Thing:
        self.post.rules.append(Rule(**values))
        return {}

    def _delete_rules(self) -> Thing:
        self.post.rules.clear()
        return {}

    def _get_webhooks(self) -> Thing:
        return self.post.shown()

    def _post_webhooks_settle(self, seconds: float = 10.0) -> Thing:
        return {"settled": self.post.settle(seconds)}

    def _post_webhooks_retries(self, seconds: list[float]) -> Thing:
        self.post.retries = tuple(seconds)
        return {}

    def _post_webhooks_clock(self, follows: bool) -> Thing:
        """Whether signatures are dated by the server's clock, for who compares them with a clock that a test moves."""
        self.post.clock = self.books.now if follows else time.time
        return {}

    def _post_webhooks_deliver(
        self, events: list[str] | None = None, order: str = "as_made", copies: int = 1, at_once: bool = False
    ) -> Thing:
        return {"answers": self.post.deliver(events, order, copies, at_once)}

    def _post_endpoints_roll(self, key: str, hours: float = 24.0) -> Thing:
        with self.books.lock:
            return {"secret": webhooks.roll(self.books, self.books.find("webhook_endpoint", key), hours)}

    # --- what customers, staff and banks do ---

    def _post_checkout_buy(self, key: str, way: buying.Way = "pay", email: str | None = None, name: str | None = None) -> Thing:
        return self._with("checkout.session", key, lambda session: buying.buy(self.books, session, way, email, name))

    def _post_checkout_settle(self, key: str, succeeds: bool) -> Thing:
        return self._with("checkout.session", key, lambda session: buying.settle(self.books, session, succeeds))

    def _post_refunds_finish(self, key: str, succeeds: bool) -> Thing:
        return self._with("refund", key, lambda made: refunds.finish_refund(self.books, made, succeeds))

    def _post_disputes_close(self, key: str, won: bool) -> Thing:
        return self._with("dispute", key, lambda dispute: refunds.close_dispute(self.books, dispute, won))

    def _post_disputes(self, charge: str, reason: str = "fraudulent") -> Thing:
        return self._with("charge", charge, lambda found: refunds.open_dispute(self.books, found, reason))

    def _post_refunds(self, **params: Any) -> Thing:
        with self.books.lock:
            return {"result": refunds.create_refund(self.books, Given("", params))}

    def _post_prices_raise(self, key: str, unit_amount: int) -> Thing:
        return self._with("price", key, lambda price: catalogue.new_price(self.books, price, unit_amount))

    def _post_customers_card(self, key: str, how: paying.How) -> Thing:
        def behave(customer: Thing) -> None:
            for method in self.books.all("payment_method", customer=customer["id"]):
                self.books.note(method["id"])["how"] = how

        return self._with("customer", key, behave)

    def _post_objects_put(self, key: str, values: Thing, announce: str | None = None) -> Thing:
        with self.books.lock:
            if key not in self.books.kept:
                raise ApiError(404, f"No such object: {key}")
            with self.books.change(self.books.kept[key], *([announce] if announce else [])) as thing:
                thing.update(values)
            return {"result": thing}

    def _with(self, kind: str, key: str, act: Callable[[Thing], object]) -> Thing:
        with self.books.lock:
            return {"result": act(self.books.find(kind, key))}
