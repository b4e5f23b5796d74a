"""Visitors: one who walks by hand, and a crowd that walks all the time."""

import http.client
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit


@dataclass
class Answer:
    """What a page answered."""

    status: int
    text: str
    headers: dict[str, str]
    seconds: float

    @property
    def location(self) -> str:
        """Where it sends us."""
        return urlsplit(self.headers.get("location", "")).path

    @property
    def token(self) -> str:
        """The form's token."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.text)
        return found.group(1) if found else ""


class Browser:
    """Cookies and forms; a connection for each request, since the other end may die at any moment."""

    def __init__(self, port: int, network: str = "", patience: float = 20) -> None:
        self.port, self.network, self.patience = port, network, patience
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        """Fetch; follows nothing. Raises OSError."""
        return self._ask("GET", path)

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form; follows nothing. Raises OSError."""
        return self._ask("POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def send(self, path: str, files: Sequence[tuple[str, bytes]], **fields: str) -> Answer:
        """Send a form with files. Raises OSError."""
        mark = "a-mark-between-parts"
        parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
        parts += [f'form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + content for name, content in files]
        body = b"".join(f"--{mark}\r\nContent-Disposition: ".encode() + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()
        return self._ask("POST", path, body, f"multipart/form-data; boundary={mark}")

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Answer:
        headers = {"Accept": "text/html", "Connection": "close"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.network:
            headers["X-Forwarded-For"] = self.network
        if body is not None:
            headers["Content-Type"] = kind
        began = time.monotonic()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:  # cut in the middle of an answer: not answered
            raise ConnectionError(repr(error)) from error
        finally:
            line.close()
        for value in answer.headers.get_all("Set-Cookie") or []:
            name, _equals, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return Answer(answer.status, text, {name.lower(): value for name, value in answer.headers.items()}, time.monotonic() - began)

    def begin(self, address: str = "") -> Answer:
        """Start the course as a learner does."""
        page = self.get("/start")
        if page.status != 200:
            return page
        return self.post("/start", csrf_token=page.token, address=address, course_mail="y")

    def lessons(self) -> list[str]:
        """The ids of the first module's lessons."""
        page = self.get("/learn/introduction")
        return list(dict.fromkeys(re.findall(r"/lessons/([A-Za-z0-9_-]+)", page.text))) if page.status == 200 else []

    def complete(self, lesson: str) -> Answer:
        """Open a lesson and mark it as done."""
        page = self.get(f"/lessons/{lesson}")
        if page.status != 200 or not page.token:
            return page
        return self.post(f"/lessons/{lesson}/completion", csrf_token=page.token, done="1")


class Crowd:
    """So many visitors at once, each in a thread of its own, until told to stop."""

    def __init__(self, count: int) -> None:
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.walk, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let everyone finish the page they are at."""
        self.over.set()
        for thread in self.threads:
            thread.join(30)

    def walk(self, number: int) -> None:
        """What visitor `number` does until `over` is set."""
        raise NotImplementedError
