"""What a mail looks like on the wire: parsed as a mail program would, compared with kept texts, and safe whatever fills it."""

import email
import email.policy
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from courseapp.contacts.address import address_mac
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import message as message_module
from courseapp.mailing.bulk import new_stream
from courseapp.mailing.links import contact_of_token, mail_token
from courseapp.mailing.message import outgoing
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import enqueue, sendables
from courseapp.mailing.streams import STANDARD
from tests.conftest import NOW
from tests.factories import make_contact, make_letter, make_message
from tests.mailing.standard import TEMPLATES

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def fresh_skeletons() -> Iterator[None]:
    """What is kept in memory between mails belongs to one application."""
    message_module._skeleton.cache_clear()
    yield
    message_module._skeleton.cache_clear()


def built(message: Message) -> EmailMessage:
    """The mail of a message, parsed; a defect is a failure."""
    content = outgoing(sendables([message.id])[message.id], NOW).content
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", content) is None
    mail = cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))
    assert not mail.defects
    assert not [defect for part in mail.walk() for defect in part.defects]
    return mail


def text(mail: EmailMessage, kind: str = "plain") -> str:
    """One of its bodies."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_every_mail_of_our_own_is_looked_at_here() -> None:
    files = (Path(__file__).parent.parent.parent / "templates").glob("*/mail/*.md")
    assert {f"{path.parent.parent.name}/{path.stem}" for path in files} == set(TEMPLATES)


@pytest.mark.one_database
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_the_text_of_each_service_mail_is_the_kept_one(app: Flask, template: str) -> None:
    """To renew after a meant change: delete the file, run this test once, read the new file."""
    mail = built(make_message(make_contact(first_name="Ada"), stream="service", template=template, fields=TEMPLATES[template]))
    found = f"Subject: {mail['Subject']}\n\n{text(mail)}"
    kept = GOLDEN / f"{template.replace('/', '-')}.txt"
    if not kept.exists():
        kept.write_text(found, encoding="utf-8")
        pytest.fail(f"{kept.name} was missing and has been written; read it and run again")
    assert found == kept.read_text(encoding="utf-8")


@pytest.mark.one_database
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_both_bodies_of_a_service_mail_carry_its_link_and_nothing_from_elsewhere(app: Flask, template: str) -> None:
    fields = TEMPLATES[template]
    mail = built(make_message(stream="service", template=template, fields=fields))
    html = text(mail, "html")
    for value in fields.values():
        assert value in text(mail)
        assert value in html
    assert not re.search(r"<(img|script|link|iframe|object|base)\b|src=|@import|url\(", html)
    assert set(re.findall(r'href="(https?://[^/"]+)', html)) == {"https://learn.example"}
    assert "<style" not in html or "{" in html


@pytest.mark.parametrize(("purpose", "said"), [(Purpose.SERVICE, "auto-generated"), (Purpose.COURSE, None), (Purpose.MARKETING, None)])
def test_what_somebody_wrote_for_a_day_does_not_say_that_a_machine_did(app: Flask, purpose: Purpose, said: str | None) -> None:
    stream = new_stream("own-1", purpose)
    assert built(make_message(stream=stream.key, letter=make_letter(purpose=purpose)))["Auto-Submitted"] == said


def test_service_mail_has_no_unsubscribing_and_course_mail_has_all_of_it(app: Flask) -> None:
    for key, (purpose, _reaches) in STANDARD.items():
        mail = built(make_message(stream=key))
        is_service = purpose is Purpose.SERVICE
        assert mail["X-PM-Metadata-message"] is None  # only where Postmark sends
        assert mail["X-Mailgun-Variables"] is mail["X-Mailgun-Track"] is None  # and these where Mailgun does
        for name in ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"):
            assert (mail[name] is None) is is_service, (key, name)
        assert mail["Auto-Submitted"] == "auto-generated"
        assert ("Stop these mails" in text(mail)) is not is_service
        if not is_service:
            assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            url = re.match(r"<([^>]+)>, <mailto:[^>]+>$", mail["List-Unsubscribe"]).group(1)
            token = url.rpartition("/")[2]
            said = contact_of_token(token)
            assert said.purpose == purpose.value
            assert said.is_of_address(address_mac(mail["To"]))
            assert not said.is_of_address(address_mac("other@example.org"))
            assert url in text(mail)
            assert url in text(mail, "html")


def test_neither_subject_nor_list_nor_sender_name_the_topic(app: Flask) -> None:
    for key in STANDARD:
        mail = built(make_message(stream=key, template="accounts/welcome", fields=TEMPLATES["accounts/welcome"]))
        headers = " ".join(str(value) for name, value in mail.items() if name not in {"List-Unsubscribe"})
        assert not re.search(r"pelvi|massage|floor|introduction", headers, re.IGNORECASE)


def test_the_message_id_is_the_same_at_every_attempt_and_another_for_every_message(app: Flask) -> None:
    first, second = make_message(), make_message()
    assert built(first)["Message-ID"] == built(first)["Message-ID"] == first.message_id
    assert built(second)["Message-ID"] != first.message_id
    enqueue(dedupe_key="a", stream="course", contact_id=make_contact().id, letter=make_letter(), now=NOW)
    row = db.session.query(Message).filter_by(dedupe_key="a").one()
    assert re.fullmatch(r"<[0-9a-z.]{20,}@[a-z.]+>", row.message_id)


@pytest.mark.one_database
@pytest.mark.parametrize("subject", ["Grüße, schön", "日本語の件名" * 10, "🌿" * 60, "plain", "long words " * 17, "a  b", "ä" + "  b" * 60])
def test_a_subject_in_any_letters_arrives_as_it_was_written(app: Flask, subject: str) -> None:
    message = make_message(letter=make_letter(subject=subject[:200]))
    assert built(message)["Subject"].strip() == subject[:200].strip()
    head = outgoing(sendables([message.id])[message.id], NOW).content.partition(b"\r\n\r\n")[0]
    assert max(len(word) for word in re.findall(rb"=\?[^ ?]+\?[bq]\?[^ ?]*\?=", head) or [b""]) <= 75
    assert head.isascii()


# A sum of eight digits: a signed link may hold any two of them by chance, and did.
SUM = "{{7777*8888}}"
EVALUATED = str(7777 * 8888)
HOSTILE = "<script>alert(1)</script>\"'&" + SUM


def test_a_hostile_first_name_is_escaped_in_html_and_harmless_in_text(app: Flask) -> None:
    message = make_message(
        make_contact(first_name=HOSTILE),
        letter=make_letter(subject="For {{ first_name }}", body="Hello {{ first_name }}, [go]({{ continue_url }})."),
    )
    mail = built(message)
    assert "<script>" not in text(mail, "html")
    assert "&lt;script&gt;" in text(mail, "html")
    assert f"Hello {HOSTILE}," in text(mail)
    assert EVALUATED not in text(mail) + text(mail, "html")
    assert mail["Subject"] == f"For {HOSTILE}"


@pytest.mark.parametrize("name", ["Ada\r\nBcc: eve@evil.test", "Ada\nX: y", "Ada\r"])
def test_a_line_break_never_reaches_a_header(app: Flask, name: str) -> None:
    message = make_message(make_contact(first_name=name), letter=make_letter(subject="For {{ first_name }}"))
    with pytest.raises(ValueError, match="line break"):
        outgoing(sendables([message.id])[message.id], NOW)
    message = make_message(make_contact(first_name=name), letter=make_letter(subject="Plain", body="Hello {{ first_name }}"))
    assert built(message)["Bcc"] is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("\u2028x")
@example("\x85Bcc: x@y.test")
@example("\x0bBcc: x@y.test")
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
@pytest.mark.one_database
def test_whatever_a_name_is_the_mail_has_one_recipient_and_its_own_headers(app: Flask, name: str) -> None:
    message = make_message(make_contact(first_name="x"), letter=make_letter(subject="For {{ first_name }}", body="Hello {{ first_name }}"))
    message.contact.first_name = name
    try:
        mail = email.message_from_bytes(outgoing(sendables([message.id])[message.id], NOW).content, policy=email.policy.default)
    except ValueError:
        assert "\r" in name or "\n" in name
        return
    finally:
        db.session.rollback()
    assert mail["Bcc"] is None
    assert len(mail.get_all("To")) == len(mail.get_all("Subject")) == 1
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def test_long_lines_and_any_letters_survive_the_way(app: Flask) -> None:
    body = "Wörter 🌿 = ?=20 " * 400 + "\n\n.\n\n- eins\n- zwei"
    mail = built(make_message(letter=make_letter(body=body)))
    assert ("Wörter 🌿 = ?=20 " * 400).strip() in text(mail)
    assert "- eins\n- zwei" in text(mail)
    assert "Wörter 🌿" in text(mail, "html")


def test_html_in_a_letter_is_shown_and_not_run(app: Flask) -> None:
    html = text(
        built(make_message(letter=make_letter(body="<script>alert(1)</script> <b onclick=x>y</b> [x](javascript:alert(1))"))), "html"
    )
    assert "<script>" not in html
    assert "<b " not in html
    assert 'href="javascript:' not in html


def test_a_default_stands_in_for_an_empty_field(app: Flask) -> None:
    letter = make_letter(subject="A word", body='Hello {{ first_name | default("you there") }}.')
    assert "Hello you there." in text(built(make_message(make_contact(first_name=None), letter=letter)))
    assert "Hello Ada." in text(built(make_message(make_contact(first_name="Ada"), letter=letter)))


def test_what_is_no_field_is_left_as_it_stands_and_never_evaluated(app: Flask) -> None:
    mail = built(make_message(letter=make_letter(body=SUM + " {{config}} {{ config.SECRET_KEY }} {% print(1) %}")))
    assert SUM in text(mail)
    assert app.config["SECRET_KEY"] not in text(mail) + text(mail, "html")
    assert EVALUATED not in text(mail)


@pytest.mark.settings(
    sender_name='Ümläut, "Quote" <x@evil.test>',
    sender_address="us@example.org",
    postal_address="1 Road, Town",
    bounce_domain="bounce.example.org",
)
def test_sender_postal_address_and_envelope_are_those_of_the_settings(app: Flask) -> None:
    message = make_message(stream="marketing")
    mail = built(message)
    assert [(address.display_name, address.addr_spec) for address in mail["From"].addresses] == [
        ('Ümläut, "Quote" <x@evil.test>', "us@example.org")
    ]
    assert "1 Road, Town" in text(mail)
    assert "1 Road, Town" in text(mail, "html")
    sender = outgoing(sendables([message.id])[message.id], NOW).sender
    assert re.fullmatch(rf"bounces\+b-{message.public_id}-[0-9a-f]{{20}}@bounce\.example\.org", sender)


@pytest.mark.settings(postmark_secret="only for the tests", bounce_domain="bounce.example.org")
def test_what_postmark_gives_back_names_the_message(app: Flask) -> None:
    message = make_message()
    mark = outgoing(sendables([message.id])[message.id], NOW).sender.partition("+")[2].partition("@")[0]
    assert built(message)["X-PM-Metadata-message"] == mark


@pytest.mark.settings(mailgun_signing_key="only for the tests", bounce_domain="bounce.example.org")
def test_what_mailgun_gives_back_names_the_message_and_it_is_told_to_count_nobody(app: Flask) -> None:
    for key in STANDARD:
        message = make_message(stream=key)
        mail = built(message)
        mark = outgoing(sendables([message.id])[message.id], NOW).sender.partition("+")[2].partition("@")[0]
        assert json.loads(mail["X-Mailgun-Variables"]) == {"message": mark}
        assert mail["X-Mailgun-Track"] == "no"


@pytest.mark.settings(languages="pt-BR")
@pytest.mark.one_database
def test_a_mail_in_a_language_with_a_region_is_built(app: Flask) -> None:
    contact = make_contact(language="pt-BR")
    own = make_message(contact, stream="service", template="accounts/welcome", fields=TEMPLATES["accounts/welcome"])
    for message in (own, make_message(contact, letter=make_letter(language="pt-BR"))):
        assert 'lang="pt-BR"' in text(built(message), "html")


def test_tokens_in_mails_are_signed(app: Flask) -> None:
    contact = make_contact()
    token = mail_token(contact.public_id, "course", contact.address_mac)
    assert contact_of_token(token)[:2] == (contact.public_id, "course")
    for wrong in ("", "x", token[:-1], token.replace(".", "-"), token + "x"):
        assert contact_of_token(wrong) is None
