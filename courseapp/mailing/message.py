"""From a row of the outbox to the bytes that leave.

A text's skeleton (Markdown rendered, CSS inlined, split at its merge fields) is built once per text, language and
purpose; a message only fills it in. Building each with `EmailMessage` costs twenty times what sending does.
"""

import binascii
import re
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
from flask_babel import force_locale
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from courseapp.contacts.models import Purpose
from courseapp.mailing.letters import FIELD, Field, kept_letter
from courseapp.mailing.links import mail_token, url_with_token
from courseapp.mailing.outbox import Sendable
from courseapp.mailing.returning import MARK_NAME, return_mark, return_path, stop_link
from courseapp.site import present_site

OPEN, CLOSE = "\ue000", "\ue001"  # private-use characters around a field's number while Markdown is rendered
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
class Outgoing:
    """What the door is handed."""

    name: str
    sender: str
    recipient: str
    content: bytes


def outgoing(found: Sendable, now: datetime) -> Outgoing:
    """The mail of a message that may go. Raises ValueError where a header value would break its line."""
    token = mail_token(found.contact_public_id, found.purpose.value)
    values = {
        "first_name": found.first_name or "",
        "unsubscribe_url": url_with_token("mailing.unsubscribe", token),
        "preferences_url": url_with_token("mailing.preferences", token),
        **{name.removeprefix("secret_"): str(value) for name, value in found.fields.items()},
    }
    content = _assemble(found, skeleton_of(found), values, now)
    return Outgoing(found.public_id, return_path(found.public_id), found.address, content)


def skeleton_of(found: Sendable) -> Skeleton:
    """The skeleton of a message's text, from memory where it was built before."""
    site = present_site().version
    if found.letter_id is not None:
        letter = kept_letter(found.letter_id)
        return _skeleton(site, found.purpose, letter.language, letter.subject, letter.preheader, letter.body)
    assert found.template is not None
    return _skeleton(site, found.purpose, found.language, *_template(found.template, found.language))


@lru_cache(maxsize=64)
def _template(name: str, language: str) -> tuple[str, str, str, str]:
    """One of our own mail bodies in a language: subject, preheader, Markdown with merge fields, and why one gets it where it says so."""
    room, _slash, file = name.partition("/")
    with force_locale(language):
        whole = str(render_template(f"{room}/mail/{file}.md", field=merge_field))
    head, body = whole.split("\n---\n", 1)
    facts = dict(line.split(": ", 1) for line in head.splitlines() if line)
    return facts["subject"], facts["preheader"], body.strip(), facts.get("because", "")


def merge_field(name: str, default: str = "") -> Markup:
    """A merge field as a text has it; its quotes must reach the text as they are."""
    return Markup(f'{{{{ {name} | default("{default}") }}}}')  # noqa: S704  # names and words of our own templates


@lru_cache(maxsize=256)
def _skeleton(_site: str, purpose: Purpose, language: str, subject: str, preheader: str, body: str, because: str = "") -> Skeleton:
    fields: list[Field] = []
    marked = _mark(body, fields)
    tokens = _reader().parse(marked)
    with force_locale(language):
        html = render_template(
            "mailing/mail/letter.html",
            body=_html_of(tokens),
            preheader=_mark(preheader, fields),
            purpose=purpose.value,
            because=because,
            language=language,
            unsubscribe_url=_mark("{{ unsubscribe_url }}", fields),
            preferences_url=_mark("{{ preferences_url }}", fields),
            subject=_mark(subject, fields),
        )
        text = render_template(
            "mailing/mail/letter.txt",
            body=text_of(tokens),
            purpose=purpose.value,
            because=because,
            unsubscribe_url=_mark("{{ unsubscribe_url }}", fields),
            preferences_url=_mark("{{ preferences_url }}", fields),
        )
    inlined = css_inline.inline(html, load_remote_stylesheets=False)
    return Skeleton(_split(_mark(subject, fields), fields), _lines(text, fields), _lines(inlined, fields))


