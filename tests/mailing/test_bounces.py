"""What follows from what came back: once, for the right message, and never from a forged word."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import consent_history, holds_consent
from courseapp.contacts.models import Contact, Purpose, Suppression, SuppressionReason
from courseapp.contacts.people import forget_address, move_to_address
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import bounces, privacy
from courseapp.mailing.bounces import PATIENCE, key_of, take, try_again
from courseapp.mailing.forgetting import RETURNS_KEPT, forget_old
from courseapp.mailing.models import Message, Return, ReturnKind, ReturnOutcome, ReturnSource, State
from courseapp.mailing.reports import read_report
from courseapp.mailing.returning import return_path, stop_link
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_message
from tests.mailing.returned import sample

pytestmark = pytest.mark.settings(bounce_domain="bounce.example.org")
LATER = NOW + timedelta(minutes=5)


def sent(address: str = "ada@example.org", state: State = State.ACCEPTED, **kw: Any) -> Message:
    """A mail that left."""
    message = make_message(make_contact(address), state=state, settled_at=NOW, **kw)
    message.message_id = f"<{message.public_id}.0a0a0a0a@example.org>"
    db.session.commit()
    return message


def comes(name: str, message: Message, path: str | None = None, content: bytes | None = None, at: Any = LATER) -> ReturnOutcome | None:
    """One of the samples comes back of a message; what became of it."""
    mail = content or sample(name, path or return_path(message.public_id), message.message_id)
    outcome = take(read_report(mail), ReturnSource.MAILBOX, key_of(ReturnSource.MAILBOX, mail), at)
    db.session.commit()
    db.session.refresh(message)
    return outcome


def suppressed() -> dict[str, SuppressionReason]:
    """Every suppressed address's hash, with why."""
    return {row.address_mac: row.reason for row in db.session.scalars(sa.select(Suppression))}


def news() -> list[tuple[str, str]]:
    """Types and subjects of the journal."""
    return [(event.type, event.subject) for event in db.session.scalars(sa.select(Event).order_by(Event.id))]


HARD = [
    *("postfix-failed", "postfix-recorded-failed", "postfix-recorded-global", "postfix-recorded-headers"),
    *("exim-failed", "exim-in-words", "exchange-failed", "gmail-failed", "global-failed"),
]


@pytest.mark.parametrize("name", HARD)
def test_a_hard_bounce_ends_the_message_and_suppresses_the_address_at_once(app: Flask, name: str) -> None:
    message = sent()
    assert comes(name, message) is ReturnOutcome.APPLIED
    assert message.state is State.BOUNCED
    assert message.reason is not None
    assert message.reason.startswith("bounced 5.")
    assert suppressed() == {address_mac("ada@example.org"): SuppressionReason.BOUNCED}
    assert news() == [("mail_bounced", f"contact:{message.contact_id}")]
    event = db.session.scalars(sa.select(Event)).one()
    assert event.data["message_id"] == message.id
    assert (event.data["stream"], event.data["purpose"], event.data["is_hard"]) == ("course", "course", True)


def test_a_bounced_address_gets_nothing_more(app: Flask, drain: Any) -> None:
    message = sent()
    make_consent(message.contact, Purpose.COURSE)
    comes("postfix-failed", message)
    more = make_message(message.contact)
    drain()
    db.session.refresh(more)
    assert (more.state, more.reason) == (State.SKIPPED, "suppressed")


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("postfix-delayed", State.ACCEPTED, "delayed 4.4.1"),
        ("postfix-expired", State.BOUNCED, "soft 4.4.1"),
        ("postfix-delivered", State.DELIVERED, None),
    ],
)
def test_what_is_late_or_well_is_noted_and_suppresses_nobody(app: Flask, name: str, state: State, reason: str | None) -> None:
    message = sent()
    assert comes(name, message) is ReturnOutcome.APPLIED
    assert (message.state, message.reason) == (state, reason)
    assert suppressed() == {}


@pytest.mark.parametrize("name", ["arf-abuse", "arf-redacted"])
def test_a_complaint_ends_the_message_and_suppresses_the_address_at_once(app: Flask, name: str) -> None:
    message = sent(state=State.DELIVERED)
    assert comes(name, message) is ReturnOutcome.APPLIED
    assert message.state is State.COMPLAINED
    assert suppressed() == {address_mac("ada@example.org"): SuppressionReason.COMPLAINED}
    assert news() == [("mail_complained", f"contact:{message.contact_id}")]


