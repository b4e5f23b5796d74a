"""The load generator, a process of its own: `python -m bench.load PLAN ANSWER`.

Keep-alive HTTP/1.1 over raw sockets, one request under way on each connection, bounded in count and in time. The plan
holds ready-made requests, so that the generator costs little (about 0.05 ms each; its own CPU is in the answer).
"""

import json
import re
import resource
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = re.compile(rb'name="csrf[_-]token"[^>]*?(?:value|content)="([^"]+)"')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
COOKIE = re.compile(rb"\r\nset-cookie:\s*([^;\r\n]+)", re.IGNORECASE)
LOCATION = re.compile(rb"\r\nlocation:\s*([^\r\n]+)", re.IGNORECASE)
CLOSING = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
PATIENCE = 15.0  # seconds the last answers may take


@dataclass
class Line:
    """One connection."""

    socket: socket.socket
    number: int = -1
    began: float = 0.0
    got: bytearray = field(default_factory=bytearray)
    whole: int = 0  # bytes of the answer under way, once its head is read


class Generator:
    """Runs one plan: {port, connections, seconds, requests, cycle, collect}."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.requests = [request.encode("latin-1") for request in plan["requests"]]
        self.plan, self.next, self.done = plan, 0, 0
        self.selector = selectors.DefaultSelector()
        self.times: list[float] = []
        self.statuses: dict[str, int] = {}
        self.bytes, self.broken = 0, 0
        self.collected: list[dict[str, str]] = [{} for _ in self.requests] if plan["collect"] else []

    def run(self) -> dict[str, Any]:
        """The answer, as a dictionary."""
        for _ in range(self.plan["connections"]):
            self._begin(self._connect())
        began = last = time.perf_counter()
        self.until = began + self.plan["seconds"]
        for line in self._lines():
            self._send(line)
        while self._lines() and time.perf_counter() < self.until + PATIENCE:
            for key, _events in self.selector.select(1.0):
                self._read(key.data)
                last = time.perf_counter()
        used = resource.getrusage(resource.RUSAGE_SELF)
        times = sorted(self.times)
        return {
            "count": len(times),
            "seconds": last - began,
            "per_second": len(times) / (last - began) if times else 0.0,
            "p50_ms": 1000 * times[len(times) // 2] if times else 0.0,
            "p99_ms": 1000 * times[min(len(times) - 1, len(times) * 99 // 100)] if times else 0.0,
            "bytes": self.bytes / max(1, len(times)),
            "statuses": self.statuses,
            "broken": self.broken + len(self._lines()),
            "generator_cpu_s": used.ru_utime + used.ru_stime,
            "collected": self.collected,
        }

    def _lines(self) -> list[Line]:
        return [key.data for key in self.selector.get_map().values()]

    def _connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.plan["port"]), 10)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def _begin(self, found: socket.socket) -> Line:
        line = Line(found)
        self.selector.register(found, selectors.EVENT_READ, line)
        return line

    def _send(self, line: Line) -> None:
        """The next request on this line; the line ends where there is none or the time is up."""
        is_out = self.next >= len(self.requests) and not self.plan["cycle"]
        if is_out or time.perf_counter() >= self.until:
            self.selector.unregister(line.socket)
            line.socket.close()
            return
        line.number, self.next = self.next % len(self.requests), self.next + 1
        line.got.clear()
        line.whole, line.began = 0, time.perf_counter()
        try:
            line.socket.sendall(self.requests[line.number])
        except OSError:
            self._renew(line)

    def _read(self, line: Line) -> None:
        try:
            part = line.socket.recv(262144)
        except OSError:
            part = b""
        if not part:
            self._renew(line)
            return
        line.got += part
        if not line.whole:
            end = line.got.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(line.got, 0, end)
            line.whole = end + 4 + (int(length.group(1)) if length else 0)
        if len(line.got) >= line.whole:
            self._note(line)

    def _note(self, line: Line) -> None:
        self.times.append(time.perf_counter() - line.began)
        self.bytes += len(line.got)
        status = line.got[9:12].decode()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.collected:
            found = {"cookie": COOKIE.search(line.got), "token": TOKEN.search(line.got), "location": LOCATION.search(line.got)}
            self.collected[line.number] = {name: match.group(1).decode() for name, match in found.items() if match}
        if CLOSING.search(line.got, 0, line.got.find(b"\r\n\r\n") + 2):
            self._renew(line, is_broken=False)
        else:
            self._send(line)

    def _renew(self, line: Line, is_broken: bool = True) -> None:
        """Another connection in the place of one that the server closed."""
        self.broken += is_broken
        self.selector.unregister(line.socket)
        line.socket.close()
        if self.broken < 100:
            self._send(self._begin(self._connect()))


if __name__ == "__main__":
    answer = Generator(json.loads(Path(sys.argv[1]).read_text())).run()
    Path(sys.argv[2]).write_text(json.dumps(answer))
