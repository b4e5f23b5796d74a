"""Asked again in the statement that moves a row to `submitting`: what happened ten seconds ago counts."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Purpose, SuppressionReason
from courseapp.contacts.people import forget_address
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing import bulk, outbox
from courseapp.mailing.models import Message, State
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_message
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.recording_smtp import RecordingSmtp


def be_suppressed(message: Message) -> None:
    suppress(address_mac("Ada@Example.org"), SuppressionReason.COMPLAINED, NOW)


def be_unconfirmed(message: Message) -> None:
    message.contact.confirmed_at = None


def be_unsubscribed(message: Message) -> None:
    set_consent(message.contact, Purpose.COURSE, False, NOW, "unsubscribe")


def be_paused(message: Message) -> None:
    message.stream.paused_at = NOW


def be_expired(message: Message) -> None:
    message.expires_at = NOW


def be_pointless(message: Message) -> None:
    message.void_if_type, message.void_if_subject = "course_completed", "user:7"
    events.record("course_completed", "user:7", NOW, user_id=7, course_id=1)


def be_erased(message: Message) -> None:
    forget_address(message.contact, NOW)


REASONS = [
    (be_suppressed, State.SKIPPED, "suppressed"),
    (be_unconfirmed, State.SKIPPED, "unconfirmed"),
    (be_unsubscribed, State.SKIPPED, "unsubscribed"),
    (be_paused, State.PENDING, "paused"),
    (be_expired, State.EXPIRED, "expired"),
    (be_pointless, State.SKIPPED, "pointless"),
    (be_erased, State.SKIPPED, "erased"),
]


@pytest.mark.parametrize(("happens", "state", "reason"), REASONS)
def test_what_happens_after_the_claim_still_holds_the_mail_back(
    app: Flask, happens: Callable[[Message], None], state: State, reason: str
) -> None:
    message = make_course_mail("ada@example.org")
    bystander = make_course_mail("bob@example.org", void_if_type="course_completed", void_if_subject="user:8")
    claimed = dict(outbox.claim(NOW, 5))
    happens(message)
    if happens is be_paused:
        bystander.stream_id = make_message(stream="service").stream_id
    db.session.commit()
    assert not outbox.begin_submitting(message.id, claimed[message.id], NOW)
    db.session.refresh(message)
    assert (message.state, message.reason) == (state, reason)
    assert (message.settled_at is None) is (state is State.PENDING)
    assert outbox.begin_submitting(bystander.id, claimed[bystander.id], NOW)


@pytest.mark.parametrize(("happens", "state", "reason"), REASONS)
def test_none_of_it_reaches_the_mail_server(
    with_smtp, smtp: RecordingSmtp, drain, happens: Callable[[Message], None], state: State, reason: str
) -> None:
    with_smtp()
    message = make_course_mail("ada@example.org")
    happens(message)
    make_course_mail("bob@example.org").stream_id = make_message(make_contact("bob2@example.org"), stream="service").stream_id
    drain()
    assert sorted(smtp.recipients()) == ["bob2@example.org", "bob@example.org"]


def test_a_paused_stream_costs_no_attempt_and_goes_on_where_it_stood(app: Flask) -> None:
    message = make_course_mail()
    [(message_id, epoch)] = outbox.claim(NOW, 1)
    be_paused(message)
    outbox.begin_submitting(message_id, epoch, NOW)
    db.session.refresh(message)
    assert (message.attempts, outbox.claim(NOW, 1)) == (0, [])
    assert timedelta(0) < message.due_at - NOW <= timedelta(minutes=10)
    message.stream.paused_at = None
    [(message_id, epoch)] = outbox.claim(message.due_at, 1)
    assert outbox.begin_submitting(message_id, epoch, message.due_at)


def test_an_unconfirmed_address_gets_sign_in_mail_but_no_other_service_mail(app: Flask) -> None:
    contact = make_contact(confirmed=False)
    sign_in, welcome = make_sign_in_mail(contact=contact), make_message(contact, stream="service", template="accounts/welcome")
    claimed = dict(outbox.claim(NOW, 5))
    assert outbox.begin_submitting(sign_in.id, claimed[sign_in.id], NOW)
    assert not outbox.begin_submitting(welcome.id, claimed[welcome.id], NOW)


def test_service_mail_needs_no_consent_and_the_others_need_their_own(app: Flask) -> None:
    contact = make_contact()
    make_consent(contact, Purpose.COURSE)
    rows = {stream: make_message(contact, stream=stream).id for stream in ("service", "course", "marketing")}
    claimed = dict(outbox.claim(NOW, 5))
    gone = {stream for stream, message_id in rows.items() if outbox.begin_submitting(message_id, claimed[message_id], NOW)}
    assert gone == {"service", "course"}


def test_even_sign_in_mail_does_not_go_to_an_address_from_which_mail_came_back(app: Flask) -> None:
    message = make_sign_in_mail("ada@example.org")
    be_suppressed(message)
    suppress(address_mac("ada@example.org"), SuppressionReason.BOUNCED, NOW)
    suppress(address_mac("ada@example.org"), SuppressionReason.COMPLAINED, NOW)  # and does not come to count for less
    [(message_id, epoch)] = outbox.claim(NOW, 1)
    assert not outbox.begin_submitting(message_id, epoch, NOW)


def test_after_a_complaint_goes_what_is_asked_for_here_and_nothing_else(app: Flask) -> None:
    contact = make_contact("ada@example.org")
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose)
    asking = bulk.new_stream("import-7", Purpose.SERVICE, reaches_unconfirmed=True)
    rows = {stream: make_message(contact, stream=stream).id for stream in ("sign-in", "service", "course", "marketing")}
    more = make_message(contact)
    more.stream_id = asking.id
    rows["import-7"] = more.id
    be_suppressed(more)
    claimed = dict(outbox.claim(NOW, 9))
    gone = {stream for stream, message_id in rows.items() if outbox.begin_submitting(message_id, claimed[message_id], NOW)}
    assert gone == {"sign-in", "service"}


def test_a_consent_given_again_after_a_withdrawal_counts(app: Flask) -> None:
    message = make_course_mail()
    be_unsubscribed(message)
    set_consent(message.contact, Purpose.COURSE, True, NOW, "preferences")
    [(message_id, epoch)] = outbox.claim(NOW, 1)
    assert outbox.begin_submitting(message_id, epoch, NOW)
