"""An endpoint for webhooks that writes down what came, and answers as it is told."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

SECRET = "whsec_of_the_tests"


@dataclass
class Call:
    """One call of the webhook."""

    body: bytes
    signature: str | None
    path: str

    @property
    def event(self) -> dict[str, Any]:
        """The event it brought."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verified(self, secret: str = SECRET) -> stripe.Event:
        """The event, as the SDK makes it after looking at the signature. Raises SignatureVerificationError."""
        event: stripe.Event = stripe.Webhook.construct_event(self.body, self.signature, secret)
        return event


class Receiver:
    """The endpoint, on a free port of loopback. `answers`: statuses for the next calls, then 200."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: deque[int] = deque()
        self.pause = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server looks for this name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls.append(Call(body, self.headers.get("Stripe-Signature"), self.path))
                time.sleep(receiver.pause)
                self.send_response(receiver.answers.popleft() if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.request_queue_size = 128
        self._server.socket.listen(128)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    @property
    def types(self) -> list[str]:
        """The types that came, in their order."""
        return [call.event["type"] for call in self.calls]

    def only(self, type: str) -> dict[str, Any]:
        """The one event of a type."""
        (found,) = [call.event for call in self.calls if call.event["type"] == type]
        return found

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
