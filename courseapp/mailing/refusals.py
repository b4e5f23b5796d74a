"""What a mail server's refusal means: whether the address is at fault, and which class of failure it is, in words for staff."""

import enum
import re

from flask_babel import lazy_gettext as _l

NO_LOGIN = frozenset({530, 534, 535, 538})  # RFC 4954: whoever sends has not logged in, or not as the server wants it
ENHANCED = re.compile(r"^[245]\d\d[ -](?P<status>[245]\.\d{1,3}\.\d{1,3})\b")  # RFC 2034
CODE = re.compile(r"^(?P<code>[245]\d\d)\b")
NOT_THE_ADDRESS = {"5.1.7", "5.1.8"}  # RFC 3463: the sender's own address
UNKNOWN_CODES = {"550", "551", "553"}  # RFC 5321, where no enhanced status says more
ABOUT_US = re.compile(  # what such a code says as well, of whoever sends or of what is sent
    r"relay|authentic|log ?in|denied|prohibit|spam|unsolicited|block|blacklist|dnsbl|\brbl\b|polic|reputation|\bspf\b|dkim|dmarc|virus",
    re.IGNORECASE,
)
REPORTED = re.compile(r"^(?:bounced|soft) (?P<status>[245]\.\d{1,3}\.\d{1,3})$")  # as `bounces.py` notes what came back


class Kind(enum.StrEnum):
    """Classes of failure, each with one thing to do about it."""

    UNKNOWN = "unknown"
    FULL = "full"
    POLICY = "policy"
    SIZE = "size"
    GAVE_UP = "gave_up"
    UNBUILT = "unbuilt"
    COMPLAINT = "complaint"
    OTHER = "other"


KIND_WORDS = {
    Kind.UNKNOWN: _l("The address does not exist, or takes no mail any more."),
    Kind.FULL: _l("The mailbox is full."),
    Kind.POLICY: _l("The other side refuses our mail: what it says, or where it comes from."),
    Kind.SIZE: _l("The mail is too large for the other side."),
    Kind.GAVE_UP: _l("It was tried again and again, and never taken."),
    Kind.UNBUILT: _l("The mail could not be put together: its text needs mending."),
    Kind.COMPLAINT: _l("The reader marked it as unwanted."),
    Kind.OTHER: _l("Another reason."),
}


def is_address_at_fault(words: str) -> bool:
    """Whether this refusal of a recipient means that the address takes no mail, now and later (a hard bounce)."""
    found = ENHANCED.match(words)
    return is_status_of_address(found["status"]) if found is not None else words[:3] in UNKNOWN_CODES and not ABOUT_US.search(words)


def is_status_of_address(status: str) -> bool:
    """Whether a status (RFC 3463) means that; a full mailbox, a large mail, a policy and a wrong way are no address's fault."""
    return (status.startswith("5.1.") and status not in NOT_THE_ADDRESS) or status == "5.2.1"


def kind_of(reason: str) -> Kind:
    """The class of a failure, from the reason that stands in its row."""
    if reason.startswith("exhausted"):
        return Kind.GAVE_UP
    if reason.startswith("cannot be built"):
        return Kind.UNBUILT
    enhanced, code = ENHANCED.match(reason) or REPORTED.match(reason), CODE.match(reason)
    status = enhanced["status"][2:] if enhanced is not None else ""
    if status in {"2.2", "3.1"} or (not status and code is not None and code["code"] in {"452", "552"}):
        return Kind.FULL
    if status in {"3.4", "2.3"}:
        return Kind.SIZE
    if is_address_at_fault(reason) or (reason.startswith("bounced") and not status.startswith("7.")):
        return Kind.UNKNOWN
    if status.startswith("7.") or (not status and code is not None and code["code"] in {"554", "571"} | UNKNOWN_CODES):
        return Kind.POLICY
    return Kind.OTHER
