"""The door to the domain name system, for the mail doctor alone; sending asks it nothing."""

import ipaddress

import dns.exception
import dns.message
import dns.rdatatype
import dns.resolver
import dns.reversename

PATIENCE = 4.0  # seconds for one question, whatever is tried
PORT = 53


class Unanswered(Exception):
    """No name server said whether there is such a record."""


class Names:
    """Asks one name server, or those of this machine where none is given (`192.0.2.1`, `127.0.0.1:5353`, `[2001:db8::1]:53`)."""

    def __init__(self, server: str = "") -> None:
        self._resolver = dns.resolver.Resolver(configure=not server)
        self._resolver.lifetime = PATIENCE
        if server:
            address, port = _address_of(server)
            self._resolver.nameservers, self._resolver.port = [address], port

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name, each put together from its pieces."""
        return [b"".join(row.strings).decode("utf-8", "replace") for row in self._ask(name, dns.rdatatype.TXT)]

    def mail_servers(self, domain: str) -> list[str]:
        """Who takes mail for a domain, the preferred first; "" is the null MX of RFC 7505: nobody does."""
        rows = sorted(self._ask(domain, dns.rdatatype.MX), key=lambda row: int(row.preference))
        return [row.exchange.to_text(omit_final_dot=True).strip(".") for row in rows]

    def addresses(self, host: str) -> list[str]:
        """The addresses of a host; of an address itself."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
            return [row.to_text() for kind in kinds for row in self._ask(host, kind)]

    def names_of(self, address: str) -> list[str]:
        """The names an address says it has (PTR)."""
        name = dns.reversename.from_address(address).to_text()
        return [row.target.to_text(omit_final_dot=True) for row in self._ask(name, dns.rdatatype.PTR)]

    def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> list[dns.resolver.Answer]:
        try:
            return list(self._resolver.resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise Unanswered(f"the name server gave no answer about {name} ({type(error).__name__})") from error


def _address_of(server: str) -> tuple[str, int]:
    """The address and the port of a name server as a setting has them. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(server.strip("[]"))), PORT
    except ValueError:
        host, _colon, port = server.rpartition(":")
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
