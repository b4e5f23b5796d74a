"""A mail server that misbehaves as it is told, and keeps the ledger: `python -m bench.drills.sink LEDGER DOORS`.

Prints the ports of its doors (one for each mail worker, so that it knows whom it speaks to) and then writes one JSON line to LEDGER
for everything that happens, before anybody is answered. Commands come as JSON lines on standard input:

    {"hold": [door, stage]}        the next line that comes to `stage` at this door stands still
    {"go": door}                   what stands still at this door goes on
    {"slow": seconds}              before each answer to a mail
    {"trouble": {address: [stage, what]}}   once for each address; what: an answer, "drop" or "hang"
    {"early": [[stage, what], …]}  troubles at `connect` and `mail`, where no address is known; one in every `pace` mails
    {"pace": 15}

Stages in their order: connect, mail, rcpt, data (before 354), body (the text has begun), dot (it has ended, nothing is taken),
taken (it is in the ledger, 250 is not yet said), answered.
"""

import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10000000\r\n"
STAGES = {b"MAIL": "mail", b"RCPT": "rcpt", b"DATA": "data"}
ID = re.compile(rb"^Message-ID: *(<[^>]+>)", re.MULTILINE | re.IGNORECASE)
SUBJECT = re.compile(rb"^Subject: *([^\r\n]*)", re.MULTILINE | re.IGNORECASE)


@dataclass
class Line:
    """One connection."""

    socket: socket.socket
    door: int
    got: bytearray = field(default_factory=bytearray)
    to: str = ""
    has_sender: bool = False
    has_recipient: bool = False
    in_text: bool = False
    has_begun: bool = False
    is_taken: bool = False
    held: str = ""
    passed: str = ""
    is_hung: bool = False
    is_closed: bool = False


