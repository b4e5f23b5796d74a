"""A sequence in several languages: written by page and in files, and sent to each reader in theirs; nobody gets a letter twice for it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.campaigns.models import Sequence
from courseapp.campaigns.publishing import publish_sequence, read_sequence
from courseapp.campaigns.sequence_drafts import draft_of, keep_draft, latest_version, migrate_runs, problems_of, publish, said_by
from courseapp.campaigns.sequence_shapes import StepDraft, draft_from, kept
from courseapp.campaigns.sequence_steps import with_language, with_step_moved
from courseapp.campaigns.translations import Translation
from courseapp.extensions import db
from courseapp.learning.enrolment import enrol
from courseapp.mailing import message as message_module
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import sendables
from tests.campaigns.people import learner_of, steps, tick
from tests.campaigns.test_publishing import STEP, folder
from tests.campaigns.test_sequence_pages import HEAD, LETTER, press, the_only, written  # noqa: F401  # a fixture among them
from tests.client import Client
from tests.factories import NOW, make_consent, make_contact, make_course, make_user

pytestmark = pytest.mark.settings(languages="en,de,fr", base_url="https://learn.example")
TYPED = {"subject": "Wo es anfängt", "preheader": "Eine kurze Lektion", "body": "Hallo {{ progress_words }}."}
GERMAN = Translation("de", **TYPED)
HELLO = StepDraft(0, None, "Where to begin", "A short lesson", "Hello {{ progress_words }}.")


@pytest.fixture
def marketer(client: Client) -> User:
    """A browser in which a marketer is signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=("marketer",)))


def change(sequence: Sequence, *letters: StepDraft) -> None:
    """Write these letters and publish them."""
    keep_draft(sequence, replace(draft_of(sequence), steps=letters), sequence.draft_version, None, NOW)
    publish(sequence, None, NOW)
    db.session.commit()


def mails() -> dict[str, tuple[str, str]]:
    """What each person gets: subject and text, by address."""
    message_module._skeleton.cache_clear()
    rows = db.session.scalars(sa.select(Message).where(Message.dedupe_key.like("sequence:%"))).all()
    found = sendables([row.id for row in rows])
    return {mail.address: (message_module.text_of(mail)[0].subject, mail.fields["progress_words"]) for mail in found.values()}


def test_each_learner_gets_a_step_in_their_own_language_and_else_as_it_was_first_written(app: Flask) -> None:
    course = make_course(needs=(("none", "none"),))
    change(written(), replace(HELLO, translations=(GERMAN,)))
    for tag in ("en", "de", "de-AT", "fr"):
        user = make_user(contact=make_contact(f"{tag}@example.org", language=tag))
        assert user.contact is not None
        make_consent(user.contact)
        enrol(user, course.id, NOW)
    db.session.commit()
    tick(NOW)
    found = {address.partition("@")[0]: subject for address, (subject, _progress) in mails().items()}
    assert found == {"en": HELLO.subject, "de": GERMAN.subject, "de-AT": GERMAN.subject, "fr": HELLO.subject}


def test_a_version_that_adds_a_language_sends_nobody_a_step_again(app: Flask) -> None:
    course = make_course(needs=(("none", "none"),))
    sequence = written()
    letters = (HELLO, replace(HELLO, delay_days=2, subject="On"))
    change(sequence, *letters)
    learner_of(course)
    tick(NOW)
    change(sequence, *(replace(step, translations=(replace(GERMAN, subject=f"{step.subject} auf Deutsch"),)) for step in letters))
    assert migrate_runs(sequence, None, NOW) == 1
    for day in range(5):
        tick(NOW + timedelta(days=day, hours=1))
    assert steps() == [("Where to begin", "accepted"), ("On", "accepted")]


def test_a_draft_keeps_its_languages_and_one_of_before_has_none(app: Flask) -> None:
    draft = draft_of(written(replace(HELLO, translations=(GERMAN,))))
    assert draft.steps[0].translations == (GERMAN,)
    before = kept(draft)
    before["steps"] = [{name: value for name, value in step.items() if name != "translations"} for step in before["steps"]]
    assert draft_from(before).steps == (HELLO,)


