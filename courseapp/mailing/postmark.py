"""What Postmark tells of mail: one JSON object a call, from whoever knows the password in the webhook's address.

Postmark puts a return path and a Message-ID of its own; which message it was, it gives back in `Metadata` (`message.py` puts it there).
Sources: Postmark's developer pages, "Bounce webhook", "Spam complaint webhook", "Delivery webhook", "Bounce types".
"""

import hmac

from courseapp.mailing.bounces import key_of
from courseapp.mailing.calls import as_facts, as_text, object_in
from courseapp.mailing.models import ReturnKind, ReturnSource
from courseapp.mailing.reports import OTHER, STATUS, Report
from courseapp.mailing.returning import MARK_NAME

RECORDS = {"Bounce": ReturnKind.SOFT, "SpamComplaint": ReturnKind.COMPLAINED, "Delivery": ReturnKind.DELIVERED}
BOUNCES = {
    "HardBounce": ReturnKind.BOUNCED,
    "BadEmailAddress": ReturnKind.BOUNCED,
    "Transient": ReturnKind.DELAYED,
    "DnsError": ReturnKind.DELAYED,
    "AutoResponder": ReturnKind.AUTO_REPLY,
    "AddressChange": ReturnKind.AUTO_REPLY,
    "ChallengeVerification": ReturnKind.AUTO_REPLY,
    "SpamComplaint": ReturnKind.COMPLAINED,
}
"""Types of bounces that are no soft ones."""
EVENT = ("RecordType", "ID", "MessageID", "Type", "Recipient", "Email", "DeliveredAt")


def is_postmark(password: str | None, secret: str) -> bool:
    """Whether a caller knows the password; nobody does where none is set."""
    return bool(secret) and hmac.compare_digest((password or "").encode(), secret.encode())


def report_of(content: bytes) -> tuple[str, Report] | None:
    """The key of an event and what it says of a mail; None for what is no event."""
    said = object_in(content)
    if said is None or not isinstance(said.get("RecordType"), str):
        return None
    key = key_of(ReturnSource.POSTMARK, *(str(said.get(name, ""))[:500] for name in EVENT))
    kind = RECORDS.get(said["RecordType"])
    if kind is ReturnKind.SOFT:
        kind = BOUNCES.get(as_text(said.get("Type")), kind)
    if kind is None:
        return key, OTHER
    mark = as_text(as_facts(said.get("Metadata")).get(MARK_NAME))
    status = STATUS.search(as_text(said.get("Details"))) if kind is not ReturnKind.DELIVERED else None
    recipient = as_text(said.get("Email")) or as_text(said.get("Recipient"))
    return key, Report(kind, (mark,), (), recipient, status[1] if status else "")
