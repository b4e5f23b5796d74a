"""What mail servers elsewhere look at before they take our mail: names and keys in the domain name system, and the way to stop it.

Each look is told in words, with what to do about it. Sources: RFC 7208 (SPF), 6376 (DKIM), 7489 (DMARC), 8058 (one click), and what
Gmail, Yahoo and Outlook ask of senders since 2024.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from courseapp.config import Settings
from courseapp.mailing.names import Names, Unanswered
from courseapp.mailing.selftest import trouble_with_one_click
from courseapp.site import present_site

MOST_LOOK_UPS = 10  # RFC 7208, 4.6.4
ASKS = re.compile(r"^[+?~-]?(?P<kind>include:|a\b|mx\b|ptr\b|exists:|redirect=)(?P<name>[^\s/]*)", re.IGNORECASE)
SHORT_KEY = 250  # bytes; RSA with 2048 bits has 294, with 1024 bits 162
END_OF_SPF = 'Put "-all" or "~all" at the end of the record.'
Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, how well it is, and what to do where it is not."""

    name: str
    level: Level
    words: str
    mend: str = ""


def findings(settings: Settings) -> list[Finding]:
    """Everything the mail doctor looks at. Takes some seconds where name servers are slow."""
    names = Names(settings.dns_resolver)
    domain = settings.sender.rpartition("@")[2].lower()
    envelope = (settings.bounce_domain or domain).lower()
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("postal address", _postal_address),
        ("SPF", lambda: _spf(names, envelope)),
        ("DKIM", lambda: _dkim(names, settings.dkim_selector, domain)),
        ("DMARC", lambda: _dmarc(names, domain)),
        ("alignment", lambda: _alignment(domain, envelope)),
        ("MX", lambda: _mx(names, domain, envelope)),
        ("PTR", lambda: _ptr(names, settings.smtp_url)),
        ("one click", lambda: _one_click(settings)),
    ]
    return [_told(name, look) for name, look in looks]


