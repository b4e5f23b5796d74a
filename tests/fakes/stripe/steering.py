"""The control API from the side of a test, be the server in this process or in another."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.fakes.stripe.wire import Thing

DAY = 86_400


class Steering:
    """What a test may ask of the server at `url`; see `control` for what each order takes."""

    def __init__(self, url: str) -> None:
        self._base = f"{url}/_control/"

    def ask(self, method: str, path: str, /, **given: Any) -> Thing:
        """Any order. Raises ValueError with the server's words where it is refused."""
        body = json.dumps(given).encode() if method != "GET" else None
        request = Request(self._base + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=60) as answer:
                found: Thing = json.load(answer)
                return found
        except HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]["message"]) from None

    # --- time and settings ---

    def now(self) -> int:
        """What the server's clock says."""
        return int(self.ask("GET", "clock")["now"])

    def pass_time(self, *, days: float = 0, hours: float = 0) -> int:
        """Let time go by; returns how much became due and was done."""
        return int(self.ask("POST", "clock", by=days * DAY + hours * 3_600)["done"])

    def pass_time_until(self, moment: int) -> int:
        """Let time go by until then."""
        return int(self.ask("POST", "clock", to=moment)["done"])

    def set(self, **settings: Any) -> None:
        """Change how the account is set up; see `Books.settings`."""
        self.ask("POST", "settings", **settings)

    def fail(self, what: str, **fault: Any) -> None:
        """Let the next answer go wrong; see `faults.Fault`."""
        self.ask("POST", "faults", what=what, **fault)

    def heal(self) -> None:
        """No more faults, no more rules for webhooks."""
        self.ask("DELETE", "faults")
        self.ask("DELETE", "rules")

    def requests(self) -> list[Thing]:
        """What the API was asked so far."""
        found: list[Thing] = self.ask("GET", "requests")["requests"]
        return found

    # --- webhooks ---

    def rule(self, **rule: Any) -> None:
        """What befalls events from now on; see `delivery.Rule`."""
        self.ask("POST", "rules", **rule)

    def letters(self) -> list[Thing]:
        """Every event on its way to an endpoint: its state, and what was answered."""
        found: list[Thing] = self.ask("GET", "webhooks")["letters"]
        return found

    def settle(self, seconds: float = 10) -> bool:
        """Wait until no webhook waits any more."""
        return bool(self.ask("POST", "webhooks/settle", seconds=seconds)["settled"])

    def deliver(self, events: list[str] | None = None, *, order: str = "as_made", copies: int = 1, at_once: bool = False) -> list[int]:
        """Send what is held, or these events once more; returns the statuses of the answers."""
        found: list[int] = self.ask("POST", "webhooks/deliver", events=events, order=order, copies=copies, at_once=at_once)["answers"]
        return found

    def roll(self, endpoint: str, hours: float = 24) -> str:
        """A new secret beside the old one."""
        return str(self.ask("POST", f"endpoints/{endpoint}/roll", hours=hours)["secret"])

    # --- what customers, staff and banks do ---

    def buy(self, session: str, way: str = "pay", **person: str) -> str | None:
        """Go through with a Checkout Session; returns what the page would say went wrong."""
        found: str | None = self.ask("POST", f"checkout/{session}/buy", way=way, **person)["result"]
        return found

    def settle_payment(self, session: str, *, succeeds: bool) -> None:
        """A delayed payment comes, or does not."""
        self.ask("POST", f"checkout/{session}/settle", succeeds=succeeds)

    def card(self, customer: str, how: str) -> None:
        """How the customer's cards behave from now on: pays, declines, requires_action."""
        self.ask("POST", f"customers/{customer}/card", how=how)

    def refund(self, **params: Any) -> Thing:
        """Staff refund at Stripe's pages."""
        found: Thing = self.ask("POST", "refunds", **params)["result"]
        return found

    def finish_refund(self, refund: str, *, succeeds: bool) -> None:
        """A pending refund arrives, or any comes back."""
        self.ask("POST", f"refunds/{refund}/finish", succeeds=succeeds)

    def dispute(self, charge: str, reason: str = "fraudulent") -> Thing:
        """The customer disputes a charge."""
        found: Thing = self.ask("POST", "disputes", charge=charge, reason=reason)["result"]
        return found

    def close_dispute(self, dispute: str, *, won: bool) -> None:
        """The bank decides."""
        self.ask("POST", f"disputes/{dispute}/close", won=won)

    def put(self, object: str, announce: str | None = None, **values: Any) -> Thing:
        """Set fields of an object to anything, also to what no version of Stripe says, and announce it."""
        found: Thing = self.ask("POST", f"objects/{object}/put", values=values, announce=announce)["result"]
        return found

    def raise_price(self, price: str, unit_amount: int) -> Thing:
        """A new price under the same lookup key."""
        found: Thing = self.ask("POST", f"prices/{price}/raise", unit_amount=unit_amount)["result"]
        return found
