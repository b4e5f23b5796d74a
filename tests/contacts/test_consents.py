"""Consents: one box per purpose, none ticked, append-only, and worth nothing until the address's reader has said so."""

import hashlib
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.contacts.consent import WORDING, consent_history, has_last_said, holds_consent, log_consent, set_consent, words_of
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_contact, make_course, make_user

DIGESTS = {  # version → SHA-256 of the words; a changed sentence is a new version, and both lines are changed together
    "course-1": "903f1e9e226ff242",
    "marketing-1": "e56c9d2c5d32c0f9",
    "course-1:de": "380f2d7ad8bfce08",
    "marketing-1:de": "d967a9616a61375b",
}


def held(address: str) -> set[str]:
    """The purposes an address agrees to."""
    contact = db.session.scalars(sa.select(Contact).where(Contact.address == address)).one()
    return {purpose.value for purpose in WORDING if holds_consent(contact, purpose)}


def test_each_wording_is_the_one_its_version_stands_for_in_every_language(app: Flask) -> None:
    found = {}
    for tag in ("", ":de"):
        for version, _words in WORDING.values():
            found[version + tag] = hashlib.sha256((words_of(version + tag) or "").encode()).hexdigest()[:16]
    assert found == DIGESTS
    assert set(WORDING) == {Purpose.COURSE, Purpose.MARKETING}


@pytest.mark.settings(languages="en, de")
def test_the_log_says_in_which_language_the_sentence_was_read(app: Flask) -> None:
    make_course()
    for language in ("de-AT", "en"):
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        client.submit("learning.start", {"address": f"{language}@example.org", "course_mail": "y"})
    rows = {row.wording: words_of(row.wording) or "" for row in db.session.scalars(sa.select(Consent))}
    assert set(rows) == {"course-1:de", "course-1"}
    assert rows["course-1:de"].startswith("Schicken Sie mir")
    assert rows["course-1"].startswith("Send me")


def test_no_box_is_ticked_on_the_start_page(client: Client) -> None:
    make_course()
    page = client.visit("learning.start").text
    assert page.count('type="checkbox"') == len(WORDING)
    assert "checked" not in page
    assert all(str(words) in page for _version, words in WORDING.values())


def test_nothing_is_asked_for_where_nothing_was_ticked(client: Client) -> None:
    make_course()
    client.submit("learning.start", {"address": "ada@example.org"})
    client.submit(last_mail_to("ada@example.org").link)
    assert db.session.query(Consent).count() == 0
    assert client.visit("learning.course", slug="introduction").status_code == 200


@pytest.mark.parametrize("ticked", [{"course_mail": "y"}, {"marketing": "y"}, {"course_mail": "y", "marketing": "y"}])
def test_what_was_ticked_counts_once_the_address_is_confirmed_and_not_before(client: Client, ticked: dict[str, str]) -> None:
    make_course()
    client.submit("learning.start", {"address": "ada@example.org", **ticked})
    wanted = {"course" if name == "course_mail" else name for name in ticked}
    assert held("ada@example.org") == set()
    assert db.session.query(Event).filter(Event.type.like("consent%")).count() == 0
    asked = db.session.scalars(sa.select(Consent)).all()
    assert {(row.action, row.purpose.value, row.network) for row in asked} == {(ConsentAction.ASKED, name, "127.0.0.0") for name in wanted}
    assert {row.wording for row in asked} == {WORDING[Purpose(name)][0] for name in wanted}
    client.submit(last_mail_to("ada@example.org").link)
    assert held("ada@example.org") == wanted


def test_a_strangers_tick_does_not_count_when_the_owner_signs_in_by_a_mail_of_their_own(client: Client) -> None:
    make_course()
    make_user("ada@example.org")
    stranger = client.application.test_client()
    stranger.submit("learning.start", {"address": "ada@example.org", "marketing": "y", "course_mail": "y"})
    client.submit("accounts.sign_in", {"address": "ada@example.org"})
    client.submit(last_mail_to("ada@example.org").link)
    assert client.visit("accounts.settings").status_code == 200
    assert held("ada@example.org") == set()


