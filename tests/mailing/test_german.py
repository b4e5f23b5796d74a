"""Mails in German: for whoever reads it, also in one go with mails in English."""

import pytest
from flask import Flask, render_template

from courseapp.contacts.models import Purpose
from courseapp.mailing.models import Message
from tests.factories import make_contact, make_letter, make_message
from tests.mailing.standard import TEMPLATES
from tests.mailing.test_message_format import GOLDEN, built, fresh_skeletons, text

__all__ = ["fresh_skeletons"]  # a fixture
IN_GERMAN = {"amount": "9,00 €", "until": "14. Dezember 2026", "tier": "Ihr Kurs, zweiter Teil"}  # as `billing.letters` writes them


def facts_of(template: str) -> dict[str, str]:
    """What fills a mail in, as a reader of German is told it."""
    return {name: IN_GERMAN.get(name, value) for name, value in TEMPLATES[template].items()}


def welcome() -> Message:
    """A first mail to a reader of German without a name."""
    return make_message(make_contact(language="de"), stream="service", template="accounts/welcome", fields=TEMPLATES["accounts/welcome"])


@pytest.mark.one_database
@pytest.mark.parametrize(
    "template", ["accounts/sign_in", "accounts/welcome", "billing/bought", "billing/renewed", "billing/trial_begun", "campaigns/agree"]
)
def test_each_service_mail_says_in_german_exactly_what_its_golden_file_says(app: Flask, template: str) -> None:
    """To renew after a meant change: delete the file, run this test once, read the new file."""
    reader = make_contact(first_name="Ada", language="de")
    mail = built(make_message(reader, stream="service", template=template, fields=facts_of(template)))
    found = f"Subject: {mail['Subject']}\n\n{text(mail)}"
    kept = GOLDEN / f"de-{template.replace('/', '-')}.txt"
    if not kept.exists():
        kept.write_text(found, encoding="utf-8")
        pytest.fail(f"{kept.name} was missing and has been written; read it and run again")
    assert found == kept.read_text(encoding="utf-8")
    assert '<html lang="de" dir="ltr">' in text(mail, "html")


@pytest.mark.one_database
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_no_mail_of_ours_is_partly_in_english(app: Flask, template: str) -> None:
    fields = facts_of(template)
    english = built(make_message(make_contact(), stream="service", template=template, fields=fields))
    german = built(make_message(make_contact(language="de"), stream="service", template=template, fields=fields))
    left = set(text(english).splitlines()) & set(text(german).splitlines())
    told = {"", "--", "Your course", *(line for value in fields.values() for line in value.splitlines())}
    assert left <= told
    assert german["Subject"] != english["Subject"]


def test_mails_of_several_languages_leave_in_one_go_each_in_its_own(app: Flask) -> None:
    fields = TEMPLATES["accounts/sign_in"]
    readers = [make_contact(language=tag) for tag in ("en", "de", "en", "de-AT", "fr")]
    subjects = [built(make_message(reader, stream="service", template="accounts/sign_in", fields=fields))["Subject"] for reader in readers]
    german, english = "Ihr Link zum Anmelden", "Your link to sign in"
    assert subjects == [english, german, english, german, english]


def test_a_mail_made_on_a_page_takes_no_language_from_it_and_leaves_the_pages_as_it_was(app: Flask) -> None:
    with app.test_request_context("/"):
        before = render_template("errors/page.html", title="", words="", number="")
        mail = built(welcome())
        assert mail["Subject"] == "Ihr Kurs ist bereit"
        assert render_template("errors/page.html", title="", words="", number="") == before


def test_a_nameless_reader_is_greeted_as_one_would(app: Flask) -> None:
    mail = built(welcome())
    assert text(mail).startswith("Hallo und guten Tag,")


@pytest.mark.parametrize(
    ("purpose", "why"), [(Purpose.COURSE, "zu Ihrem Kurs gebeten"), (Purpose.MARKETING, "von weiteren Kursen hören wollten")]
)
def test_the_frame_of_a_letter_is_in_the_language_of_the_letter(app: Flask, purpose: Purpose, why: str) -> None:
    letter = make_letter(language="de", subject="Wie es weitergeht", body="Guten Tag.", purpose=purpose)
    mail = built(make_message(make_contact(language="de"), stream=purpose.value, letter=letter))
    for body in (text(mail), text(mail, "html")):
        assert why in body
        assert "Diese E-Mails abbestellen" in body
        assert "Stop these mails" not in body
