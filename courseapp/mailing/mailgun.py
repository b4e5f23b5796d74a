"""What Mailgun tells of mail: one JSON object a call, signed with the account's webhook signing key.

Signed are a moment and a random token, not the event beside them. So a signature counts for one event: the row's key is made of it alone,
and whoever saw a call that was taken can say nothing more with it. What this does not keep out is a signature that never came here, as
of a call to another address of the same account: within `TOO_OLD` an event could be made up with it, about a mail whose mark or
Message-ID one knows (`bounces.py`), and about no other. An event that comes under a second signature finds its mail moved already.

Mailgun puts a return path of its own; which message it was, it gives back in `user-variables` (`message.py` puts it there).
Sources: Mailgun's user manual, "Webhooks", "Securing webhooks", "Tracking failures", "Pass sending options"; its API, "Events" and
"Suppressions".
"""

import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from courseapp.mailing.bounces import key_of
from courseapp.mailing.calls import as_facts, as_text, object_in
from courseapp.mailing.models import ReturnKind, ReturnSource
from courseapp.mailing.reports import OTHER, Report, is_address_gone, status_of
from courseapp.mailing.returning import MARK_NAME

TOO_OLD = timedelta(hours=12)  # Mailgun calls again for 8 hours, with the signature of the first time, and asks to allow for delays
AHEAD = timedelta(hours=1)
MOMENT = re.compile(r"[0-9]{10}")  # seconds since 1970; always as many signs, for nothing signed says where the token begins
EVENTS = {
    "delivered": ReturnKind.DELIVERED,
    "failed": ReturnKind.SOFT,
    "rejected": ReturnKind.SOFT,  # by Mailgun itself, for what the mail says
    "complained": ReturnKind.COMPLAINED,
    "unsubscribed": ReturnKind.STOP,  # by a link of Mailgun's own, where somebody switched those on: a no is a no
}
NOT_THE_ADDRESS = ("suppress-", "old")
"""How the reasons begin that say nothing new of an address: Mailgun's own lists, on which it stood before, or 8 hours of trying.

What brought it onto a list was told when it happened; what somebody put there by hand, or what was lifted here and not there, would
suppress it again at every mail. Mailgun sends nothing to it either way.
"""


def call_of(content: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The signature and the event of a call; None for what is no call of Mailgun's."""
    said = object_in(content) or {}
    signature, event = said.get("signature"), said.get("event-data")
    return (signature, event) if isinstance(signature, dict) and isinstance(event, dict) else None


def fault_of(signature: dict[str, Any], signing_key: str, now: datetime) -> str | None:
    """Why a call is not believed; None where it was signed with the key, lately."""
    moment, token, given = (as_text(signature.get(name)) for name in ("timestamp", "token", "signature"))
    right = hmac.new(signing_key.encode(), _bytes(moment + token), "sha256").hexdigest()
    if not hmac.compare_digest(_bytes(given), right.encode()):
        return "the signature is wrong"
    if not MOMENT.fullmatch(moment) or not -AHEAD <= now - datetime.fromtimestamp(int(moment), UTC) <= TOO_OLD:
        return "too old, or ahead of our clock"
    return None


def signature_key(signature: dict[str, Any]) -> str:
    """The key of the one event that a signature counts for."""
    return key_of(ReturnSource.MAILGUN, as_text(signature.get("signature")))


def report_of(event: dict[str, Any]) -> Report:
    """What an event says of a mail; `OTHER` where nothing follows from it."""
    kind = EVENTS.get(as_text(event.get("event")))
    if kind is None:
        return OTHER
    said = as_facts(event.get("delivery-status"))
    code = said.get("code")  # a number
    words = f"{code if isinstance(code, int) else ''} {as_text(said.get('message'))}"
    status = status_of(f"{as_text(said.get('enhanced-code'))} {as_text(said.get('bounce-code'))}", words)
    if event["event"] == "failed":
        is_gone = is_address_gone(status, words) if status else event.get("reason") == "bounce"
        kind = _failure(as_text(event.get("severity")), as_text(event.get("reason")), is_gone)
    mark = as_text(as_facts(event.get("user-variables")).get(MARK_NAME))
    message_id = as_text(as_facts(as_facts(event.get("message")).get("headers")).get("message-id")).strip("<>")  # told without them
    return Report(kind, (mark,), (f"<{message_id}>",), as_text(event.get("recipient")), "" if kind is ReturnKind.DELIVERED else status)


def _failure(severity: str, reason: str, is_gone: bool) -> ReturnKind:
    """Of a failure for good the server's own answer says whether it is the address's fault; where there is none, Mailgun's word for it."""
    if severity == "temporary" and reason != "old":
        return ReturnKind.DELAYED
    if severity == "permanent" and is_gone and not reason.startswith(NOT_THE_ADDRESS):
        return ReturnKind.BOUNCED
    return ReturnKind.SOFT


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair, which JSON lets through, is no reason to fail
