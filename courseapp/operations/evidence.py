"""What somebody said about mail, as proof: each word on its own line, to which wording, where, when, from which network."""

from datetime import datetime
from typing import Any

from courseapp.accounts.models import User
from courseapp.campaigns.contact_imports import words_of_source
from courseapp.contacts import privacy as contacts
from courseapp.contacts.spreadsheets import csv_of
from courseapp.operations.support import Person, note_act

COLUMNS = ("purpose", "action", "at", "source", "network", "wording", "words")


def evidence_for_staff(person: Person, staff: User, now: datetime) -> dict[str, Any]:
    """The whole log of one person, the first word first. That somebody took it is written down for them; the caller commits."""
    note_act(person, "staff_exported_consents", staff, now)
    held = contacts.export(person.contact)
    return {
        "address": held["address"],
        "confirmed_at": held["confirmed_at"],
        "gets_no_mail": held["gets_no_mail"],
        "taken_at": now.isoformat(),
        "said": [{name: row[name] for name in COLUMNS} | {"source": source_in_words(row["source"])} for row in reversed(held["consents"])],
    }


def source_in_words(source: str) -> str:
    """Where something was said; of an import what was stated of it."""
    stated = words_of_source(source)
    return f"{source}: {stated}" if stated else source


def as_csv(evidence: dict[str, Any]) -> str:
    """The same for a spreadsheet, with the address in each line."""
    head = ("address", "confirmed_at", *COLUMNS)
    rows = [(evidence["address"], evidence["confirmed_at"], *(row[name] for name in COLUMNS)) for row in evidence["said"]]
    return csv_of([head, *rows], with_mark=True)
