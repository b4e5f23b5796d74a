"""One row of a file of contacts: what it says of whom, or what is wrong with it and how to mend it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.contacts.address import address_key, address_mac, clean_address
from courseapp.contacts.models import Purpose
from courseapp.errors import Refusal

LONGEST_NAME = 80
EARLIEST = date(1995, 1, 1)
NO = {"", "no", "n", "false", "0", "-", "none"}
YES = {"yes", "y", "true", "1", "x", "ok"}
PURPOSE_OF = {"course_mail": Purpose.COURSE, "marketing": Purpose.MARKETING}
FIELD_WORDS: dict[str, LazyString] = {
    "address": _l("E-mail address"),
    "first_name": _l("First name"),
    "language": _l("Language"),
    "zone": _l("Time zone"),
    "course_mail": _l("Agreed to course mail on"),
    "marketing": _l("Agreed to marketing on"),
    "row": _l("The whole line"),
}
FIELDS = tuple(name for name in FIELD_WORDS if name != "row")

# What may be wrong, and how to mend it. Such a row is left out.
WRONG: dict[str, tuple[LazyString, LazyString]] = {
    "address_missing": (_l("There is no address."), _l("Add it, or remove the line.")),
    "address_odd": (_l("That is no e-mail address."), _l("Write one address alone, such as name@example.org.")),
    "name_long": (_l("The name has more than 80 letters."), _l("Shorten it; it is what a mail greets by.")),
    "name_odd": (_l("The name has line breaks or signs that cannot be shown."), _l("Remove them.")),
    "language_unknown": (_l("This site does not offer that language."), _l("Write one that it offers, such as “en”, or leave it empty.")),
    "zone_unknown": (_l("That is no time zone."), _l("Write it as “Europe/Berlin”, or leave it empty.")),
    "date_missing": (_l("It says that they agreed, and not when."), _l("Write the day, such as 2026-03-31.")),
    "date_odd": (_l("That is no date, or one that can be read in two ways."), _l("Write it as 2026-03-31 or 31.03.2026.")),
    "date_future": (_l("The day lies in the future, or too far back."), _l("Write the day on which they agreed.")),
    "no_consent": (_l("They agreed to nothing, so their address is not kept."), _l("Add when they agreed, or remove the line.")),
    "cells": (_l("The line has more cells than there are columns."), _l("Put quotation marks around cells that hold the separator.")),
    "too_many": (_l("From here on nothing is read: a file may have 200,000 lines."), _l("Bring in the rest as a file of its own.")),
    "twice": (_l("The address stands in the file before."), _l("Remove one of the lines; the first one counts.")),
}
# Which of these it is, is nobody's to learn who only has the address.
STAYS_OUT = (
    _l("They stay out: they have withdrawn here, or mail to them came back, was reported or is not wanted."),
    _l("It stays so. They can agree again by themselves."),
)
# What is told of a row that is not as new as it looks. Nothing is to be mended.
TOLD: dict[str, tuple[LazyString, LazyString]] = {
    "suppressed": STAYS_OUT,
    "withdrawn": STAYS_OUT,
    "known": (_l("They are known here and have agreed already."), _l("Nothing is to be done.")),
}


@dataclass(frozen=True)
class Row:
    """What a row says. `consents` are the moments at which they agreed, by purpose."""

    line: int
    address: str
    key: str
    mac: str
    first_name: str | None
    language: str
    zone: str
    consents: dict[Purpose, datetime]


@dataclass(frozen=True)
class Finding:
    """Something to be told of a line: about which field, and which of `WRONG` or `TOLD` it is."""

    line: int
    field: str
    code: str


@dataclass(frozen=True)
class Meant:
    """How cells are to be read: which column is which field, and what counts where a cell is empty."""

    columns: Mapping[str, int]
    width: int
    languages: Sequence[str]
    language: str
    zone: str


class _Wrong(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_row(line: int, cells: Sequence[str], meant: Meant, now: datetime) -> Row | list[Finding]:
    """The row of a line; or all that is wrong with it."""
    if len(cells) > meant.width and any(cells[meant.width :]):
        return [Finding(line, "row", "cells")]
    readers = {"address": _address, "first_name": _name, "language": _language, "zone": _zone, "course_mail": _day, "marketing": _day}
    said: dict[str, object] = {}
    findings = []
    for field, reader in readers.items():
        place = meant.columns.get(field)
        cell = cells[place] if place is not None and place < len(cells) else ""
        try:
            said[field] = reader(cell, meant, now)
        except _Wrong as wrong:
            findings.append(Finding(line, field, wrong.code))
    consents = {purpose: said[field] for field, purpose in PURPOSE_OF.items() if said.get(field)}
    if not findings and not consents:
        findings.append(Finding(line, "row", "no_consent"))
    if findings:
        return findings
    address = str(said["address"])
    name, language, zone = (said[field] for field in ("first_name", "language", "zone"))
    return Row(line, address, address_key(address), address_mac(address), name, language, zone, consents)  # type: ignore[arg-type]  # see readers


def _address(cell: str, _meant: Meant, _now: datetime) -> str:
    if not cell:
        raise _Wrong("address_missing")
    try:
        return clean_address(cell)
    except Refusal as refusal:
        raise _Wrong("address_odd") from refusal


def _name(cell: str, _meant: Meant, _now: datetime) -> str | None:
    if len(cell) > LONGEST_NAME:
        raise _Wrong("name_long")
    if not cell.isprintable() or "\ufffd" in cell:
        raise _Wrong("name_odd")
    return cell or None


def _language(cell: str, meant: Meant, _now: datetime) -> str:
    if not cell:
        return meant.language
    wished = cell.replace("_", "-").lower()
    for known in meant.languages:
        if wished in {known.lower(), known.lower().partition("-")[0]} or wished.partition("-")[0] == known.lower():
            return known
    raise _Wrong("language_unknown")


def _zone(cell: str, meant: Meant, _now: datetime) -> str:
    if not cell:
        return meant.zone
    if cell not in _zones():
        raise _Wrong("zone_unknown")
    return cell


@cache
def _zones() -> set[str]:
    return available_timezones()


def _day(cell: str, _meant: Meant, now: datetime) -> datetime | None:
    if cell.lower() in NO:
        return None
    if cell.lower() in YES:
        raise _Wrong("date_missing")
    day = _read_day(cell)
    if day is None:
        raise _Wrong("date_odd")
    if not EARLIEST <= day <= now.date():
        raise _Wrong("date_future")
    return min(datetime.combine(day, time(12), UTC), now)  # noon is the same day nearly everywhere


def _read_day(cell: str) -> date | None:
    """The day that a cell says; None for none, and for one such as 3/4/2026, which is another day on either side of an ocean."""
    try:
        if cell[4:5] == "-":
            return datetime.fromisoformat(cell).date()
        day, month, year = cell.split(".")
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
