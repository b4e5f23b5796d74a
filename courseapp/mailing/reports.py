"""Reading what comes back by mail: reports of delivery (RFC 3464, 6533), complaints (RFC 5965), requests to stop, replies of machines.

Nothing of it is trusted, and whatever it is, reading it ends soon: so much of it is looked at and no more, nested so deep and no
deeper. What it says counts only through a return address with our MAC or a Message-ID of ours (`bounces.py`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message as Mail
from email.parser import BytesParser, Parser
from email.policy import Compat32
from itertools import islice

from courseapp.mailing.models import ReturnKind
from courseapp.mailing.refusals import is_address_at_fault, is_status_of_address
from courseapp.mailing.returning import STOP

MOST_BYTES = 200_000  # a report and the headers of what came back stand at its beginning
MOST_NESTED = 24  # parts that hold parts: each makes every line after it dearer
MOST_PARTS = 200
MOST_OF_A_HEADER = 20  # how often one header may stand there before the rest is not looked at
LONGEST_HEADER = 4000  # characters; a returned address or id is shorter
LONGEST_ADDRESS = 320
NESTS = re.compile(rb"multipart/|message/", re.IGNORECASE)
STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b", re.ASCII)
REPLY_CODE = re.compile(r"\b([45])\d\d\b", re.ASCII)
EMPTY_LINE = re.compile(r"\r?\n\r?\n")
SAYS_NOTHING = re.compile(r"5\.\d{1,3}\.0\Z", re.ASCII)  # "other or undefined" (RFC 3463, 3.1): then the server's own words count
MESSAGE_ID = re.compile(r"^message-id:\s*(<[^<>\s]{1,190}>)", re.IGNORECASE | re.MULTILINE)
ARRIVED_FOR = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "Received")
SENT_FROM = ("Return-Path", "Original-Mail-From", "X-Postfix-Sender")
STATUS_TYPES = {"message/delivery-status", "message/global-delivery-status"}
RETURNED_TYPES = {"message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}
ACTIONS = {
    "failed": ReturnKind.SOFT,
    "delayed": ReturnKind.DELAYED,
    "delivered": ReturnKind.DELIVERED,
    "relayed": ReturnKind.PASSED_ON,
    "expanded": ReturnKind.PASSED_ON,
}  # the gravest first
COMPLAINTS = {"abuse", "fraud", "opt-out"}  # not `not-spam`, nor what a virus scanner or a check of signatures says


@dataclass(frozen=True)
class Report:
    """What came back, as it says itself.

    Args:
        places: texts in which a return address of ours may stand.
        message_ids: the Message-IDs of what was returned.
        recipient: for whom it was, or "".
        status: such as 5.1.1 (RFC 3463), or "".
    """

    kind: ReturnKind
    places: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    recipient: str = ""
    status: str = ""


OTHER = Report(ReturnKind.OTHER)


class _Wary(Compat32):
    """Headers as they stand, cut: taking a long one apart takes as long as its square."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:LONGEST_HEADER]


def read_report(content: bytes) -> Report:
    """What a mail says; `OTHER` where that is nothing we know, or it cannot be read. Never raises."""
    content = content[:MOST_BYTES]
    if len(NESTS.findall(content)) > MOST_NESTED:
        return OTHER
    try:
        return _report_of(BytesParser(policy=_Wary()).parsebytes(content))
    except Exception:  # whatever somebody sent, and whatever the library makes of it, is no reason to stop reading the others
        return OTHER


def _report_of(mail: Mail) -> Report:
    parts = list(islice(mail.walk(), MOST_PARTS))
    returned = [headers for part in parts if (headers := _returned_headers(part)) is not None]
    places = _values([mail], ARRIVED_FOR) + _values(returned, SENT_FROM)
    message_ids = _values(returned, ("Message-ID",))
    for part in parts:
        if part.get_content_type() in STATUS_TYPES:
            return _of_delivery(_blocks(part), places, message_ids)
        if part.get_content_type() == "message/feedback-report":
            return _of_feedback(_first(part), places, message_ids)
    if "X-Failed-Recipients" in mail:
        return _in_plain_words(mail, parts, places)
    asked = (*places, *_values([mail], ("Subject",)))
    if any(STOP.search(place) for place in asked):
        return Report(ReturnKind.STOP, asked)
    return Report(ReturnKind.AUTO_REPLY) if _is_automatic(mail) else OTHER


