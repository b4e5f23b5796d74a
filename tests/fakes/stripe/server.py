"""The HTTP server: the API below /v1, the hosted pages, and the control API."""

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.fakes.stripe import (
    checkout_pages,
    customers,
    discounts,
    pages,
    portal,
    portal_pages,
    routing,
    saving,
    subscriptions,
    webhooks,
    wire,
)
from tests.fakes.stripe.books import VERSION, Books
from tests.fakes.stripe.control import Desk
from tests.fakes.stripe.delivery import Post
from tests.fakes.stripe.faults import Fault, Faults, error_of
from tests.fakes.stripe.idempotency import Answer, Keys
from tests.fakes.stripe.listening import DroppedError, Handler, Listening
from tests.fakes.stripe.steering import Steering
from tests.fakes.stripe.wire import ApiError, Thing

KEY = "sk_test_fake_0123456789"
HOOK = "given when the server was started"
REDIRECT_WAITS = 10.0  # Checkout waits so long for the answer to checkout.session.completed before the browser goes on
WITH_ROUTES = (customers, discounts, portal, subscriptions, webhooks)  # importing them registers what they answer


class FakeStripe:
    """The server. `start` and `stop` it, or use it in a `with`; one per test is cheap.

    Args:
        key: the only key it knows; a test key.
        now: where its clock begins; see `Books`.
        port: 0 for any free one.
        hooks: addresses that get all events, each with its secret.
        state: a file that keeps what the server knows over a restart.
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        now: float | None = None,
        port: int = 0,
        hooks: Iterable[tuple[str, str]] = (),
        state: Path | None = None,
    ) -> None:
        self.key = key
        self._listening = Listening(("127.0.0.1", port), Handler)
        self._listening.fake = self
        self.url = f"http://127.0.0.1:{self._listening.server_port}"
        self.books = Books(self.url, now)
        self.post = Post(self.books)
        self.faults = Faults()
        self.keys = Keys()
        self.defects: list[str] = []
        self.desk = Desk(self.books, self.post, self.faults)
        self.steering = Steering(self.url)
        self._stopping = threading.Event()
        self._saving = saving.Saving(self.books, state) if state else None
        if self._saving:
            self._saving.load()
        self._register(hooks)
        self._thread = threading.Thread(target=self._listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def _register(self, hooks: Iterable[tuple[str, str]]) -> None:
        """Endpoints for these, in place of those that an earlier start kept: a site may have another port today."""
        for endpoint in self.books.all("webhook_endpoint", description=HOOK):
            self.books.forget(endpoint)
        for url, secret in hooks:
            webhooks.new_endpoint(self.books, url, ["*"], secret=secret, description=HOOK, api_version=VERSION)

    def start(self) -> "FakeStripe":
        """Listen."""
        self._thread.start()
        self.post.start()
        return self

    def stop(self) -> None:
        """Stop listening, drop every line, send nothing more. Raises AssertionError where the fake itself had a defect."""
        self._stopping.set()
        self._listening.shutdown()
        self._thread.join(10)
        self._listening.drop_lines()
        self._listening.server_close()
        self.post.stop()
        if self._saving:
            self._saving.save()
        assert not self.defects, "\n".join(self.defects)

    def __enter__(self) -> "FakeStripe":
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    # --- the API ---

    def api(self, method: str, path: str, query: str, body: str, headers: Any) -> Answer:
        """Answer a call of the API. Raises DroppedError."""
        request = f"req_{secrets.token_hex(7)}"
        key = headers.get("Idempotency-Key") if method == "POST" else None
        try:
            self._let_in(headers)
            answer = self._once(method, path, body if method == "POST" else query or body, key, request)
        except ApiError as error:
            answer = _json(error.status, error.body)
        except DroppedError:
            self._note_request(method, path, 0, key, body or query)
            raise
        answer = Answer(answer.status, answer.body, {"Request-Id": request, "Stripe-Version": VERSION, **answer.headers})
        if key:
            answer.headers["Idempotency-Key"] = key
        self._note_request(method, path, answer.status, key, body or query)
        if self._saving:
            self._saving.save()
        return answer

    def _note_request(self, method: str, path: str, status: int, key: str | None, params: str) -> None:
        """Write down what was asked; status 0: no answer was given."""
        self.desk.requests.append({"method": method, "path": path, "status": status, "idempotency_key": key, "params": params})

    def _let_in(self, headers: Any) -> None:
        given = _key_in(headers.get("Authorization", ""))
        if not given:
            raise ApiError(401, "You did not provide an API key. You need to provide your API key in the Authorization header.")
        if given != self.key:
            raise ApiError(401, f"Invalid API Key provided: {given[:8]}{'*' * 8}{given[-4:]}")
        version = headers.get("Stripe-Version", VERSION)
        if version != VERSION:
            raise ApiError(400, f"Invalid Stripe API version: {version}. The fake server speaks {VERSION} alone.")

    def _once(self, method: str, path: str, form: str, key: str | None, request: str) -> Answer:
        """Carry a call out, unless its key has an answer already."""
        raw = wire.nested(form)
        if key is None:
            return self._perform(method, path, raw, request, None)[0]
        kept = self.keys.begin(key, method, path, raw, self.books.now())
        if kept is not None:
            return Answer(kept.status, kept.body, {**kept.headers, "Idempotent-Replayed": "true"})
        has_begun = False
        try:
            answer, has_begun = self._perform(method, path, raw, request, key)
            if has_begun:
                self.keys.keep(key, answer)
            return answer
        finally:
            if not has_begun:
                self.keys.forget(key)

    def _perform(self, method: str, path: str, raw: Thing, request: str, key: str | None) -> tuple[Answer, bool]:
        """The answer, and whether the call had begun to be carried out."""
        fault = self.faults.next(method, path)
        if fault is not None and not fault.after:
            return self._go_wrong(fault), fault.what in {"500", "503"}
        carry_out = routing.answer(self.books, method, path, raw)
        answer = self._carry_out(carry_out, request, key)
        if fault is None:
            return answer, True
        try:
            return self._go_wrong(fault), True
        except DroppedError:
            if key:
                self.keys.keep(key, answer)  # it was done; only its answer did not arrive
            raise

    def _carry_out(self, carry_out: Callable[[], Thing], request: str, key: str | None) -> Answer:
        with self.books.lock:
            self.books.request = {"id": request, "idempotency_key": key}
            try:
                return _json(200, carry_out())
            except ApiError as error:
                return _json(error.status, error.body)
            finally:
                self.books.request = {"id": None, "idempotency_key": None}

    def _go_wrong(self, fault: Fault) -> Answer:
        if fault.what == "hang":
            self._stopping.wait(fault.seconds)
        if fault.what in {"hang", "drop"}:
            raise DroppedError
        error = error_of(fault)
        answer = _json(error.status, error.body)
        should_retry = False if fault.should_retry is None and fault.what == "500" else fault.should_retry
        if should_retry is not None:
            answer.headers["Stripe-Should-Retry"] = str(should_retry).lower()
        return answer

    # --- the hosted pages ---

    def page(self, method: str, path: str, form: str) -> pages.Page:
        """Answer a browser."""
        steps = path.strip("/").split("/")
        given = pages.fields(form)
        before = len(self.books.events)
        try:
            with self.books.lock:
                page = self._shown(steps) if method == "GET" else self._pressed(steps, given)
        except ApiError as error:
            page = pages.refused(error)
        for event in self.books.events[before:]:
            if event["type"] == "checkout.session.completed":
                self.post.wait_for_first_try(event, REDIRECT_WAITS)
        if self._saving and method == "POST":
            self._saving.save()
        return page

    def _shown(self, steps: list[str]) -> pages.Page:
        match steps:
            case ["c", "pay", key]:
                return checkout_pages.checkout_page(self.books, key)
            case ["p", "session", key]:
                return portal_pages.portal_page(self.books, key)
            case ["i", key]:
                return checkout_pages.invoice_page(self.books, key)
            case ["r", key]:
                return checkout_pages.receipt_page(self.books, key)
        return pages.not_found()

    def _pressed(self, steps: list[str], given: dict[str, str]) -> pages.Page:
        match steps:
            case ["c", "pay", key]:
                return checkout_pages.pay(self.books, key, given)
            case ["c", "pay", key, "code"]:
                return checkout_pages.use_code(self.books, key, given)
            case ["p", "session", key, action]:
                return portal_pages.act(self.books, key, action, given)
            case ["i", key]:
                return checkout_pages.pay_invoice(self.books, key, given)
        return pages.not_found()

    # --- the control API ---

    def order(self, method: str, path: str, body: str) -> Answer:
        """Answer a test."""
        try:
            answer = _json(200, self.desk.ask(method, path, json.loads(body or "{}")))
        except ApiError as error:
            answer = _json(error.status, error.body)
        except (TypeError, ValueError) as error:
            answer = _json(400, {"error": {"message": f"This order is not understood: {error}"}})
        if self._saving:
            self._saving.save()
        return answer


def _json(status: int, body: Thing) -> Answer:
    return Answer(status, json.dumps(body, indent=2).encode(), {"Content-Type": "application/json"})


def _key_in(header: str) -> str:
    """The key of a bearer's, or of a basic authorisation, where it is the user's name."""
    scheme, _space, word = header.partition(" ")
    if scheme.lower() != "basic":
        return word.strip()
    try:
        return base64.b64decode(word, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
