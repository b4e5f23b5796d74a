"""From a row of the outbox to the bytes that leave.

A text's skeleton (Markdown rendered, CSS inlined, split at its merge fields) is built once per text, language and
purpose, and per letter where clicks are counted; a message only fills it in. Building each with `EmailMessage` costs
twenty times what sending does.
"""

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from functools import lru_cache
from html import escape
from itertools import groupby

import css_inline
from flask import current_app, render_template
from flask_babel import force_locale, get_locale
from markupsafe import Markup

from courseapp.config import Settings
from courseapp.contacts.models import Purpose
from courseapp.mailing.blocks import bodies_of
from courseapp.mailing.clicks import are_counted
from courseapp.mailing.fields import ALLOWED, MARK, OPEN, TRIAL, TRIAL_LANGUAGE, Field, mark
from courseapp.mailing.letters import kept_letter, public_id_of
from courseapp.mailing.links import mail_token, url_with_token
from courseapp.mailing.outbox import Sendable
from courseapp.mailing.returning import MARK_NAME, return_mark, return_path, stop_link
from courseapp.mailing.streams import STANDARD
from courseapp.mailing.text import Text
from courseapp.site import Site, present_site
from courseapp.web import without_indents

Piece = str | Field
Line = tuple[Piece, ...]
"""Static strings and fields in turn."""


@dataclass(frozen=True)
class Skeleton:
    """A text ready to be filled in. Of its two parts the lines without a field are encoded already: quoted-printable goes by lines."""

    subject: Line
    text: tuple[bytes | Line, ...]
    html: tuple[bytes | Line, ...]


@dataclass(frozen=True)
class Built:
    """A mail's words, filled in."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Outgoing:
    """What the door is handed."""

    name: str
    sender: str
    recipient: str
    content: bytes


def outgoing(found: Sendable, now: datetime) -> Outgoing:
    """The mail of a message that may go. Raises ValueError where a header value would break its line."""
    text, because = text_of(found)
    token = mail_token(found.contact_public_id, text.purpose.value, found.address_mac)
    values = {
        "first_name": found.first_name or "",
        "unsubscribe_url": url_with_token("mailing.unsubscribe", token),
        "preferences_url": url_with_token("mailing.preferences", token),
        **{name.removeprefix("secret_"): str(value) for name, value in found.fields.items()},
    }
    site = present_site()
    skeleton = _skeleton(site.version, text, because, _counted_letter(found, text.purpose, site))
    content = _assemble(found, text.purpose, skeleton, values, site, now)
    return Outgoing(found.public_id, return_path(found.public_id), found.address, content)


def text_of(found: Sendable) -> tuple[Text, str]:
    """What a message says in its reader's language, from memory where it was read before; and why one gets it, where it says so itself.

    A letter keeps to its own purpose: staff who try one out see it as others will, on a stream that needs no consent.
    """
    if found.letter_id is not None:
        return kept_letter(found.letter_id).in_language(found.fields.get(TRIAL_LANGUAGE) or found.language), ""
    assert found.template is not None
    return _template(found.template, found.language, found.purpose)


def _counted_letter(found: Sendable, purpose: Purpose, site: Site) -> str:
    """The id in addresses of a letter whose clicks are counted; empty for any other mail, and for staff who try one out."""
    if found.letter_id is None or TRIAL in found.fields or not are_counted(purpose, site):
        return ""
    return public_id_of(found.letter_id)


def built(text: Text, values: Mapping[str, str], because: str = "") -> Built:
    """A text as somebody would get it, filled in with `values`: for previews and scales; mails go by `outgoing`."""
    skeleton = _skeleton(present_site().version, text, because, "")
    return Built(_fill(skeleton.subject, values), _shown(skeleton.text, values), _shown(skeleton.html, values, quote=True))


def _shown(lines: tuple[bytes | Line, ...], values: Mapping[str, str], quote: bool = False) -> str:
    filled = (binascii.a2b_qp(line).decode() if isinstance(line, bytes) else _fill(line, values, quote) for line in lines)
    return "\n".join(filled).replace("\r\n", "\n")


def weight_of(text: Text) -> int:
    """Bytes of a text's HTML for somebody with a long name."""
    return len(built(text, dict.fromkeys(ALLOWED, 80 * "x")).html.encode())


@lru_cache(maxsize=64)
def _template(name: str, language: str, purpose: Purpose) -> tuple[Text, str]:
    """One of our own mail bodies in a language, and why one gets it where it says so."""
    room, _slash, file = name.partition("/")
    with force_locale(language.replace("-", "_")):
        whole = str(render_template(f"{room}/mail/{file}.md", field=merge_field))
    head, body = whole.split("\n---\n", 1)
    facts = dict(line.split(": ", 1) for line in head.splitlines() if line)
    return Text(language, facts["subject"], facts["preheader"], body.strip(), purpose), facts.get("because", "")


def merge_field(name: str, default: str = "") -> Markup:
    """A merge field as a text has it; its quotes must reach the text as they are."""
    return Markup(f'{{{{ {name} | default("{default}") }}}}')  # noqa: S704  # names and words of our own templates


