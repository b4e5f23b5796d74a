"""What a killed worker leaves: leases go back, what was on the wire is in doubt, and what kills workers ends."""

from datetime import datetime, timedelta

import pytest
from flask import Flask

from courseapp.extensions import db
from courseapp.mailing import leases, outbox
from courseapp.mailing.models import State
from tests.conftest import NOW
from tests.factories import make_message
from tests.mailing.conftest import make_course_mail, make_sign_in_mail


def reap(moment: datetime) -> tuple[int, int]:
    """Reap and commit, as the tick does."""
    sums = leases.reap(moment)
    db.session.commit()
    return sums


def claim(moment: datetime, limit: int) -> list[tuple[int, int]]:
    """Claim and commit, as a worker does."""
    rows = outbox.claim(moment, limit)
    db.session.commit()
    return rows


LATE = NOW + outbox.LEASE + timedelta(seconds=1)


def test_a_lease_that_runs_on_is_left_alone(app: Flask) -> None:
    message = make_course_mail()
    [(message_id, epoch)] = claim(NOW, 1)
    assert reap(NOW + outbox.LEASE - timedelta(seconds=1)) == (0, 0)
    assert outbox.begin_submitting(message_id, epoch, NOW)
    assert reap(NOW + outbox.LEASE - timedelta(seconds=1)) == (0, 0)
    assert message.attempts == 1


def test_a_lost_lease_goes_back_and_is_sent_by_the_next(app: Flask) -> None:
    message = make_course_mail()
    claim(NOW, 1)
    assert reap(LATE) == (1, 0)
    assert (message.state, message.attempts) == (State.PENDING, 1)
    [(message_id, epoch)] = claim(LATE, 1)
    assert epoch == 3
    assert outbox.begin_submitting(message_id, epoch, LATE)


@pytest.mark.parametrize("stream", ["course", "marketing"])
def test_course_and_marketing_mail_that_was_on_the_wire_waits_for_a_person(app: Flask, stream: str) -> None:
    message = make_message(stream=stream, state=State.SUBMITTING, lease_epoch=1, attempts=1, leased_until=NOW)
    assert reap(LATE) == (0, 1)
    assert reap(LATE + timedelta(days=1)) == (0, 0)
    assert (message.state, message.settled_at) == (State.UNCERTAIN, LATE)
    assert claim(LATE + timedelta(days=1), 9) == []


def test_service_mail_that_was_on_the_wire_is_sent_again(app: Flask) -> None:
    message = make_sign_in_mail(state=State.SUBMITTING, lease_epoch=1, attempts=1, leased_until=NOW)
    assert reap(LATE) == (0, 1)
    assert message.state is State.PENDING
    assert message.fields["secret_code"] == "123456"
    assert [row[0] for row in claim(LATE, 9)] == [message.id]


def test_service_mail_whose_line_broke_after_the_dot_is_sent_again(app: Flask) -> None:
    message = make_sign_in_mail()
    [(message_id, epoch)] = claim(NOW, 1)
    outbox.begin_submitting(message_id, epoch, NOW)
    outbox.note_uncertain(message_id, epoch, NOW, "the line broke")
    assert reap(NOW) == (0, 0)
    assert message.state is State.PENDING


def test_a_message_that_kills_its_workers_ends_as_failed(app: Flask) -> None:
    message, moment = make_course_mail(), NOW
    for _ in range(outbox.MOST_ATTEMPTS):
        assert len(claim(moment, 1)) == 1
        moment += outbox.LEASE + timedelta(seconds=1)
        reap(moment)
    assert message.state is State.FAILED
    assert "exhausted" in message.reason
    assert claim(moment, 1) == []


def test_service_mail_in_doubt_is_not_sent_for_ever(app: Flask) -> None:
    message, moment = make_sign_in_mail(), NOW
    for _ in range(outbox.MOST_ATTEMPTS):
        [(message_id, epoch)] = claim(moment, 1)
        outbox.begin_submitting(message_id, epoch, moment)
        moment += outbox.LEASE + timedelta(seconds=1)
        reap(moment)
    assert message.state is State.UNCERTAIN
    assert claim(moment, 1) == []
