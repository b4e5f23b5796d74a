"""What a refusal means: whose fault it is, and its class in words."""

import pytest
import sqlalchemy as sa

from courseapp.contacts.address import address_mac
from courseapp.contacts.models import Suppression, SuppressionReason
from courseapp.extensions import db
from courseapp.mailing.models import Message
from courseapp.mailing.refusals import KIND_WORDS, Kind, is_address_at_fault, kind_of
from tests.mailing.conftest import make_course_mail
from tests.recording_smtp import RecordingSmtp


@pytest.mark.parametrize(
    ("words", "is_at_fault"),
    [
        ("550 5.1.1 The email account that you tried to reach does not exist", True),  # Gmail's words
        ("550-5.1.1 several lines", True),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", True),  # Exchange's
        ("550 5.2.1 mailbox disabled", True),
        ("550 Unrouteable address", True),  # Exim says no status
        ("551 User not local", True),
        ("553 5.1.3 bad address syntax", True),
        ("550 5.7.1 Our system has detected that this message is likely unsolicited mail", False),
        ("550 5.1.8 Sender address rejected: Domain not found", False),
        ("552 5.2.2 mailbox full", False),
        ("554 Service unavailable; Client host blocked", False),
        ("550 5.4.1 Recipient address rejected: Access denied", False),
        ("550 relay not permitted", False),  # Exim's, to who has not logged in: every address would be at fault
        ("550-Please turn on SMTP Authentication", False),
        ("550 Message rejected as spam", False),
    ],
)
def test_only_an_address_that_takes_no_mail_is_at_fault(words: str, is_at_fault: bool) -> None:
    assert is_address_at_fault(words) is is_at_fault


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("550 5.1.1 no such user", Kind.UNKNOWN),
        ("552 5.2.2 over quota", Kind.FULL),
        ("552 over quota", Kind.FULL),
        ("550 5.7.26 unauthenticated mail is prohibited", Kind.POLICY),
        ("554 refused", Kind.POLICY),
        ("552 5.3.4 message too big", Kind.SIZE),
        ("exhausted: 451 4.3.0 later", Kind.GAVE_UP),
        ("cannot be built: KeyError: x", Kind.UNBUILT),
        ("501 5.5.4 bad argument", Kind.OTHER),
        ("", Kind.OTHER),
        ("550 relay not permitted", Kind.POLICY),
        ("bounced 5.1.1", Kind.UNKNOWN),  # what came back by mail
        ("bounced", Kind.UNKNOWN),
        ("soft 5.2.2", Kind.FULL),
        ("soft 5.7.1", Kind.POLICY),
        ("soft 5.3.4", Kind.SIZE),
        ("soft 4.4.1", Kind.OTHER),
    ],
)
def test_each_reason_has_its_class(reason: str, kind: Kind) -> None:
    assert kind_of(reason) is kind


def test_each_class_has_words() -> None:
    assert set(KIND_WORDS) == set(Kind)


def test_a_bounce_suppresses_the_address_at_once_and_what_waits_for_it_is_not_sent(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    first = make_course_mail("Gone@example.org")
    make_course_mail("blocked@example.org")
    second = make_course_mail(contact=first.contact)
    smtp.script("rcpt", "550 5.1.1 nobody", to="Gone@example.org")
    smtp.script("rcpt", "550 5.7.1 blocked", to="blocked@example.org")
    drain()
    states = {row.id: (row.state.value, row.reason) for row in db.session.scalars(sa.select(Message))}
    assert states[first.id] == ("bounced", "550 5.1.1 nobody")
    assert states[second.id] == ("skipped", "suppressed")
    rows = db.session.scalars(sa.select(Suppression)).all()
    assert [(row.address_mac, row.reason) for row in rows] == [(address_mac("gone@example.org"), SuppressionReason.BOUNCED)]
    assert smtp.received == []