def _mark(text: str, fields: list[Field]) -> str:
    """Put a numbered mark in place of each merge field."""

    def note(match: re.Match[str]) -> str:
        fields.append(Field(match.group(1), match.group(2) or ""))
        return f"{OPEN}{len(fields) - 1}{CLOSE}"

    return FIELD.sub(note, text)


def _lines(text: str, fields: Sequence[Field]) -> tuple[bytes | Line, ...]:
    """The lines of a part; those that stand together without a field as one."""
    runs = groupby(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), key=lambda line: OPEN in line)
    found: list[bytes | Line] = []
    for has_fields, lines in runs:
        found += [_split(line, fields) for line in lines] if has_fields else [_encoded("\n".join(lines))]
    return tuple(found)


def _split(text: str, fields: Sequence[Field]) -> Line:
    parts = re.split(f"{OPEN}([0-9]+){CLOSE}", text)
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


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False})
    reader.normalizeLink = lambda url: url  # type: ignore[method-assign]  # our marks stand in links and must stay as they are
    return reader


def _html_of(tokens: list[Token]) -> str:
    """The body's HTML; a link alone in its paragraph is the letter's button."""
    for index, token in enumerate(tokens):
        if token.type == "paragraph_open" and _is_button(tokens[index + 1]):
            token.attrSet("class", "button")
    return str(MarkdownIt("commonmark", {"html": False}).renderer.render(tokens, _reader().options, {}))


def _is_button(inline: Token) -> bool:
    children = inline.children or []
    return bool(children) and children[0].type == "link_open" and children[-1].type == "link_close"


def text_of(tokens: list[Token]) -> str:
    """The body as plain text: paragraphs apart, list items with a dash, each address after its words."""
    lines: list[str] = []
    prefix = ""
    for token in tokens:
        if token.type == "list_item_open":
            prefix = "- "
        elif token.type == "inline":
            lines.append(prefix + _inline_text(token))
            prefix = ""
        elif token.type in {"paragraph_close", "heading_close", "bullet_list_close", "ordered_list_close"} and not token.hidden:
            lines.append("")
    return "\n".join(lines).strip() + "\n"


def _inline_text(token: Token) -> str:
    parts, target = [], ""
    for child in token.children or []:
        if child.type in {"text", "code_inline"}:
            parts.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        elif child.type == "link_open":
            target = str(child.attrGet("href") or "")
        elif child.type == "link_close":
            parts.append(f":\n{target}" if _is_button(token) else f" ({target})")
    return "".join(parts)


def _assemble(found: Sendable, skeleton: Skeleton, values: Mapping[str, str], now: datetime) -> bytes:
    settings = current_app.config["SETTINGS"]
    headers = {
        "From": formataddr((present_site().sender_name, settings.sender)),
        "To": found.address,
        "Subject": _fill(skeleton.subject, values),
        "Date": format_datetime(now),
        "Message-ID": found.message_id,
        **_purpose_headers(found, values),
        "MIME-Version": "1.0",
    }
    for name, value in headers.items():
        if "\r" in value or "\n" in value:
            raise ValueError(f"a line break in the header {name}")
    headers["Subject"] = _header_text(headers["Subject"], "Subject")
    if not present_site().sender_name.isascii():  # formataddr makes one word of it, however long
        headers["From"] = f"{_header_text(present_site().sender_name, 'From')} <{settings.sender}>"
    boundary = f"=_{found.public_id}"
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f'Content-Type: multipart/alternative; boundary="{boundary}"', "", ""]
    head = "\r\n".join(lines).encode("utf-8")
    parts = _part(boundary, "plain", skeleton.text, values) + _part(boundary, "html", skeleton.html, values)
    return head + parts + f"--{boundary}--\r\n".encode()


def _purpose_headers(found: Sendable, values: Mapping[str, str]) -> dict[str, str]:
    domain, purpose = current_app.config["MAIL_DOMAIN"], found.purpose
    headers = {"Feedback-ID": f"{found.stream}:{purpose.value}:courseapp"}
    if current_app.config["SETTINGS"].postmark_secret:  # which puts its own return path; what stands here it gives back
        headers[f"X-PM-Metadata-{MARK_NAME}"] = return_mark(found.public_id)
    if purpose is not Purpose.MARKETING:
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
