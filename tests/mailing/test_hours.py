"""Mail that may come at some hours only: whatever made it late, and wherever its reader is, it leaves within them."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import bulk, doubts, loops, outbox, pacing, pausing
from courseapp.mailing.hours import OUTSIDE
from courseapp.mailing.models import Message, State
from courseapp.mailing.pacing import Limits
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_message, make_user
from tests.mailing.conftest import make_course_mail
from tests.query_counts import statements

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHT = NOW + 14 * HOUR
MORNING = {"window_start": time(9), "window_end": time(11), "weekdays": "1234567"}
ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"]


def marketing_mail(zone: str = "UTC", **columns: object) -> Message:
    """A mail of offers that may come in the morning."""
    contact = make_contact(zone=zone)
    make_consent(contact, Purpose.MARKETING)
    return make_message(contact, stream="marketing", **{**MORNING, **columns})


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: moment


def over_cap(message: Message) -> None:
    for hours in (12, 13):
        make_message(message.contact, stream="marketing", state=State.ACCEPTED, settled_at=NOW - 7 * DAY + hours * HOUR)


def resting(message: Message) -> None:
    message.contact.mail_paused_until = NIGHT


def paused_and_resumed(message: Message) -> None:
    pausing.pause(message.stream, make_user().id, "for a while", NOW)
    db.session.commit()
    loops.drain(lambda: NOW)
    pausing.resume([message.stream], NIGHT)


def failed_and_retried(message: Message) -> None:
    message.state, message.settled_at = State.FAILED, NOW
    db.session.flush()
    bulk.retry_failed(message.stream_id, NIGHT)


def in_doubt_and_sent_again(message: Message) -> None:
    message.state, message.settled_at = State.UNCERTAIN, NOW
    doubts.send_again(message, make_user().id, NIGHT)


def tried_in_vain(message: Message) -> None:
    (message_id, epoch), *_none = outbox.claim(NOW + 2 * HOUR - timedelta(seconds=1), 1)
    outbox.note_transient(message_id, epoch, NOW + 2 * HOUR, "451 later")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("late", [over_cap, resting, paused_and_resumed, failed_and_retried, in_doubt_and_sent_again, tried_in_vain])
def test_whatever_made_it_late_it_leaves_within_its_hours(app: Flask, zone: str, late: Callable[[Message], None]) -> None:
    message = marketing_mail(zone)
    late(message)
    db.session.commit()
    for half in range(1, 5 * 48):
        loops.drain(at(NOW + half * HOUR / 2))
    db.session.refresh(message)
    assert message.state is State.ACCEPTED
    assert message.settled_at is not None
    assert time(9) <= message.settled_at.astimezone(ZoneInfo(zone)).time() < time(11)


def test_it_waits_for_a_day_of_its_weekdays(app: Flask) -> None:
    message = marketing_mail(weekdays="5", due_at=NOW)
    db.session.commit()
    assert loops.drain(lambda: NOW) == {}
    db.session.refresh(message)
    assert (message.due_at, message.reason, message.attempts) == (NOW + 4 * DAY, OUTSIDE, 0)
    assert loops.drain(lambda: NOW + 4 * DAY) == {"accepted": 1}


def test_under_a_limit_it_stops_where_the_hours_end_and_goes_on_where_they_begin(app: Flask) -> None:
    for _number in range(6):
        marketing_mail()
    db.session.commit()

    def claimed(moment: datetime) -> int:
        found = pacing.claim(moment, 100, False, Limits(sender=1.0)).claimed
        db.session.commit()
        return len(found)

    ends = NOW + 2 * HOUR
    assert [claimed(ends + timedelta(seconds=second)) for second in range(-3, 4)] == [1, 1, 1, 0, 0, 0, 0]
    assert [claimed(NOW + DAY + timedelta(seconds=second)) for second in range(4)] == [1, 1, 1, 0]


def test_what_is_held_back_for_the_night_stands_in_the_sums(app: Flask) -> None:
    stream = bulk.new_stream("broadcast-1", Purpose.MARKETING)
    for number in range(8):
        marketing_mail(ZONES[number % 4], stream_id=stream.id)
    db.session.commit()
    seen = []
    for hour in range(0, 49, 6):
        loops.drain(at(NOW + hour * HOUR))
        seen.append(bulk.states_of_stream(stream.id))
        db.session.commit()
    assert {sum(states.values()) for states in seen} == {8}
    assert seen[0] == {(State.ACCEPTED, None): 2, (State.PENDING, OUTSIDE): 6}


def test_mail_without_hours_and_service_mail_leave_at_once_and_nothing_more_is_asked(app: Flask) -> None:
    make_course_mail()
    make_message(make_contact(), stream="service", **MORNING)
    db.session.commit()
    with statements() as asked:
        assert len(pacing.claim(NIGHT, 10, False, Limits()).claimed) == 2
    assert len(asked) == 2


def test_what_waits_for_its_hours_is_put_off_in_a_statement_for_each_zone(app: Flask) -> None:
    for number in range(30):
        marketing_mail(ZONES[number % 3])
    db.session.commit()
    at_six = NOW + 21 * HOUR
    with statements() as asked:
        assert pacing.claim(at_six, 100, False, Limits()).claimed == []
    assert len(asked) == 2 + 3


def test_what_waits_for_its_hours_is_dropped_with_what_a_paused_stream_holds(app: Flask) -> None:
    message = marketing_mail()
    db.session.commit()
    loops.drain(lambda: NIGHT)
    pausing.pause(message.stream, make_user().id, "for a while", NIGHT)
    db.session.flush()
    assert pausing.waiting_in([message.stream], NIGHT) == 1
    assert pausing.drop_waiting([message.stream], NIGHT) == 1
