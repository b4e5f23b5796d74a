"""What the server knows: objects, events, what happens behind the API, and the time.

Everything is read and changed under `Books.lock`. Objects are kept as their JSON. What Stripe knows and does not show (which
card declines, how often was retried) stands in `behind`, by the id of the object it belongs to.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, get_args

import stripe
from stripe._api_version import _ApiVersion

from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import ApiError, Thing

VERSION = _ApiVersion.CURRENT
EVENT_TYPES = frozenset(get_args(stripe.Event.__annotations__["type"]))
DAY = 86_400


class Books:
    """The state of one account in test mode.

    Args:
        url: where the hosted pages are.
        now: the moment at which its clock begins; without it the machine's time. It runs on from there.
    """

    def __init__(self, url: str, now: float | None = None) -> None:
        self.url = url
        self.lock = threading.RLock()
        self.kept: dict[str, Thing] = {}
        self._by_kind: dict[str, dict[str, Thing]] = {}
        self.behind: dict[str, Thing] = {}
        self.events: list[Thing] = []
        self.settings: Thing = {
            "retry_days": [3, 5, 7],  # days from one try of a failed renewal to the next
            "dunning_end": "cancel",  # what becomes of the subscription then: cancel, unpaid, past_due
            "upcoming_days": 7,  # invoice.upcoming so long before a renewal
            "created_as": "incomplete",  # the status in customer.subscription.created; or active, with no update after it
            "while_processing": "incomplete",  # what a subscription is until its delayed first payment has come; or active
            "later_days": 3,  # how long a delayed payment takes
            "refunds": "succeeded",  # what new refunds are: succeeded, pending
            "empty": [],  # paths of lists that are answered empty
        }
        self.on_event: Callable[[Thing], None] = lambda _event: None
        self.request: Thing = {"id": None, "idempotency_key": None}  # whom events are due to, while one is answered
        self._shift = now - time.time() if now is not None else 0.0
        self._moment: int | None = None  # where the clock is held while it is advanced

    # --- the time ---

    def now(self) -> int:
        """The server's time, in seconds."""
        return self._moment if self._moment is not None else int(time.time() + self._shift)

    def hold_clock(self, moment: int | None) -> None:
        """Let it be this moment until told otherwise; None lets the time run on from the last one held."""
        if moment is None and self._moment is not None:
            self._shift = self._moment - time.time()
        self._moment = moment

    # --- objects ---

    def new_id(self, prefix: str) -> str:
        """An id that no other server made."""
        return f"{prefix}_{secrets.token_hex(10)}"

    def make(self, kind: type[stripe.StripeObject], prefix: str, values: Thing, announce: str | None = None) -> Thing:
        """Keep a new object, filled as its SDK class says, and announce it."""
        usual: Thing = {"id": self.new_id(prefix), "created": self.now()}
        known = kind.__annotations__
        made = filled(kind, {**{name: value for name, value in usual.items() if name in known}, **values})
        self.keep(made)
        if announce:
            self.announce(announce, made)
        return made

    def keep(self, thing: Thing) -> None:
        """Keep an object under its id."""
        self.kept[thing["id"]] = thing
        self._by_kind.setdefault(thing["object"], {})[thing["id"]] = thing

    def forget(self, thing: Thing) -> None:
        """Keep it no longer."""
        del self.kept[thing["id"]]
        del self._by_kind[thing["object"]][thing["id"]]

    def find(self, kind: str, id: str, param: str = "id") -> Thing:
        """The object. Raises ApiError 404 as Stripe does."""
        thing = self.kept.get(id)
        if thing is None or thing["object"] != kind:
            words = kind.replace(".", " ").replace("_", " ").replace("checkout session", "checkout.session")
            raise ApiError(404 if param == "id" else 400, f"No such {words}: '{id}'", code="resource_missing", param=param)
        return thing

    def all(self, kind: str, **match: Any) -> list[Thing]:
        """Objects of a kind whose fields are as given (None: whatever they are), the newest first."""
        wanted = {name: value for name, value in match.items() if value is not None}
        return [
            thing
            for thing in reversed(self._by_kind.get(kind, {}).values())
            if not thing.get("deleted") and all(thing.get(name) == value for name, value in wanted.items())
        ]

    def note(self, id: str) -> Thing:
        """What is known behind the API of an object."""
        return self.behind.setdefault(id, {})

    @contextmanager
    def change(self, thing: Thing, *announce: str) -> Iterator[Thing]:
        """Change an object, then announce it with the previous values of what changed; nothing is announced of no change."""
        before = deepcopy(thing)
        yield thing
        previous = _previous(before, thing)
        for name in announce if previous else ():
            self.announce(name, thing, previous if name.endswith("updated") or name == "charge.refunded" else None)

    def remove(self, thing: Thing, announce: str) -> Thing:
        """Delete an object: what is left of it is its id."""
        self.announce(announce, thing)
        self.forget(thing)
        return {"id": thing["id"], "object": thing["object"], "deleted": True}

    # --- events ---

    def announce(self, type: str, thing: Thing, previous: Thing | None = None) -> Thing:
        """Write an event with the object as it is now, and hand it to the webhooks."""
        assert type in EVENT_TYPES, f"Stripe has no event {type}"
        data: Thing = {"object": deepcopy(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = filled(stripe.Event, {
            "id": self.new_id("evt"), "api_version": VERSION, "created": self.now(), "data": data, "type": type,
            "pending_webhooks": 0, "request": dict(self.request),
        })  # fmt: skip
        if previous is None:
            del event["data"]["previous_attributes"]
        for name in ("account", "context"):
            del event[name]
        self.events.append(event)
        self.on_event(event)
        return event


def _previous(before: Thing, after: Thing) -> Thing:
    """What stood in the fields that are different now; of hashes only the fields that differ, of lists all."""
    found: Thing = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        found[name] = _previous(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found


def with_metadata(thing: Thing, given: Thing) -> None:
    """Merge metadata as Stripe does: an empty value takes a key away, an empty string all of them."""
    if given.get("metadata") == "":
        thing["metadata"] = {}
    elif "metadata" in given:
        merged = {**thing["metadata"], **given["metadata"]}
        thing["metadata"] = {name: value for name, value in merged.items() if value != ""}