@lru_cache(maxsize=256)
def _skeleton(_site: str, text: Text, because: str, letter: str) -> Skeleton:
    fields: list[Field] = []
    bodies = bodies_of(mark(text.body, fields), dict(text.targets), current_app.config["PUBLIC_URL"], letter)
    facts = {
        "preheader": mark(text.preheader, fields),
        "subject": mark(text.subject, fields),
        "purpose": text.purpose.value,
        "because": because,
        "language": text.language,
        "unsubscribe_url": mark("{{ unsubscribe_url }}", fields),
        "preferences_url": mark("{{ preferences_url }}", fields),
    }
    with force_locale(text.language.replace("-", "_")):
        direction = get_locale().text_direction
        html = render_template("mailing/mail/letter.html", body=bodies.html, direction=direction, **facts)
        plain = render_template("mailing/mail/letter.txt", body=bodies.text, **facts)
    inlined = css_inline.inline(html, load_remote_stylesheets=False, keep_at_rules=True)
    return Skeleton(_split(facts["subject"], fields), _lines(plain, fields), _lines(without_indents(inlined), fields))


def _lines(text: str, fields: Sequence[Field]) -> tuple[bytes | Line, ...]:
    """The lines of a part; those that stand together without a field as one."""
    runs = groupby(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), key=lambda line: OPEN in line)
    found: list[bytes | Line] = []
    for has_fields, lines in runs:
        found += [_split(line, fields) for line in lines] if has_fields else [_encoded("\n".join(lines))]
    return tuple(found)


def _split(text: str, fields: Sequence[Field]) -> Line:
    parts = MARK.split(text)
    return tuple(fields[int(part)] if index % 2 else part for index, part in enumerate(parts))


def _fill(pieces: Line, values: Mapping[str, str], quote: bool = False) -> str:
    filled = []
    for piece in pieces:
        if isinstance(piece, Field):
            value = values.get(piece.name) or piece.default
            filled.append(escape(value) if quote else value)
        else:
            filled.append(piece)
    return "".join(filled)


def _assemble(found: Sendable, purpose: Purpose, skeleton: Skeleton, values: Mapping[str, str], site: Site, now: datetime) -> bytes:
    config, sender_name = current_app.config, site.sender_name
    settings: Settings = config["SETTINGS"]
    headers = {
        "From": formataddr((sender_name, settings.sender)),
        "To": found.address,
        "Subject": values.get(TRIAL, "") + _fill(skeleton.subject, values),
        "Date": format_datetime(now),
        "Message-ID": found.message_id,
        **_purpose_headers(found, purpose, values, settings, config["MAIL_DOMAIN"]),
        "MIME-Version": "1.0",
    }
    for name, value in (*headers.items(), ("From", sender_name)):  # of a name beyond ASCII formataddr hides it
        if "\r" in value or "\n" in value:
            raise ValueError(f"a line break in the header {name}")
    headers["Subject"] = _header_text(headers["Subject"], "Subject")
    if not sender_name.isascii():  # formataddr makes one word of it, however long
        headers["From"] = f"{_header_text(sender_name, 'From')} <{settings.sender}>"
    boundary = f"=_{found.public_id}"
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f'Content-Type: multipart/alternative; boundary="{boundary}"', "", ""]
    head = "\r\n".join(lines).encode("utf-8")
    parts = _part(boundary, "plain", skeleton.text, values) + _part(boundary, "html", skeleton.html, values)
    return head + parts + f"--{boundary}--\r\n".encode()


def _purpose_headers(found: Sendable, purpose: Purpose, values: Mapping[str, str], settings: Settings, domain: str) -> dict[str, str]:
    headers = {"Feedback-ID": f"{found.stream}:{purpose.value}:courseapp"}
    if settings.postmark_secret:  # which puts its own return path; what stands here it gives back
        headers[f"X-PM-Metadata-{MARK_NAME}"] = return_mark(found.public_id)
    if settings.mailgun_signing_key:  # likewise; and it is to put nothing in that counts who reads
        headers["X-Mailgun-Variables"] = f'{{"{MARK_NAME}": "{return_mark(found.public_id)}"}}'
        headers["X-Mailgun-Track"] = "no"
    if purpose is Purpose.SERVICE or found.stream in STANDARD:  # of sequences too (RFC 3834); a stream of its own somebody wrote for a day
        headers["Auto-Submitted"] = "auto-generated"
    if purpose is not Purpose.SERVICE:  # RFC 2369, RFC 8058, RFC 2919; the label never names a topic
        headers["List-Id"] = f"<{purpose.value}.{domain}>"
        headers["List-Unsubscribe"] = f"<{values['unsubscribe_url']}>, <{stop_link(found.contact_public_id, purpose)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def _header_text(text: str, header: str) -> str:
    """A header's words, where they are not plain ASCII in encoded words of at most 75 characters, a line each (RFC 2047, 2)."""
    return text if text.isascii() and text.isprintable() else Header(text, "utf-8", 75, header).encode(linesep="\r\n")


def _part(boundary: str, kind: str, lines: tuple[bytes | Line, ...], values: Mapping[str, str]) -> bytes:
    head = f'--{boundary}\r\nContent-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    filled = (line if isinstance(line, bytes) else _encoded(_fill(line, values, quote=kind == "html")) for line in lines)
    return head.encode() + b"\r\n".join(filled) + b"\r\n"


def _encoded(text: str) -> bytes:
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8")
    return binascii.b2a_qp(plain, istext=True).replace(b"\n", b"\r\n")
