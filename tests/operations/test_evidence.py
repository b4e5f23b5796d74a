"""The log of what somebody said about mail, taken as proof; and that taking it is written down for them."""

import csv
import io
import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from courseapp.accounts.models import User
from courseapp.contacts.consent import WORDING, log_consent, set_consent
from courseapp.contacts.models import ConsentAction, Contact, Purpose
from courseapp.contacts.spreadsheets import csv_of, plain_cell, safe_cell
from courseapp.extensions import db
from courseapp.operations.people import export
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_user
from tests.operations.supporting import ADA, do, events_about, own_page


def speak(contact: Contact) -> None:
    """Ask, agree, and take it back."""
    log_consent(contact.id, Purpose.MARKETING, ConsentAction.ASKED, NOW, "start", "192.0.2.0")
    set_consent(contact, Purpose.MARKETING, True, NOW, "start")
    set_consent(contact, Purpose.MARKETING, False, NOW, "unsubscribe", "198.51.100.0")
    db.session.commit()


def rows_of(text: str) -> list[dict[str, str]]:
    """The lines of a CSV file, by their heads."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_every_word_is_in_the_file_with_where_when_and_to_what(client: Client, owner: User, ada: User) -> None:
    speak(ada.contact)
    answer = do(client, ada, "export_consents", {"format": "csv"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="consents.csv"'
    assert answer.data.startswith(b"\xef\xbb\xbf")
    rows = rows_of(answer.text)
    said = [(row["action"], row["source"], row["network"]) for row in rows]
    assert said == [("asked", "start", "192.0.2.0"), ("given", "start", ""), ("withdrawn", "unsubscribe", "198.51.100.0")]
    version, words = WORDING[Purpose.MARKETING]
    assert {(row["address"], row["purpose"], row["wording"], row["words"]) for row in rows} == {(ADA, "marketing", version, str(words))}
    assert {row["at"] for row in rows} == {NOW.isoformat()}


def test_json_says_the_same(client: Client, owner: User, ada: User) -> None:
    speak(ada.contact)
    held = json.loads(do(client, ada, "export_consents", {"format": "json"}).text)
    assert [row["action"] for row in held["said"]] == ["asked", "given", "withdrawn"]
    assert held["address"] == ADA


def test_the_person_reads_that_it_was_taken(client: Client, owner: User, ada: User) -> None:
    speak(ada.contact)
    do(client, ada, "export_consents")
    assert events_about(ada) == ["staff_found", "staff_exported_consents"]
    assert "Downloaded what you agreed to and when, as proof." in own_page(client.application, ada)


def test_it_opens_only_to_an_owner_who_found_them(client: Client, owner: User, ada: User) -> None:
    speak(ada.contact)
    path = client.path("support.export_consents", id=ada.contact.public_id)
    answer: Any = client.post(path, data={"csrf_token": client.csrf_token("support.people")})
    assert (answer.status_code, answer.location) == (303, client.path("support.people"))
    assert events_about(ada) == []


def test_what_everybody_may_take_of_themselves_says_it_too(app: Flask) -> None:
    user = make_user("bob@example.org")
    speak(user.contact)
    told = export(user, user.contact)["contact"]["consents"]
    assert [(row["action"], row["network"], row["words"] is not None) for row in told] == [
        ("withdrawn", "198.51.100.0", True),
        ("given", None, True),
        ("asked", "192.0.2.0", True),
    ]


@pytest.mark.parametrize("words", ["=1+1", "+49", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1"])  # that is the point
def test_no_cell_is_a_formula_and_it_can_be_read_back(words: str) -> None:
    assert safe_cell(words) == f"'{words}"
    assert plain_cell(safe_cell(words)) == words
    assert next(csv.reader(io.StringIO(csv_of([[words]]), newline=""))) == [f"'{words}"]


@pytest.mark.parametrize("words", ["Ada", "o'Neill", "'quoted'", "", "1-2"])
def test_plain_cells_stay_as_they_are(words: str) -> None:
    assert safe_cell(words) == plain_cell(words) == words


FORMULA = "=1+cmd|' /C calc'!A0"


@pytest.mark.parametrize("begins", ["", "Ann;", "Ann,", "Ann\t", "Ann|", 'Ann;"', "Ann\r\n", "Ann\n\t", "Ann;\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_is_a_formula_wherever_a_spreadsheet_splits_it(begins: str, separator: str) -> None:
    text = csv_of([["ada@example.org", f"{begins}{FORMULA};", "en"]])
    for line in io.StringIO(text):  # quotation marks count only at the beginning of what is a cell
        for cell in line.rstrip("\r\n").split(separator):
            assert not cell.strip('"\t').startswith(tuple("=+-@")), (cell, text)
    assert plain_cell(safe_cell(f"{begins}{FORMULA};")) == f"{begins}{FORMULA};"


@given(st.text(st.sampled_from("=+-@＝;,|\t\r\n'\" ab")))
def test_what_is_made_safe_comes_back_exactly(words: str) -> None:
    made = safe_cell(words)
    assert plain_cell(made) == words
    assert not re.search(r"""(\A|[;,|\t\r\n])"*[=+\-@＝]""", made)
    assert [cell for (cell,) in csv.reader(io.StringIO(csv_of([[words]]), newline=""))] == [made] or not words


USUAL = ["Walking, standing; lying", "one line\r\nanother\n\nand a last", "form:blog", "2026-03-31T12:00:00+00:00", "a|b"]


@pytest.mark.parametrize("words", USUAL)
def test_usual_words_get_no_apostrophe(words: str) -> None:
    assert safe_cell(words) == words