def test_the_same_report_twice_changes_nothing(app: Flask) -> None:
    message = sent()
    assert comes("postfix-failed", message) is ReturnOutcome.APPLIED
    before = (message.reason, suppressed(), news())
    assert comes("postfix-failed", message) is ReturnOutcome.REPEATED
    assert comes("gmail-failed", message) is ReturnOutcome.REPEATED  # the same news from another server
    assert (message.reason, suppressed(), news()) == before
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 2


def test_what_comes_late_does_not_undo_what_is_worse(app: Flask) -> None:
    message = sent()
    comes("arf-abuse", message)
    for name in ("postfix-delivered", "postfix-delayed", "postfix-failed", "postfix-expired"):
        assert comes(name, message) is ReturnOutcome.REPEATED
    assert message.state is State.COMPLAINED


def test_uncertain_mail_is_certain_once_something_came_back_of_it(app: Flask) -> None:
    message = sent(state=State.UNCERTAIN)
    assert comes("postfix-delivered", message) is ReturnOutcome.APPLIED
    assert message.state is State.DELIVERED


def test_a_forged_return_address_is_refused_though_the_message_is_named(app: Flask) -> None:
    message = sent()
    own = return_path(message.public_id)
    other = return_path(sent("eve@example.org").public_id)
    name, _at, domain = own.partition("@")
    wrong_mac = f"{name[:-1]}{'1' if name.endswith('0') else '0'}@{domain}"
    for path in (wrong_mac, own.replace(message.public_id, "2" * 16)):
        assert comes("postfix-failed", message, path=path) is ReturnOutcome.FORGED, path
    assert message.state is State.ACCEPTED
    assert suppressed() == {}
    assert comes("postfix-failed", message, path=other) is ReturnOutcome.APPLIED  # whose MAC is right: about that one's own mail
    assert message.state is State.ACCEPTED


def test_the_return_address_counts_in_whatever_case_it_comes_back(app: Flask) -> None:
    message = sent()
    assert comes("postfix-failed", message, path=return_path(message.public_id).upper()) is ReturnOutcome.APPLIED


def test_the_return_address_wins_over_the_message_id(app: Flask) -> None:
    message, other = sent(), sent("eve@example.org")
    mail = sample("postfix-failed", return_path(message.public_id), other.message_id)
    assert comes("", message, content=mail) is ReturnOutcome.APPLIED
    db.session.refresh(other)
    assert (message.state, other.state) == (State.BOUNCED, State.ACCEPTED)


def test_without_a_return_address_of_ours_the_message_id_leads_to_the_message(app: Flask) -> None:
    message = sent()
    assert comes("postfix-failed", message, path="course@example.org") is ReturnOutcome.APPLIED
    assert message.state is State.BOUNCED
    row = db.session.scalars(sa.select(Return)).one()
    assert (row.header_id, row.address_mac) == (None, None)  # needed no more


def test_a_guessed_message_id_is_refused(app: Flask) -> None:
    message = sent()
    mail = sample("postfix-failed", "course@example.org", message.message_id.replace("0a0a0a0a", "0a0a0a0b"))
    assert comes("", message, content=mail) is ReturnOutcome.FORGED
    assert (message.state, suppressed()) == (State.ACCEPTED, {})


@pytest.mark.parametrize("word", [b"\0", b"\xff", b"\xed\xa0\x80", b"=?utf-8?q?=00?="])
def test_signs_that_no_database_takes_do_no_harm(app: Flask, word: bytes) -> None:
    message = sent()
    named = f"<{message.public_id}.0a0a0a0a@".encode() + word + b">"
    mail = sample("postfix-failed", "us@example.org", "NAMED", "RECIPIENT").replace(b"NAMED", named)
    comes("", message, content=mail.replace(b"RECIPIENT", b"a" + word + b"@example.org"))
    assert message.state is State.ACCEPTED
    mail = sample("postfix-failed", return_path(message.public_id), "NAMED", "RECIPIENT").replace(b"NAMED", named)
    assert comes("", message, content=mail.replace(b"RECIPIENT", b"a" + word + b"@example.org")) is ReturnOutcome.APPLIED


