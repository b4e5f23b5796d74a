"""Webhooks on their way: signed as `stripe.Webhook.construct_event` verifies, tried again, and spoilt as a test says.

Signing is by Stripe's page "Verify webhook signatures manually": `t=…,v1=…`, where v1 is the HMAC-SHA256 of `t.body` with the
secret, and there is one v1 for each secret that is valid.
"""

import hmac
import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.fakes.stripe.books import VERSION, Books
from tests.fakes.stripe.webhooks import secrets_of
from tests.fakes.stripe.wire import Thing

TIMEOUT = 10.0  # how long an endpoint may take to answer
RETRIES = (0.2, 0.6, 1.5)  # seconds between tries; Stripe takes minutes and hours


@dataclass
class Rule:
    """What befalls events from now on; of several rules the first that fits counts.

    Attributes:
        types: event types it is for; None for all.
        times: for how many events; None for ever.
        hold: keep them back until they are asked for (`deliver`).
        drop: they never arrive, and are listed as undelivered.
        lose: they never arrive, and Stripe believes that they did.
        delay: seconds before the first try.
        copies: how often each is sent, all at once.
        signature: `right`, `wrong` (of another secret), `none` (no header), `garbled`.
        shift: seconds added to the timestamp that is signed.
        api_version: what the event says its version is.
        livemode: what it says of its mode.
    """

    types: list[str] | None = None
    times: int | None = None
    hold: bool = False
    drop: bool = False
    lose: bool = False
    delay: float = 0.0
    copies: int = 1
    signature: Literal["right", "wrong", "none", "garbled"] = "right"
    shift: int = 0
    api_version: str | None = None
    livemode: bool = False


@dataclass
class Letter:
    """One event on its way to one endpoint."""

    event: Thing
    endpoint: str
    rule: Rule
    ready: float
    state: str = "waiting"  # waiting, held, dropped, delivered, failed
    answers: list[int] = field(default_factory=list)  # statuses, 0 where none came

    def shown(self) -> Thing:
        """For the control API."""
        facts = {"event": self.event["id"], "type": self.event["type"], "endpoint": self.endpoint}
        return {**facts, "state": self.state, "answers": list(self.answers)}


