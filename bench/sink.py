"""A fast SMTP server that takes everything and keeps nothing: `python -m bench.sink COUNTS`. Prints its port.

Writes to COUNTS, whenever it has been silent for 0.2 s: how many mails it took, bytes, the moments of the first and the
last (time.monotonic, one clock for all processes of a machine), and how many distinct recipients.
"""

import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path

EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10000000\r\n"


class Sink:
    """One process, any number of lines."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.selector = selectors.DefaultSelector()
        self.door = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.count = self.bytes = 0
        self.first = self.last = 0.0
        self.recipients: set[bytes] = set()

    def run(self) -> None:
        """Serve until killed."""
        self.selector.register(self.door, selectors.EVENT_READ, None)
        print(self.door.getsockname()[1], flush=True)
        written = -1
        while True:
            ready = self.selector.select(0.2)
            for key, _events in ready:
                if key.data is None:
                    line, _peer = self.door.accept()
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.selector.register(line, selectors.EVENT_READ, {"got": bytearray(), "data": False})
                    line.sendall(b"220 sink\r\n")
                else:
                    self._serve(key.fileobj, key.data)
            if not ready and written != self.count:
                written = self.count
                self._write()

    def _write(self) -> None:
        facts = {"count": self.count, "bytes": self.bytes, "first": self.first, "last": self.last, "distinct": len(self.recipients)}
        half = self.file.with_suffix(".part")
        half.write_text(json.dumps(facts))
        os.replace(half, self.file)

    def _serve(self, line: socket.socket, state: dict) -> None:
        try:
            part = line.recv(262144)
        except OSError:
            part = b""
        if not part:
            self.selector.unregister(line)
            line.close()
            return
        got: bytearray = state["got"]
        got += part
        while True:
            if state["data"]:
                end = got.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self.last = time.monotonic()
                self.first = self.first or self.last
                self.count += 1
                self.bytes += end
                del got[: end + 5]
                state["data"] = False
                line.sendall(b"250 2.0.0 taken\r\n")
                continue
            end = got.find(b"\r\n")
            if end < 0:
                return
            words = bytes(got[:end])
            del got[: end + 2]
            line.sendall(self._answer(words, state))

    def _answer(self, words: bytes, state: dict) -> bytes:
        verb = words[:4].upper()
        if verb == b"DATA":
            state["data"] = True
            return b"354 go on\r\n"
        if verb == b"RCPT":
            self.recipients.add(words)
        if verb == b"EHLO":
            return EHLO
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 2.1.0 fine\r\n"


if __name__ == "__main__":
    Sink(Path(sys.argv[1])).run()