def test_a_report_about_somebody_elses_mail_is_no_concern_of_ours(app: Flask) -> None:
    message = sent()
    mail = sample("postfix-failed", "list@elsewhere.example", "<abc@elsewhere.example>")
    assert comes("", message, content=mail) is ReturnOutcome.UNMATCHED


@pytest.mark.parametrize("state", [State.PENDING, State.LEASED, State.SUBMITTING])
def test_a_report_before_its_mail_is_noted_as_sent_waits_for_that(app: Flask, state: State) -> None:
    message = sent(state=state)
    assert comes("postfix-failed", message) is None
    assert (message.state, suppressed()) == (state, {})
    message.state = State.ACCEPTED
    db.session.commit()
    assert try_again(LATER + timedelta(seconds=1), 10) == 0  # not at once again
    assert try_again(LATER + timedelta(minutes=1), 10) == 1
    db.session.commit()
    db.session.refresh(message)
    assert message.state is State.BOUNCED
    assert try_again(LATER + timedelta(days=2), 10) == 0


def test_a_report_before_its_row_is_there_waits_and_in_the_end_is_nobodys(app: Flask) -> None:
    message = sent()
    mail = sample("postfix-failed", return_path("23456789abcdefgh"), "<x@y.example>")
    assert comes("", message, content=mail) is None
    moment, tries = LATER, 0
    while db.session.scalar(sa.select(sa.exists().where(Return.settled_at.is_(None)))):
        moment += timedelta(minutes=10)
        tries += try_again(moment, 10)
        db.session.commit()
        assert moment < LATER + PATIENCE + timedelta(hours=2)
    assert tries < 60  # ever more seldom
    assert db.session.scalars(sa.select(Return)).one().outcome is ReturnOutcome.UNMATCHED


def test_two_workers_do_not_try_the_same_reports(app: Flask) -> None:
    message = sent(state=State.SUBMITTING)
    comes("postfix-failed", message)
    message.state = State.ACCEPTED
    db.session.commit()
    moment = LATER + timedelta(hours=1)
    assert try_again(moment, 10) == 1
    if db.engine.dialect.name == "postgresql":  # SQLite has one writer
        with db.engine.connect() as other:
            waiting = sa.select(Return.id).where(Return.settled_at.is_(None)).with_for_update(skip_locked=True)
            assert other.execute(waiting).all() == []
    db.session.commit()


@pytest.mark.parametrize("name", ["vacation", "read-receipt", "person"])
def test_replies_change_nothing_and_are_counted(app: Flask, name: str) -> None:
    message = sent()
    assert comes(name, message) is ReturnOutcome.IGNORED
    assert (message.state, suppressed(), news()) == (State.ACCEPTED, {}, [])
    assert bounces.returns_by_kind(NOW) == {"other" if name == "person" else "auto-reply": 1}


# People whose address has changed, or who are gone


def moved(message: Message, to: str) -> Contact:
    """The contact of a message, now at another address that it has confirmed."""
    move_to_address(message.contact, make_contact(to), NOW + timedelta(minutes=1))
    db.session.commit()
    return message.contact


def test_a_bounce_of_the_old_address_does_not_suppress_the_new_one(app: Flask) -> None:
    message = sent()
    moved(message, "new@example.org")
    assert comes("postfix-failed", message) is ReturnOutcome.APPLIED
    assert message.state is State.BOUNCED
    assert suppressed() == {}


def test_a_complaint_that_names_nobody_about_a_mail_to_the_old_address_leaves_the_new_one_alone(app: Flask) -> None:
    message = sent()
    moved(message, "new@example.org")
    mail = sample("arf-redacted", return_path(message.public_id), message.message_id)
    mail = b"\n".join(line for line in mail.split(b"\n") if not line.startswith(b"Original-Rcpt-To"))
    assert comes("", message, content=mail) is ReturnOutcome.APPLIED
    assert message.state is State.COMPLAINED
    assert suppressed() == {}