def test_a_version_says_what_was_written_and_the_same_again_is_no_change(app: Flask) -> None:
    sequence = written()
    change(sequence, replace(HELLO, translations=(GERMAN,)))
    version = latest_version(sequence)
    assert version is not None
    assert said_by(version).steps[0].translations == (GERMAN,)
    keep_draft(sequence, said_by(version), sequence.draft_version, None, NOW)
    assert sequence.draft is None


def test_what_is_wrong_in_a_language_is_told_by_step_language_and_line(app: Flask) -> None:
    draft = draft_of(written(replace(HELLO, translations=(replace(GERMAN, body="Hallo.\n\n{{ nobody }}"),))))
    (problem,) = problems_of(draft)
    assert (problem.step, problem.is_warning) == (1, False)
    assert "Step 1: German, line 3: There is no merge field “nobody”." in str(problem)


def test_a_step_that_is_not_there_in_a_language_of_the_others_is_to_be_thought_of(app: Flask) -> None:
    draft = draft_of(written(replace(HELLO, translations=(GERMAN,)), replace(HELLO, delay_days=2)))
    (problem,) = problems_of(draft)
    assert (problem.step, problem.is_warning) == (2, True)
    assert problem.words == "It is not written in German, as others are. Whoever reads that gets it in English."


def test_two_letters_in_one_language_are_to_be_mended(app: Flask) -> None:
    draft = replace(draft_of(written(replace(HELLO, translations=(GERMAN,)))), language="de")
    assert any("twice in German" in str(problem) for problem in problems_of(draft) if not problem.is_warning)


def test_a_step_that_moves_takes_its_languages_along(app: Flask) -> None:
    draft = draft_of(written(HELLO, replace(HELLO, delay_days=2, subject="On")))
    moved, place = with_step_moved(with_language(draft, 1, GERMAN), 1, 1)
    assert (place, moved.steps[1].translations, moved.steps[0].translations) == (2, (GERMAN,), ())


# --- files -------------------------------------------------------------------------------------------------------------


def in_language(place: Path, name: str, front: str = "subject: Ein Betreff\npreheader: Davor\n", body: str = "Hallo.") -> None:
    """A file of a translation."""
    (place / name).write_text(f"---\n{front}---\n\n{body}\n")


def test_a_folder_says_its_letters_in_other_languages_also_such_as_the_site_has_not(app: Flask, tmp_path: Path) -> None:
    place = folder(tmp_path)
    in_language(place, "2.de.md")
    in_language(place, "2.pt-BR.md", "subject: Um assunto\npreheader: Antes\n", "Olá.")
    _key, draft = read_sequence(place)
    assert [[each.language for each in step.translations] for step in draft.steps] == [[], ["de", "pt-BR"]]
    assert draft.steps[1].translations[0] == Translation("de", "Ein Betreff", "Davor", "Hallo.")
    assert publish_sequence(place, NOW)[1]
    assert not publish_sequence(place, NOW)[1]


@pytest.mark.parametrize(
    ("name", "front", "said"),
    [
        ("3.de.md", "subject: Ein Betreff\n", "3.de.md: there is no 3.md which it translates"),
        ("1.en.md", "subject: A subject\n", "1.en.md: the sequence is written in “en” already; put these words into 1.md"),
        ("1.xx1.md", "subject: Ein Betreff\n", "1.xx1.md: a letter in another language is named by its number and the language"),
        ("1b.de.md", "subject: Ein Betreff\n", "1b.de.md: a letter in another language is named by its number and the language"),
        ("1.de.md", "subject: Ein Betreff\ndelay_days: 2\n", "1.de.md: delay_days belongs to the letter itself"),
        ("1.de.md", "preheader: Davor\n", "1.de.md: subject is missing"),
    ],
)
def test_what_is_wrong_with_a_file_of_a_language_is_told_by_its_name(app: Flask, tmp_path: Path, name: str, front: str, said: str) -> None:
    place = folder(tmp_path)
    in_language(place, name, front)
    with pytest.raises(ValueError, match="^" + said.replace(".", r"\.")):
        read_sequence(place)


