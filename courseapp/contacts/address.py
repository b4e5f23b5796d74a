"""E-mail addresses: what counts as one, and when two are the same."""

import hashlib
import hmac

from email_validator import EmailNotValidError, validate_email
from flask import current_app
from flask_babel import gettext as _

from courseapp.errors import Refusal


def clean_address(typed: str) -> str:
    """The address as it is to be kept; raises Refusal (400) in words. RFC 5321 syntax, no look-up of the domain."""
    try:
        found = validate_email(
            typed.strip(), check_deliverability=False, allow_smtputf8=True, test_environment=current_app.config["EMBEDDED"]
        )
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
    """An IP address cut to its network (IPv4 /24, IPv6 /48), all that is kept beside a consent."""
    if not ip:
        return None
    if ":" in ip:
        return ":".join(ip.split(":")[:3]) + "::"
    return ip.rpartition(".")[0] + ".0"
