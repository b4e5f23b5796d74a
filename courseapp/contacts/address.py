"""E-mail addresses: what counts as one, and when two are the same."""

import hashlib
import hmac
import ipaddress

from flask import current_app
from flask_babel import gettext as _

from courseapp.errors import Refusal

LONGEST = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets


def clean_address(typed: str) -> str:
    """The address as it is to be kept; raises Refusal (400) in words. RFC 5321 syntax, no look-up of the domain."""
    from email_validator import EmailNotValidError, validate_email  # here: a web process starts without its large patterns

    try:
        found = validate_email(
            typed.strip(), check_deliverability=False, allow_smtputf8=True, test_environment=current_app.config["EMBEDDED"]
        )
        if len(address_key(found.normalized)) > LONGEST:
            raise EmailNotValidError("too long")  # folding its letters made it so
    except EmailNotValidError as error:
        raise Refusal(_("That does not look like an e-mail address. Please check it, for example name@example.org."), 400) from error
    return found.normalized


def address_key(address: str) -> str:
    """What makes two addresses the same: everything but letter case."""
    return address.casefold()


def address_mac(address: str) -> str:
    """A keyed hash of the address, 64 hex characters: proves sameness without keeping the address."""
    return keyed_hash("address", address_key(address))


def keyed_hash(use: str, value: str) -> str:
    """HMAC-SHA-256 of `value` under the application's secret, separated by `use` (RFC 2104); 64 hex characters."""
    secret: str = current_app.config["SECRET_KEY"]
    return hmac.new(secret.encode(), f"{use}:{value}".encode(), hashlib.sha256).hexdigest()


def address_hint(address: str | None) -> str | None:
    """Enough of an address for its owner to know it again: `m…@example.org`."""
    if not address:
        return None
    name, _at, domain = address.partition("@")
    return f"{name[:1]}…@{domain}"


def network_of(ip: str | None) -> str | None:
    """An IP address cut to its network (IPv4 /24, IPv6 /48), all that is kept beside a consent; None for what is no address."""
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address.packed, 24 if address.version == 4 else 48), strict=False).network_address)