def test_a_strangers_tick_does_not_count_before_anyone_confirms_it(client: Client) -> None:
    make_course()
    contact = make_user("ada@example.org").contact
    client.submit("learning.start", {"address": "ada@example.org", "marketing": "y"})
    assert not holds_consent(contact, Purpose.MARKETING)
    assert contact.is_confirmed


def test_ticks_without_an_address_leave_nothing(client: Client) -> None:
    make_course()
    client.submit("learning.start", {"course_mail": "y", "marketing": "y"})
    assert db.session.query(Consent).count() == 0


def test_the_last_word_counts_and_every_word_stays(app: Flask) -> None:
    contact = make_contact()
    for wanted in (True, False, True, False):
        assert set_consent(contact, Purpose.COURSE, wanted, NOW, "preferences")
        assert not set_consent(contact, Purpose.COURSE, wanted, NOW, "preferences")
        assert holds_consent(contact, Purpose.COURSE) is wanted
    log_consent(contact.id, Purpose.COURSE, ConsentAction.ASKED, NOW, "start")
    assert not holds_consent(contact, Purpose.COURSE)
    assert [row.action.value for row in consent_history(contact)] == ["asked", "withdrawn", "given", "withdrawn", "given"]


def test_a_strangers_tick_takes_away_nothing_that_was_given(app: Flask) -> None:
    contact = make_contact()
    set_consent(contact, Purpose.COURSE, True, NOW, "preferences")
    log_consent(contact.id, Purpose.COURSE, ConsentAction.ASKED, NOW, "start")
    assert holds_consent(contact, Purpose.COURSE)


def test_a_no_is_kept_also_where_nothing_was_given(app: Flask) -> None:
    contact = make_contact()
    log_consent(contact.id, Purpose.MARKETING, ConsentAction.ASKED, NOW, "start")
    assert set_consent(contact, Purpose.MARKETING, False, NOW, "preferences")
    assert not set_consent(contact, Purpose.MARKETING, False, NOW, "preferences")
    assert [row.action.value for row in consent_history(contact)] == ["withdrawn", "asked"]


def test_a_word_on_one_purpose_says_nothing_on_another_or_for_another(app: Flask) -> None:
    one, other = make_contact(), make_contact()
    set_consent(one, Purpose.COURSE, True, NOW, "preferences")
    assert [holds_consent(one, Purpose.MARKETING), holds_consent(other, Purpose.COURSE)] == [False, False]


def test_looking_through_many_says_of_each_what_asking_for_one_says(app: Flask) -> None:
    logs = {make_contact(): words for length in range(4) for words in product(ConsentAction, repeat=length)}
    for contact, words in logs.items():
        for word in words:
            log_consent(contact.id, Purpose.COURSE, word, NOW, "start")
    chosen = {
        action: set(db.session.scalars(sa.select(Contact.id).where(has_last_said(Contact.id, Purpose.COURSE, action))))
        for action in (ConsentAction.GIVEN, ConsentAction.WITHDRAWN)
    }
    for contact, words in logs.items():
        last = [word for word in words if word is not ConsentAction.ASKED][-1:]
        assert [action for action, ids in chosen.items() if contact.id in ids] == last
        assert holds_consent(contact, Purpose.COURSE) == (contact.id in chosen[ConsentAction.GIVEN])


def test_no_code_changes_or_deletes_a_consent_but_erasure() -> None:
    root = Path(__file__).parents[2] / "courseapp"
    found = [path.relative_to(root).as_posix() for path in root.rglob("*.py") if re.search(r"(update|delete)\(Consent\)", path.read_text())]
    assert found == ["contacts/people.py"]


def test_giving_and_withdrawing_are_journalled_with_ids_alone(app: Flask) -> None:
    contact = make_contact("ada@example.org")
    set_consent(contact, Purpose.COURSE, True, NOW, "preferences", "127.0.0.0")
    row: Any = db.session.scalars(sa.select(Event)).one()
    assert (row.type, row.subject) == ("consent_given", f"contact:{contact.id}")
    assert row.data == {"contact_id": contact.id, "purpose": "course"}
