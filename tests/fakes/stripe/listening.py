"""Lines of HTTP: what is read is handed to the server, what it answers is written."""

import socket
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.stripe import pages
from tests.fakes.stripe.idempotency import Answer

LARGEST = 1_000_000  # bytes of a request


class DroppedError(Exception):
    """The line is to break without an answer."""


class Listening(ThreadingHTTPServer):
    """The listening socket, which remembers its lines so that it can drop them."""

    daemon_threads = True
    request_queue_size = 128
    fake: Any  # the FakeStripe that answers

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lines: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A new line."""
        self._lines.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A line is over."""
        self._lines.discard(request)
        super().shutdown_request(request)

    def drop_lines(self) -> None:
        """End what clients keep open."""
        for line in list(self._lines):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a defect, and is told on the error stream."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One line: reads requests, hands them over, writes the answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: Listening

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent; the control API says what was asked."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            self._send(413, b"", {})
            self.close_connection = True
            return
        body = self.rfile.read(length).decode(errors="replace")
        parts, fake = urlsplit(self.path), self.server.fake
        try:
            if parts.path.startswith("/v1/"):
                answer: Answer | pages.Page = fake.api(self.command, parts.path, parts.query, body, self.headers)
            elif parts.path.startswith("/_control/"):
                answer = fake.order(self.command, parts.path.removeprefix("/_control/"), body)
            else:
                answer = fake.page(self.command, parts.path, body)
        except DroppedError:
            self.close_connection = True
            return
        except Exception:  # a defect of the fake, which must not look like a fault of Stripe that a test asked for
            fake.defects.append(traceback.format_exc())
            answer = Answer(500, fake.defects[-1].encode(), {"Content-Type": "text/plain"})
        self._send(answer.status, answer.body, answer.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # http.server looks for these names
