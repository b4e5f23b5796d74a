"""Links in letters that would lead nowhere, found without asking another machine."""

from collections.abc import Sequence, Set
from urllib.parse import urlsplit

from flask import current_app
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from courseapp.mailing.blocks import kind_of
from courseapp.mailing.fields import ADDRESSES, MARK, OPEN, Field
from courseapp.site import present_site

Fault = tuple[str, str]
"""What is wrong with an address, and how to mend it."""


def fault_of_link(address: str, fields: Sequence[Field], known: Set[str]) -> Fault | None:
    """Why an address of a link cannot be used, or None where it can.

    Args:
        address: as a marked text has it; `fields` are those of its marks.
        known: the references that lead somewhere.
    """
    if OPEN in address:
        return _fault_of_field(address, fields)
    if kind_of(address):
        return None if address in known else _unknown(address)
    return _fault_of_address(address)


def _fault_of_field(address: str, fields: Sequence[Field]) -> Fault | None:
    whole = MARK.fullmatch(address)
    if whole and fields[int(whole[1])].name in ADDRESSES:
        return None
    names = ", ".join(sorted(ADDRESSES))
    words = _("A merge field in an address would tell other sites who reads the letter.")
    return words, _("Only these may be one, and then the whole of it: %(names)s.", names=names)


def _unknown(address: str) -> Fault:
    return (
        _("“%(address)s” is nothing that a letter can lead to.", address=address[:80]),
        _("Name a published course, a page, or a published lesson that needs no safety check, such as lesson:course/lesson."),
    )


def _fault_of_address(address: str) -> Fault | None:
    shown = address[:80]
    try:
        parts = urlsplit(address)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        return _("“%(address)s” is no address.", address=shown), _("Write the whole address, beginning with https://.")
    if scheme in {"mailto", "tel"} and parts.path.strip():
        return None
    if not scheme:
        return _("“%(address)s” leads nowhere from a letter.", address=shown), _("Write the whole address, beginning with https://.")
    if scheme not in {"http", "https"} or not host:
        return _("“%(address)s” is no address of a page.", address=shown), _("Write an address that begins with https://.")
    own = urlsplit(present_site().url)
    if host != own.hostname:
        return None
    if scheme != own.scheme:
        return _("“%(address)s” leads to our own site without encryption.", address=shown), _("Begin it with https://.")
    if not _is_page(parts.path or "/"):
        return _("“%(address)s” is no page of our site.", address=shown), _("Open the page, and copy its address from there.")
    return None


def _is_page(path: str) -> bool:
    try:
        current_app.url_map.bind("").match(path, "GET")
    except RequestRedirect:
        return True
    except HTTPException:
        return path.startswith("/static/")
    return True