def _of_delivery(blocks: Sequence[Mail], places: tuple[str, ...], message_ids: tuple[str, ...]) -> Report:
    """Of several recipients the one who fared worst: a message of ours has one, and others stand there who were not ours."""
    places += _values(blocks[:1], SENT_FROM)
    gravity = list(ACTIONS)
    told = [(gravity.index(action), block) for block in blocks if (action := _text(block, "Action").strip().lower()) in ACTIONS]
    if not told:
        return OTHER
    worst, block = min(told, key=lambda one: one[0])
    diagnosis = _text(block, "Diagnostic-Code")
    kind, status = ACTIONS[gravity[worst]], status_of(_text(block, "Status"), diagnosis)
    if kind is ReturnKind.SOFT and is_address_gone(status, diagnosis.partition(";")[2]):
        kind = ReturnKind.BOUNCED
    recipient = _address(_text(block, "Original-Recipient")) or _address(_text(block, "Final-Recipient"))
    return Report(kind, places, message_ids, recipient, status)


def is_address_gone(status: str, words: str) -> bool:
    """Whether no mail will ever arrive there; not where this one was refused for its content, its size or its sender."""
    code = REPLY_CODE.search(words) if SAYS_NOTHING.match(status) else None
    if code is None:
        return is_status_of_address(status)
    return is_address_at_fault(EMPTY_LINE.split(words[code.start() :], 1)[0])  # behind it the mail may follow that came back


def status_of(status: str, words: str) -> str:
    """The status, or what the server's own words let know of it."""
    if found := STATUS.search(status) or STATUS.search(words):
        return found[1]
    code = REPLY_CODE.search(words)
    return f"{code[1]}.0.0" if code else ""


def _of_feedback(fields: Mail | None, places: tuple[str, ...], message_ids: tuple[str, ...]) -> Report:
    if fields is None or _text(fields, "Feedback-Type").strip().lower() not in COMPLAINTS:
        return OTHER
    recipient = _address(_text(fields, "Original-Rcpt-To"))
    return Report(ReturnKind.COMPLAINED, places + _values([fields], SENT_FROM), message_ids, recipient)


def _in_plain_words(mail: Mail, parts: Sequence[Mail], places: tuple[str, ...]) -> Report:
    """A bounce without a report, as Exim wrote them for years: a header says for whom, the text why, and what came back follows it."""
    text = next((_decoded(part) for part in parts if part.get_content_type() == "text/plain"), "")
    status, code = STATUS.search(text), REPLY_CODE.search(text)
    known = status[1] if status else f"{code[1]}.0.0" if code else "5.0.0"  # a warning that it is late has no such header
    kind = ReturnKind.BOUNCED if is_address_gone(known, text) else ReturnKind.SOFT
    recipient = _address(_text(mail, "X-Failed-Recipients").partition(",")[0])
    return Report(kind, places, tuple(MESSAGE_ID.findall(text)[:1]), recipient, known)


def _is_automatic(mail: Mail) -> bool:
    """Whether a machine answers (RFC 3834, 5), or says that somebody has read it (RFC 8098)."""
    said = _text(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    if said not in {"", "no"} or "X-Autoreply" in mail or "X-Autorespond" in mail:
        return True
    is_receipt = str(mail.get_param("report-type") or "").lower() == "disposition-notification"
    return is_receipt or _text(mail, "Precedence").strip().lower() == "auto_reply"


def _blocks(part: Mail) -> list[Mail]:
    """The groups of fields of a report of delivery: first about the message, then one for each recipient."""
    payload = part.get_payload()
    if not isinstance(payload, list):
        return []
    blocks = [block for block in payload[:MOST_PARTS] if isinstance(block, Mail)]
    if part.get_content_type() == "message/delivery-status":
        return blocks
    rest = "\n\n".join(_decoded(block) for block in blocks)  # the library takes the groups after the first for a text
    return blocks + [Parser(policy=_Wary()).parsestr(group) for group in re.split(r"\n[ \t\r]*\n", rest)[:MOST_PARTS]]


def _returned_headers(part: Mail) -> Mail | None:
    """The headers of the mail that a part brings back; None where it brings none."""
    if part.get_content_type() not in RETURNED_TYPES:
        return None
    if part.get_content_maintype() == "message":
        return _first(part)
    return Parser(policy=_Wary()).parsestr(_decoded(part), headersonly=True)


def _first(part: Mail) -> Mail | None:
    payload = part.get_payload()
    return payload[0] if isinstance(payload, list) and payload and isinstance(payload[0], Mail) else None


def _decoded(part: Mail) -> str:
    content = part.get_payload(decode=True)
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _values(mails: Iterable[Mail], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(value) for mail in mails for name in names for value in mail.get_all(name, [])[:MOST_OF_A_HEADER])


def _text(mail: Mail, name: str) -> str:
    return str(mail.get(name, ""))


def _address(field: str) -> str:
    """The address of a field such as `rfc822; ada@example.org`, or of one without its type; "" where it is none."""
    address = field.rpartition(";")[2].strip().strip("<>").strip()
    return address if "@" in address and len(address) <= LONGEST_ADDRESS else ""
