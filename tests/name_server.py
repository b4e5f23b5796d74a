"""A small real name server for tests, over UDP on a free port of loopback; what it knows is a table."""

import socket
import threading
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Records = dict[tuple[str, str], list[str]]
"""(name, kind) → the records as a zone file has them."""


@dataclass
class NameServer:
    """Answers from `records`; NXDOMAIN for a name that is not there, and nothing at all for names in `silent`."""

    records: Records = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> "NameServer":
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="name-server", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            packet, caller = self._socket.recvfrom(4096)
            if not packet:
                return
            query = dns.message.from_wire(packet)
            name = query.question[0].name.to_text(omit_final_dot=True).lower()
            kind = query.question[0].rdtype.name
            self.asked.append((name, kind))
            if name not in self.silent:
                self._socket.sendto(self._answer(query, name, kind).to_wire(), caller)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if (name, kind) in self.records:
            answer.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", kind, self.records[name, kind]))
        elif not any(known == name for known, _kind in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer
