"""Mails to look at in the embedded mode: as they left, or as they would leave."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from courseapp.contacts.consent import PURPOSE_NAMES
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import sendables
from courseapp.mailing.sums import STATE_WORDS

if TYPE_CHECKING:  # what builds, reads and sends mails is large, and a web process in production does none of it
    from email.message import EmailMessage


@dataclass(frozen=True)
class Preview:
    """One mail, taken apart for a page; `state` and `purpose` are words."""

    id: str
    to: str
    subject: str
    preheader: str
    state: str
    purpose: str
    at: datetime
    headers: list[tuple[str, str]]
    text: str
    html: str


def preview_of(message: Message, now: datetime) -> Preview:
    """The file that was written; where there is none, the mail built now (its secrets may be wiped by then)."""
    from email import message_from_bytes, policy

    from courseapp.mailing.message import outgoing
    from courseapp.mailing.smtp import file_of_mail

    kept = file_of_mail(current_app.config["SETTINGS"], message.public_id)
    content = kept.read_bytes() if kept.exists() else b""
    if not content and message.contact.address:
        content = outgoing(sendables([message.id])[message.id], now).content
    mail = cast("EmailMessage", message_from_bytes(content, policy=cast(Any, policy.default)))
    return Preview(
        id=message.public_id,
        to=message.contact.address or "",
        subject=str(mail.get("Subject", "")),
        preheader=kept_letter(message.letter_id).in_language(message.contact.language).preheader if message.letter_id else "",
        state=str(STATE_WORDS[message.state]),
        purpose=str(PURPOSE_NAMES[message.stream.purpose]),
        at=message.settled_at or message.due_at,
        headers=[(name, str(value)) for name, value in mail.items()],
        text=_body(mail, "plain"),
        html=_body(mail, "html"),
    )


def _body(mail: "EmailMessage", kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