class Sink:
    """One process, any number of lines, one ledger."""

    def __init__(self, ledger: Path, doors: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.ledger = ledger.open("ab", buffering=0)
        self.lines: list[Line] = []
        self.holds: set[tuple[int, str]] = set()
        self.trouble: dict[str, list[str]] = {}
        self.early: list[list[str]] = []
        self.slow, self.pace, self.mails = 0.0, 15, 0
        self.orders = bytearray()
        self.doors = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(doors)]
        for number, door in enumerate(self.doors):
            self.selector.register(door, selectors.EVENT_READ, number)
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "orders")

    def run(self) -> None:
        """Serve until standard input ends."""
        print(json.dumps([door.getsockname()[1] for door in self.doors]), flush=True)
        while True:
            for key, _events in self.selector.select():
                if key.data == "orders":
                    part = sys.stdin.buffer.raw.read(65536)
                    if not part:
                        return
                    self._order(part)
                elif isinstance(key.data, int):
                    self._accept(self.doors[key.data], key.data)
                else:
                    self._read(key.data)

    def note(self, event: str, line: Line, **facts: Any) -> None:
        """One line of the ledger."""
        row = {"event": event, "door": line.door, "to": line.to, "at": time.monotonic(), **facts}
        self.ledger.write(json.dumps(row).encode() + b"\n")

    def _order(self, part: bytes) -> None:
        self.orders += part
        while (end := self.orders.find(b"\n")) >= 0:
            order = json.loads(bytes(self.orders[:end]))
            del self.orders[: end + 1]
            if "hold" in order:
                self.holds.add(tuple(order["hold"]))
            if "go" in order:
                self.holds = {hold for hold in self.holds if hold[0] != order["go"]}
                for line in [line for line in self.lines if line.door == order["go"] and line.held]:
                    line.held, line.passed = "", line.held
                    self._serve(line)
            self.slow, self.pace = order.get("slow", self.slow), order.get("pace", self.pace)
            self.trouble.update(order.get("trouble", {}))
            self.early += order.get("early", [])

    def _accept(self, door: socket.socket, number: int) -> None:
        connection, _peer = door.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(connection, number)
        self.lines.append(line)
        self.selector.register(connection, selectors.EVENT_READ, line)
        self._serve(line, greeting=True)

    def _read(self, line: Line) -> None:
        try:
            part = line.socket.recv(262144)
        except OSError:
            part = b""
        if not part:
            self._close(line)
            return
        line.got += part
        self._serve(line)

    def _serve(self, line: Line, greeting: bool = False) -> None:
        try:
            if (greeting or line.passed == "connect") and self._at(line, "connect") is None:
                line.socket.sendall(b"220 sink\r\n")
            while not (line.is_closed or line.held or line.is_hung):
                if not (self._text(line) if line.in_text else self._words(line)):
                    return
        except OSError:
            self._close(line)

    def _words(self, line: Line) -> bool:
        end = line.got.find(b"\r\n")
        if end < 0:
            return False
        words = bytes(line.got[:end])
        verb = words[:4].upper()
        if verb == b"RCPT":
            line.to = words[words.find(b"<") + 1 : words.find(b">")].decode()
        if (verb == b"RCPT" and not line.has_sender) or (verb == b"DATA" and not line.has_recipient):  # what came before was refused
            del line.got[: end + 2]
            line.socket.sendall(b"503 5.5.1 not yet\r\n")
            return True
        said = self._at(line, STAGES[verb]) if verb in STAGES else None
        if said == "stop":
            return False
        del line.got[: end + 2]
        if verb in {b"MAIL", b"RSET"}:
            line.has_recipient = False
        if said == "answered":
            return True
        line.has_sender = verb == b"MAIL" or (line.has_sender and verb != b"RSET")
        line.has_recipient = verb == b"RCPT" or line.has_recipient
        if verb == b"DATA":
            line.in_text, line.has_begun, line.is_taken = True, False, False
            line.socket.sendall(b"354 go on\r\n")
        elif verb == b"EHLO":
            line.socket.sendall(EHLO)
        elif verb == b"QUIT":
            line.socket.sendall(b"221 bye\r\n")
            self._close(line)
        else:
            line.socket.sendall(b"250 2.1.0 fine\r\n")
        return True

    def _text(self, line: Line) -> bool:
        if not line.got:
            return False
        if not line.has_begun:
            line.has_begun = True
            if self._at(line, "body") == "stop":
                return False
        end = line.got.find(b"\r\n.\r\n")
        if end < 0:
            return False
        said = None if line.is_taken else self._at(line, "dot")
        if said == "stop":
            return False
        if said is None:
            if not line.is_taken:
                head = bytes(line.got[:4000])
                found, subject = ID.search(head), SUBJECT.search(head)
                self.note("taken", line, id=found.group(1).decode() if found else "?", subject=subject.group(1).decode() if subject else "")
                line.is_taken = True
            if self.slow:
                time.sleep(self.slow)
            if self._at(line, "taken") == "stop":
                return False
            line.socket.sendall(b"250 2.0.0 taken\r\n")
            self._at(line, "answered")
        del line.got[: end + 5]
        line.in_text, line.to, line.has_sender, line.has_recipient = False, "", False, False
        return not line.held

    def _at(self, line: Line, stage: str) -> str | None:
        """None: as usual. `stop`: it stands still, hangs or is cut. `answered`: something else was said."""
        if line.passed == stage:
            line.passed = ""
            return None
        if (line.door, stage) in self.holds:
            self.holds.discard((line.door, stage))
            self.note("held", line, stage=stage)
            line.held = stage
            return "stop"
        if stage == "mail":
            self.mails += 1
        what = ""
        if self.trouble.get(line.to, ("",))[0] == stage:
            what = self.trouble.pop(line.to)[1]
        elif (
            stage in {"connect", "mail"}
            and self.early
            and self.early[0][0] == stage
            and (stage == "connect" or self.mails % self.pace == 0)
        ):
            what = self.early.pop(0)[1]
        if not what:
            return None
        self.note("trouble", line, stage=stage, what=what)
        if what == "drop":
            self._close(line)
        elif what == "hang":
            line.is_hung = True
        else:
            line.socket.sendall(what.encode() + b"\r\n")
            if what.startswith("421"):
                self._close(line)
                return "stop"
            return "answered"
        return "stop"

    def _close(self, line: Line) -> None:
        if not line.is_closed:
            line.is_closed = True
            self.lines.remove(line)
            self.selector.unregister(line.socket)
            line.socket.close()


if __name__ == "__main__":
    Sink(Path(sys.argv[1]), int(sys.argv[2])).run()