def _told(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Unanswered as error:
        mend = "See that this machine reaches a name server, or set DNS_RESOLVER to one that it reaches."
        return Finding(name, "warn", f"cannot be told: {error}", mend)


def _postal_address() -> Finding:
    if present_site().postal_address:
        return Finding("postal address", "ok", "it stands under every mail")
    mend = "Set POSTAL_ADDRESS, or write it at /staff/settings. Nothing that offers something can be published without it."
    return Finding("postal address", "fail", "there is none", mend)


def _spf(names: Names, envelope: str) -> Finding:
    records = _records(names, envelope, "v=spf1")
    mend = f'Give {envelope} one TXT record such as "v=spf1 include:YOUR-MAIL-SERVER -all", with the words your provider names.'
    if len(records) != 1:
        words = f"{envelope} has none" if not records else f"{envelope} has {len(records)} records, so none of them counts"
        return Finding("SPF", "fail", words, mend)
    ends = re.search(r"(?:^|\s)(?P<how>[+?~-]?)all\b", records[0], re.IGNORECASE)
    if ends is not None and ends["how"] in {"", "+"}:
        return Finding("SPF", "fail", f"{envelope} lets everybody send in its name", END_OF_SPF)
    if (count := _look_ups(names, records[0], {envelope})) > MOST_LOOK_UPS:
        words = f"it takes more than {MOST_LOOK_UPS} look-ups, so it counts as broken"
        return Finding("SPF", "fail", words, "Take out what you do not send by.")
    if ends is None and "redirect=" not in records[0].lower():
        return Finding("SPF", "warn", f"{envelope} does not say what holds for all others", END_OF_SPF)
    return Finding("SPF", "ok", f"{envelope} names who may send ({count} look-ups)")


def _look_ups(names: Names, record: str, seen: set[str]) -> int:
    """How many questions a record makes others ask; counted no further than it takes to know that they are too many."""
    count = 0
    for term in record.split()[1:]:
        found = ASKS.match(term)
        if found is None or count > MOST_LOOK_UPS:
            continue
        count += 1
        name = found["name"].lstrip(":").lower()
        if found["kind"].lower() in {"include:", "redirect="} and name not in seen and "%" not in name:
            seen.add(name)
            count += sum(_look_ups(names, other, seen) for other in _records(names, name, "v=spf1")[:1])
    return count


def _dkim(names: Names, selector: str, domain: str) -> Finding:
    if not selector:
        words = "DKIM_SELECTOR is not set, so the key cannot be looked for"
        return Finding("DKIM", "warn", words, "Set it to the word your provider names.")
    name = f"{selector}._domainkey.{domain}"
    keys = [dict(re.findall(r"(\w+)\s*=\s*([^;]*)", text)) for text in names.texts(name)]
    keys = [key for key in keys if "p" in key]
    if len(keys) != 1:
        words = f"{name} has no key" if not keys else f"{name} has {len(keys)} keys"
        return Finding("DKIM", "fail", words, "Put the one TXT record there that your provider names for this selector.")
    try:
        length = len(base64.b64decode(re.sub(r"\s", "", keys[0]["p"]), validate=True))
    except binascii.Error:
        return Finding("DKIM", "fail", f"the key at {name} cannot be read", "Copy the record anew: something was cut off.")
    if not length:
        return Finding("DKIM", "fail", f"the key at {name} was withdrawn", "Set DKIM_SELECTOR to the selector that is in use.")
    if keys[0].get("k", "rsa").strip() == "rsa" and length < SHORT_KEY:
        return Finding("DKIM", "warn", f"the key at {name} is short", "Have your provider make one of 2048 bits.")
    return Finding("DKIM", "ok", f"there is a key at {name}; that mail is signed with it only a mail that arrived can show")


def _dmarc(names: Names, domain: str) -> Finding:
    labels = domain.split(".")
    for first in range(max(1, len(labels) - 1)):
        where = "_dmarc." + ".".join(labels[first:])
        if records := _records(names, where, "v=DMARC1"):
            break
    else:
        mend = f'Give _dmarc.{domain} the TXT record "v=DMARC1; p=none; rua=mailto:YOU".'
        return Finding("DMARC", "fail", f"_dmarc.{domain} has no record", mend)
    if len(records) > 1:
        return Finding("DMARC", "fail", f"{where} has {len(records)} records, so none of them counts", "Leave one.")
    policy = re.search(r";\s*p\s*=\s*(none|quarantine|reject)\b", records[0], re.IGNORECASE)
    if policy is None:
        return Finding("DMARC", "fail", f"{where} has no policy", "Write p=none, p=quarantine or p=reject after v=DMARC1;")
    if policy[1].lower() == "none":
        mend = "That is enough to be taken. Once reports show that all your mail passes, write p=quarantine."
        return Finding("DMARC", "ok", f"{where} asks for reports alone (p=none)", mend)
    return Finding("DMARC", "ok", f"{where} says p={policy[1].lower()}")


def _alignment(domain: str, envelope: str) -> Finding:
    if domain == envelope or domain.endswith(f".{envelope}") or envelope.endswith(f".{domain}"):
        return Finding("alignment", "ok", f"mail comes from {domain}, and what comes back goes to {envelope}")
    words = f"mail comes from {domain} and what comes back goes to {envelope}: SPF does not count for DMARC, which rests on DKIM alone"
    return Finding("alignment", "warn", words, f"Set BOUNCE_DOMAIN to a name below {domain}.")


def _mx(names: Names, domain: str, envelope: str) -> Finding:
    for name in (envelope, domain):
        servers = names.mail_servers(name)
        if servers == [""]:
            mend = "Many servers take no mail from there. Give it an MX record."
            return Finding("MX", "fail", f"{name} says that it takes no mail", mend)
        if not servers and not names.addresses(name):
            return Finding("MX", "fail", f"{name} takes no mail: it has neither an MX record nor an address", "Give it an MX record.")
        if not servers:
            return Finding("MX", "warn", f"{name} has no MX record, so its address stands in", "Give it an MX record.")
    return Finding("MX", "ok", f"mail to {' and '.join(dict.fromkeys((envelope, domain)))} has somewhere to go")


def _ptr(names: Names, smtp_url: str) -> Finding:
    host = urlsplit(smtp_url).hostname
    if not host:
        return Finding("PTR", "warn", "there is no mail server: mail becomes files", "Set SMTP_URL.")
    found = names.addresses(host)
    if not found:
        return Finding("PTR", "fail", f"{host} has no address", "See that SMTP_URL is right.")
    own = [address for address in found if not ipaddress.ip_address(address).is_global]
    if own:
        words = f"{host} is a machine of your own network; under which address it sends cannot be told from here"
        return Finding("PTR", "warn", words, "See that the address it sends from has a name (PTR) that leads back to it.")
    for address in found:
        called = names.names_of(address)
        if not any(address in names.addresses(name) for name in called):
            words = f"{address} is called {called[0]}, which does not lead back" if called else f"{address} has no name"
            return Finding("PTR", "fail", words, "Have whoever gave you the address give it a PTR record, and its name that address.")
    return Finding("PTR", "ok", f"every address of {host} has a name that leads back to it")


def _one_click(settings: Settings) -> Finding:
    if words := trouble_with_one_click():
        mend = f"See that {settings.public_url} is the address people type, and that the proxy passes a POST on to /unsubscribe/."
        return Finding("one click", "fail", f"stopping mail by one click does not work: {words}", mend)
    if not settings.is_https:
        words = "it works, but not over https, which mail programs ask for"
        return Finding("one click", "warn", words, "Set BASE_URL to an https address.")
    return Finding("one click", "ok", "a mail program can stop mail by one click")


def _records(names: Names, name: str, begins: str) -> list[str]:
    """The TXT records of a name that begin so."""
    return [text for text in names.texts(name) if re.match(rf"{re.escape(begins)}(?:[\s;]|$)", text, re.IGNORECASE)]
