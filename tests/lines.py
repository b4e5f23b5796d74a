"""Lines that break: a proxy on loopback that cuts the connection once so many bytes have gone up."""

import contextlib
import socket
import threading
from collections.abc import Sequence

PIECE = 64 * 1024


class BreakingLine:
    """Leads to a server on this machine; `url` is where to go in. Each number of `cuts` breaks the line once, after so many bytes in all.

    Both ends are closed then, as when a router forgets the connection; the next one goes through.
    """

    def __init__(self, port: int, cuts: Sequence[int] = ()) -> None:
        self._port, self._cuts = port, sorted(cuts)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.sent = 0  # bytes that went up
        self.broken = 0  # times
        self._counting = threading.Lock()
        threading.Thread(target=self._let_in, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outer, _address = self._door.accept()
                threading.Thread(target=self._lead, args=(outer,), daemon=True).start()

    def _lead(self, outer: socket.socket) -> None:
        try:
            inner = socket.create_connection(("127.0.0.1", self._port), 5)
        except OSError:  # the server is away
            outer.close()
            return
        inner.settimeout(None)
        back = threading.Thread(target=self._pass_on, args=(inner, outer, False), daemon=True)
        back.start()
        self._pass_on(outer, inner, True)
        back.join(60)
        for end in (outer, inner):
            end.close()

    def _pass_on(self, one: socket.socket, other: socket.socket, is_up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(PIECE):
                other.sendall(piece)
                if is_up and self._is_to_break(len(piece)):
                    break
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_to_break(self, count: int) -> bool:
        with self._counting:
            self.sent += count
            if not self._cuts or self.sent < self._cuts[0]:
                return False
            del self._cuts[0]
            self.broken += 1
            return True