def test_a_bounce_of_a_mail_by_which_somebody_confirmed_suppresses_them(app: Flask) -> None:
    message = sent(stream="sign-in")
    message.contact.confirmed_at = NOW + timedelta(minutes=1)
    db.session.commit()
    comes("postfix-failed", message)
    assert set(suppressed()) == {address_mac("ada@example.org")}


def test_a_bounce_of_a_forwarded_mail_suppresses_whom_we_wrote_to(app: Flask) -> None:
    message = sent()
    mail = sample("exchange-failed", return_path(message.public_id), message.message_id, "forwarded@elsewhere.example")
    comes("", message, content=mail)
    assert set(suppressed()) == {address_mac("ada@example.org")}


def test_of_somebody_erased_nothing_is_written_down_again(app: Flask) -> None:
    message = sent()
    privacy.erase(message.contact_id, NOW)
    forget_address(message.contact, NOW)
    db.session.commit()
    assert comes("postfix-failed", message) is ReturnOutcome.APPLIED
    assert (message.state, suppressed(), news()) == (State.BOUNCED, {}, [])


def test_an_erasure_takes_what_came_back_with_it_and_the_export_tells_it(app: Flask) -> None:
    message, other = sent(), sent("eve@example.org")
    comes("postfix-failed", message)
    comes("postfix-failed", other)
    told = privacy.export(message.contact_id)[0]["came_back"]
    assert told == [{"what": "bounced", "status": "5.1.1", "at": LATER.isoformat(), "by": "mailbox"}]
    privacy.erase(message.contact_id, NOW)
    assert [row.public_id for row in db.session.scalars(sa.select(Return))] == [other.public_id]


def test_what_came_back_is_kept_for_a_month(app: Flask) -> None:
    comes("postfix-failed", sent())
    forget_old(LATER + RETURNS_KEPT - timedelta(hours=1))
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 1
    forget_old(LATER + RETURNS_KEPT + timedelta(hours=1))
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 0


# Unsubscribing by mail


def asking_to_stop(contact: Contact, purpose: Purpose, change: tuple[str, str] = ("", "")) -> bytes:
    """The mail that a mail program sends when somebody presses its button."""
    to, _sign, subject = stop_link(contact.public_id, purpose).removeprefix("mailto:").partition("?subject=")
    return f"From: whoever@example.org\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n".replace(*change).encode()


def stops(mail: bytes) -> ReturnOutcome | None:
    """Such a mail arrives."""
    outcome = take(read_report(mail), ReturnSource.MAILBOX, key_of(ReturnSource.MAILBOX, mail), LATER)
    db.session.commit()
    return outcome


@pytest.mark.parametrize("domain", ["bounce.example.org", ""])
def test_a_mail_to_the_address_in_a_mail_stops_it(app: Flask, domain: str, make_app: Any) -> None:
    contact = make_contact("ada@example.org")
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose)
    db.session.commit()
    with make_app(bounce_domain=domain).app_context():
        contact = db.session.merge(contact)
        mail = asking_to_stop(contact, Purpose.COURSE)
        assert (b"bounces+stop-" in mail) is bool(domain)
        assert stops(mail) is ReturnOutcome.APPLIED
        assert stops(mail) is ReturnOutcome.REPEATED
        assert stops(mail + b"once more") is ReturnOutcome.REPEATED
        assert not holds_consent(contact, Purpose.COURSE)
        assert holds_consent(contact, Purpose.MARKETING)
        last = consent_history(contact)[0]
        assert (last.source, last.network) == ("unsubscribe mail", None)


def test_a_forged_request_to_stop_stops_nothing(app: Flask) -> None:
    contact = make_contact()
    make_consent(contact, Purpose.MARKETING)
    for change in (("-marketing-", "-course-"), (contact.public_id, "2" * 16)):
        assert stops(asking_to_stop(contact, Purpose.MARKETING, change)) is ReturnOutcome.FORGED
    assert holds_consent(contact, Purpose.MARKETING)


def test_the_parts_of_return_addresses_fit(app: Flask) -> None:
    for address in (return_path("2" * 16), stop_link("2" * 16, Purpose.MARKETING).removeprefix("mailto:").partition("?")[0]):
        name, _at, domain = address.partition("@")
        assert len(name) <= 64
        assert name == name.lower()
        assert domain == "bounce.example.org"
    assert ReturnKind.STOP not in bounces.CHANGES
