"""A small real IMAP server for tests (RFC 3501, as much as reading a mailbox takes): one folder, one user, in a thread of its own.

server = ImapServer("ada@example.org", "secret")
server.add(b"Subject: …")          # a mail arrives
server.mails[1].flags              # what it is marked with; gone once it was expunged
"""

import re
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

COMMAND = re.compile(rb"(?P<tag>\S+) (?P<uid>UID )?(?P<name>[A-Z]+) ?(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


@dataclass
class StoredMail:
    """One mail of the folder."""

    content: bytes
    flags: set[str] = field(default_factory=set)


class ImapServer:
    """The server, on a free port of loopback. At a command named in `drops` the line breaks.

    With `tls` it speaks TLS, from the start or once a client asks for it (STARTTLS); `host` is another address of loopback then.
    """

    def __init__(
        self,
        user: str,
        password: str,
        folder: str = "INBOX",
        can_remove_one: bool = True,
        tls: ssl.SSLContext | None = None,
        is_tls_from_start: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.user, self.password, self.folder, self.can_remove_one = user, password, folder, can_remove_one
        self.tls, self.is_tls_from_start, self.host = tls, is_tls_from_start, host
        self.mails: dict[int, StoredMail] = {}
        self.commands: list[str] = []
        self.logins_encrypted: list[bool] = []
        self.drops: set[str] = set()
        outer = self

        class Line(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                if outer.tls is not None and outer.is_tls_from_start:
                    self.request = outer.tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                Conversation(outer, self).speak()

            def begin_tls(self) -> None:
                assert outer.tls is not None
                self.rfile.close()
                self.request = outer.tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def finish(self) -> None:
                super().finish()
                self.request.close()  # the server closes the line below it alone

        class Server(socketserver.ThreadingTCPServer):
            def handle_error(self, _request: Any, _address: Any) -> None:
                """A client that does not believe us hangs up; nothing to be printed."""

        self._server = Server((host, 0), Line)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def add(self, content: bytes, *flags: str) -> int:
        """A mail arrives; its number."""
        number = max(self.mails, default=0) + 1
        self.mails[number] = StoredMail(content, set(flags))
        return number

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class Conversation:
    """What one client says and hears."""

    def __init__(self, server: ImapServer, line: Any) -> None:
        self._server, self._line, self._is_in = server, line, False
        self.is_encrypted = server.tls is not None and server.is_tls_from_start

    def speak(self) -> None:
        """Until the client says goodbye, or the line is to break."""
        self._say(b"* OK ready")
        while (heard := self._line.rfile.readline()).strip():
            match = COMMAND.match(heard.strip())
            assert match is not None, heard
            name = match["name"].decode().upper()
            self._server.commands.append(f"{'UID ' if match['uid'] else ''}{name} {match['rest'].decode()}".strip())
            if name in self._server.drops:
                return
            answer = getattr(self, f"_{name.lower()}")(match["rest"].decode())
            self._say(match["tag"] + b" " + (answer or b"OK done"))
            if name == "STARTTLS":
                self._line.begin_tls()
                self.is_encrypted = True
            if name == "LOGOUT":
                return

    def _say(self, line: bytes) -> None:
        self._line.wfile.write(line + b"\r\n")

    def _capability(self, _rest: str) -> None:
        more = b" UIDPLUS" if self._is_in and self._server.can_remove_one else b""  # as some do: not before somebody has come in
        more += b" STARTTLS" if self._server.tls is not None and not self.is_encrypted else b""
        self._say(b"* CAPABILITY IMAP4rev1" + more)

    def _starttls(self, _rest: str) -> None:
        """What follows is encrypted."""

    def _login(self, rest: str) -> bytes | None:
        self._server.logins_encrypted.append(self.is_encrypted)
        words = [re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in STRING.findall(rest)]
        self._is_in = words == [self._server.user, self._server.password]
        return None if self._is_in else b"NO [AUTHENTICATIONFAILED] not " + words[0].encode()

    def _select(self, rest: str) -> bytes | None:
        return None if self._is_in and rest.strip('"') == self._server.folder else b"NO there is none"

    def _search(self, rest: str) -> None:
        without = {"UNSEEN": r"\Seen", "UNDELETED": r"\Deleted"}
        found = [n for n, mail in self._server.mails.items() if not mail.flags & {without[word] for word in rest.split()}]
        self._say(b"* SEARCH " + " ".join(map(str, found)).encode())

    def _fetch(self, rest: str) -> None:
        number, most = int(rest.split(maxsplit=1)[0]), int(rest.partition("<0.")[2].partition(">")[0])
        if number in self._server.mails:
            content = self._server.mails[number].content[:most]
            self._say(f"* {number} FETCH (UID {number} BODY[]<0> {{{len(content)}}}".encode())
            self._line.wfile.write(content)
            self._say(b")")

    def _store(self, rest: str) -> None:
        number, _what, flags = rest.split(" ", 2)
        if int(number) in self._server.mails:
            self._server.mails[int(number)].flags |= set(flags.strip("()").split())

    def _expunge(self, rest: str) -> None:
        for number in map(int, rest.split(",")):
            if r"\Deleted" in self._server.mails.get(number, StoredMail(b"")).flags:
                del self._server.mails[number]

    def _logout(self, _rest: str) -> None:
        self._say(b"* BYE")