def test_a_line_that_is_wrong_is_that_of_the_file(app: Flask, tmp_path: Path) -> None:
    place = folder(tmp_path, "key: small\ntitle: Small\npurpose: course\ntrigger: enrolled\n", STEP.format(0))
    in_language(place, "1.de.md", body="Hallo.\n\n{{ nobody }}")
    with pytest.raises(ValueError, match=r"^1\.de\.md: line 8: There is no merge field “nobody”"):
        publish_sequence(place, NOW)


# --- pages -------------------------------------------------------------------------------------------------------------


def test_a_letter_is_written_in_another_language_looked_at_and_taken_out(client: Client, press: Callable) -> None:  # noqa: F811  # the fixture from there
    sequence = written(HELLO)
    place = {"id": sequence.public_id, "number": 1}
    page = client.visit("sequence_letters.letter", **place).text
    assert page.count("not written") == 2
    assert "Its readers get the letter in English." in page
    answer = press("sequence_letters.translate", sequence, 1, tag="de", **TYPED, then="look")
    assert answer.location == client.path("sequence_letters.look", **place, language="de")
    assert draft_of(the_only()).steps[0].translations == (GERMAN,)
    look = client.visit("sequence_letters.look", **place, language="de").text
    assert "Wo es anfängt" in look
    assert "language=de" in look
    assert "Written in English and German." in client.visit("sequence_drafts.draft", id=sequence.public_id).text
    assert press("sequence_letters.change_letter", the_only(), 1, **LETTER).status_code == 303
    assert draft_of(the_only()).steps[0].translations == (GERMAN,)
    assert "Take German out?" in client.visit("sequence_letters.ask_to_take_out", **place, tag="de").text
    assert press("sequence_letters.take_out", the_only(), 1, tag="de").status_code == 303
    assert draft_of(the_only()).steps[0].translations == ()


def test_whoever_comes_second_writes_over_nobody(client: Client, press: Callable) -> None:  # noqa: F811  # the fixture from there
    sequence = written(HELLO)
    assert press("sequence_letters.translate", sequence, 1, tag="de", **TYPED).status_code == 303
    answer = press("sequence_letters.translate", the_only(), 1, tag="de", **TYPED | {"subject": "Anders"}, version="1")
    assert answer.status_code == 409
    assert "Anders" in answer.text
    press("sequence_letters.take_out", the_only(), 1, tag="de", version="1")
    assert draft_of(the_only()).steps[0].translations == (GERMAN,)


def test_the_language_of_a_sequence_cannot_become_one_that_it_is_written_in(client: Client, press: Callable) -> None:  # noqa: F811  # the fixture from there
    sequence = written(replace(HELLO, translations=(GERMAN,)))
    answer = press("sequence_drafts.change_head", sequence, **HEAD | {"language": "de"})
    assert answer.status_code == 422
    assert "Some of its letters are written in German already." in answer.text
    assert press("sequence_drafts.change_head", sequence, **HEAD | {"language": "fr"}).status_code == 303


@pytest.mark.parametrize("tag", ["en", "it", "xx1"])
def test_only_other_languages_of_the_site_are_written(client: Client, marketer: User, tag: str) -> None:
    sequence = written(HELLO)
    assert client.get(client.path("sequence_letters.translation", id=sequence.public_id, number=1, tag=tag)).status_code == 404


@pytest.mark.settings(languages="en")
def test_a_site_of_one_language_says_nothing_of_others(client: Client, marketer: User) -> None:
    sequence = written(HELLO)
    assert "In other languages" not in client.visit("sequence_letters.letter", id=sequence.public_id, number=1).text
