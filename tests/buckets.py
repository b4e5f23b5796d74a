"""An S3-compatible server of this machine's own: moto, in a process of its own, one for each worker of a run that asks for it.

moto looks at no signature, so a `Warden` stands before it where a test asks who is let in.
"""

import hashlib
import hmac
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from tests.services import PATIENCE, _die_with_parent, _free_port

KEYS = {"s3_access_key": "tests-only", "s3_secret_key": "tests-only-secret"}


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a moto server; skips, by name, where it is not installed."""
    for name in ("moto", "flask_cors"):
        if find_spec(name) is None:
            pytest.skip(f"S3 CANNOT RUN HERE: the package {name} is not installed")
    port = _free_port()
    log: Path = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=file, stderr=file, preexec_fn=_die_with_parent)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"moto did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.05)
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def bucket(object_store: str) -> dict[str, Any]:
    """The settings of an empty bucket: `make_app(**bucket)`."""
    name = f"files-{secrets.token_hex(4)}"
    make_bucket(object_store, name)
    return {"storage_url": f"s3://{name}/course", "s3_endpoint": object_store, **KEYS}


def make_bucket(address: str, name: str) -> None:
    """A bucket of this name; moto asks for no signature."""
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", method="PUT"), timeout=10):
        pass


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/moto-api/", timeout=2):
            return True
    except OSError:
        return False


class Warden:
    """What browsers reach of a bucket, as strict as S3: an address opens with its own signature alone, and until it expires.

    Signature Version 4 in the query, of a GET whose only signed header is the host (Amazon S3 API Reference, "Authenticating
    Requests: Using Query Parameters"). `passed` is how much later than now its clock stands.
    """

    def __init__(self, store: str) -> None:
        self.passed = timedelta()
        warden = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Refuse, or hand on what the store answers."""
                status, headers, content = warden._answer(self.path, store, self.headers.get("Range"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, address: str, store: str, asked: str | None) -> tuple[int, dict[str, str], bytes]:
        if why := self._why_not(address):
            return 403, {"Content-Type": "text/plain", "Content-Length": str(len(why))}, why.encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(store + address, headers={"Range": asked} if asked else {})) as found:
                kept = {name: found.headers[name] for name in ("Content-Type", "Content-Range") if name in found.headers}
                content = found.read()
                return found.status, {**kept, "Content-Length": str(len(content))}, content
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {"Content-Length": "0"}, b""

    def _why_not(self, address: str) -> str:
        parts = urlsplit(address)
        said = dict(parse_qsl(parts.query, keep_blank_values=True))
        signature = said.pop("X-Amz-Signature", "")
        if not signature or said.get("X-Amz-SignedHeaders") != "host":
            return "AccessDenied: not signed"
        begun = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) + self.passed > begun + timedelta(seconds=int(said["X-Amz-Expires"])):
            return "AccessDenied: Request has expired"
        if not hmac.compare_digest(signature, self._signature(parts.path, said)):
            return "SignatureDoesNotMatch"
        return ""

    def _signature(self, path: str, said: dict[str, str]) -> str:
        scope = said["X-Amz-Credential"].partition("/")[2]
        query = "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in said.items()))
        request = "\n".join(["GET", path, query, f"host:{self.url.removeprefix('http://')}\n", "host", "UNSIGNED-PAYLOAD"])
        words = "\n".join(["AWS4-HMAC-SHA256", said["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{KEYS['s3_secret_key']}".encode()
        for piece in [*scope.split("/"), words]:
            key = hmac.digest(key, piece.encode(), "sha256")
        return key.hex()


@pytest.fixture
def warden(object_store: str) -> Iterator[Warden]:
    """A strict front of the moto server: `.url`, for `s3_public_endpoint`; `.passed`, for what time does."""
    made = Warden(object_store)
    yield made
    made.stop()