class Post:
    """The thread that sends, in the order in which things happened, except where a rule says otherwise."""

    def __init__(self, books: Books) -> None:
        self.letters: list[Letter] = []
        self._queue: list[Letter] = []  # those that wait
        self.rules: list[Rule] = []
        self.retries: tuple[float, ...] = RETRIES
        self.clock: Callable[[], float] = time.time  # what signatures are dated by; the SDK compares with the machine's time
        self._books = books
        self._changed = threading.Condition()
        self._stopping = False
        self._sending = False
        self._thread = threading.Thread(target=self._run, name="fake-stripe-post", daemon=True)
        books.on_event = self.take

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(TIMEOUT + 2)

    def take(self, event: Thing) -> None:
        """An event has happened: write a letter to each endpoint that wants it."""
        found = [one for one in self._books.all("webhook_endpoint", status="enabled") if {"*", event["type"]} & set(one["enabled_events"])]
        event["pending_webhooks"] = len(found)
        with self._changed:
            rule = self._rule_for(event["type"]) if found else Rule()
            for endpoint in found:
                letter = Letter(event, endpoint["id"], rule, time.monotonic() + rule.delay)
                letter.state = "held" if rule.hold else "dropped" if rule.drop else "waiting"
                if rule.lose:
                    self._is_delivered(letter)
                self.letters.append(letter)
                if letter.state == "waiting":
                    self._queue.append(letter)
            self._changed.notify_all()

    def _rule_for(self, type: str) -> Rule:
        for rule in self.rules:
            if (rule.types is None or type in rule.types) and rule.times != 0:
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return Rule()

    # --- what tests ask for ---

    def settle(self, seconds: float) -> bool:
        """Wait until nothing waits any more; what is held or dropped does not count."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._sending and not self._queue, seconds)

    def wait_for_first_try(self, event: Thing, seconds: float) -> None:
        """Wait until an event was tried once, or is not going to be."""
        with self._changed:
            mine = [one for one in self.letters if one.event is event]
            self._changed.wait_for(lambda: all(one.answers or one.state != "waiting" or one.rule.delay for one in mine), seconds)

    def deliver(self, events: list[str] | None, order: str, copies: int, at_once: bool) -> list[int]:
        """Send now: what is held, or these events whatever became of them. Returns the answers' statuses."""
        with self._changed:
            chosen = [one for one in self.letters if (one.state == "held" if events is None else one.event["id"] in events)]
        if events is not None:
            chosen.sort(key=lambda one: events.index(one.event["id"]))
        if order == "reversed":
            chosen.reverse()
        elif order == "shuffled":
            random.shuffle(chosen)
        chosen = [one for one in chosen for _ in range(copies)]
        return self._send_all(chosen) if at_once else [self._try(one) for one in chosen]

    def shown(self) -> Thing:
        """For the control API."""
        with self._changed:
            return {"letters": [one.shown() for one in self.letters], "rules": [asdict(one) for one in self.rules]}

    # --- sending ---

    def _run(self) -> None:
        while True:
            with self._changed:
                letter = self._next()
                while letter is None and not self._stopping:
                    self._changed.wait(self._until_next())
                    letter = self._next()
                if letter is None or self._stopping:
                    return
                self._sending = True
            copies = [letter] * max(1, letter.rule.copies if not letter.answers else 1)
            self._send_all(copies)
            with self._changed:
                self._sending = False
                if letter.state == "waiting":
                    self._put_off(letter, len(copies))
                self._changed.notify_all()

    def _next(self) -> Letter | None:
        now = time.monotonic()
        for place, letter in enumerate(self._queue):
            if letter.ready <= now:
                return self._queue.pop(place)
        return None

    def _until_next(self) -> float | None:
        return max(min(one.ready for one in self._queue) - time.monotonic(), 0.0) if self._queue else None

    def _put_off(self, letter: Letter, copies: int) -> None:
        tries = len(letter.answers) - (copies - 1)
        if tries > len(self.retries):
            letter.state = "failed"
        else:
            letter.ready = time.monotonic() + self.retries[tries - 1]
            self._queue.append(letter)

    def _send_all(self, letters: Iterable[Letter]) -> list[int]:
        letters = list(letters)
        if len(letters) == 1:
            return [self._try(letters[0])]
        with ThreadPoolExecutor(max_workers=min(len(letters), 100) or 1, thread_name_prefix="fake-stripe-copies") as pool:
            return list(pool.map(self._try, letters))

    def _try(self, letter: Letter) -> int:
        with self._books.lock:
            endpoint = self._books.kept.get(letter.endpoint)
            secrets = secrets_of(self._books, endpoint) if endpoint else []
            body = self._body(letter, endpoint)
        status = _post(endpoint["url"], body, self._headers(letter.rule, body, secrets)) if endpoint else 0
        with self._changed:
            letter.answers.append(status)
            if 200 <= status < 300 and letter.state != "delivered":
                self._is_delivered(letter)
            elif endpoint is None:
                letter.state = "failed"
            self._changed.notify_all()
        return status

    def _is_delivered(self, letter: Letter) -> None:
        letter.state = "delivered"
        letter.event["pending_webhooks"] = max(letter.event["pending_webhooks"] - 1, 0)

    def _body(self, letter: Letter, endpoint: Thing | None) -> bytes:
        version = letter.rule.api_version or (endpoint or {}).get("api_version") or VERSION
        event = {**letter.event, "api_version": version, "livemode": letter.rule.livemode}
        return json.dumps(event, indent=2).encode()

    def _headers(self, rule: Rule, body: bytes, secrets: list[str]) -> dict[str, str]:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
        if rule.signature == "garbled":
            return {**headers, "Stripe-Signature": "t=now,v1"}
        if rule.signature == "none":
            return headers
        return {
            **headers,
            "Stripe-Signature": signed(
                body, secrets if rule.signature == "right" else ["whsec_of_somebody_else"], int(self.clock()) + rule.shift
            ),
        }


def signed(body: bytes, secrets: Iterable[str], moment: int) -> str:
    """The `Stripe-Signature` header of a body."""
    text = str(moment).encode() + b"." + body
    return ",".join([f"t={moment}", *(f"v1={hmac.new(secret.encode(), text, sha256).hexdigest()}" for secret in secrets)])


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 where none came. Redirects are not followed, and count as failures."""
    parts = urlsplit(url)
    kind: Any = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        answer.read()
        return int(answer.status)
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
