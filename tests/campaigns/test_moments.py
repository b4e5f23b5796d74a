"""When letters of sequences come: over zones, windows, days of the week, outages, several sequences for one person, two schedulers."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from courseapp.campaigns.loops import advance_runs
from courseapp.campaigns.models import LatePolicy, Sequence, SequenceRun
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.windows import Window, next_in
from courseapp.extensions import db
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.streams import stream_of
from tests.campaigns.people import at, learner_of, steps, tick
from tests.factories import NOW, make_consent, make_contact, make_course, make_message, make_run, make_sequence, make_user

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OFFICE = {"window_start": time(9), "window_end": time(11)}
BERLIN = "Europe/Berlin"
HARD = ["UTC", BERLIN, "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"]
SPRING = datetime(2027, 3, 27, tzinfo=UTC)  # the day before the clocks of Berlin go forward
AUTUMN = datetime(2027, 10, 30, tzinfo=UTC)
LEAP = datetime(2028, 2, 27, tzinfo=UTC)


def begin(app: Flask, zone: str = "UTC", now: datetime = NOW, **columns: object) -> Contact:
    """Somebody in a zone who begins a sequence now; its steps are on days 0, 1 and 2 unless told otherwise."""
    make_sequence(**{"delays": (0, 1, 2), "gap_hours": 1, **columns})  # type: ignore[arg-type]  # columns of it
    contact = learner_of(make_course(needs=(("none",),)), now=now).contact
    assert contact is not None
    contact.zone = zone
    db.session.commit()
    return contact


def over(first: datetime, days: float, every: timedelta = timedelta(minutes=30)) -> Iterable[datetime]:
    """Moments from one on."""
    return (first + number * every for number in range(int(days * DAY / every) + 1))


def next_due() -> datetime | None:
    """When a tick has something to do again, if ever; at once, where a mail waits."""
    if db.session.scalar(sa.select(sa.exists().where(Message.state == State.PENDING))):
        return NOW - 9999 * DAY
    return db.session.scalar(sa.select(sa.func.min(SequenceRun.next_run_at)))


def live(moments: Iterable[datetime]) -> None:
    """Tick at these moments; not where it would change nothing."""
    due: datetime | None = NOW - 9999 * DAY
    for moment in moments:
        if due is not None and due <= moment:
            tick(moment)
            due = next_due()


def came() -> list[datetime]:
    """When each letter left, the first first."""
    return sorted(db.session.scalars(sa.select(Message.settled_at).where(Message.state == State.ACCEPTED)))


def local(moments: Iterable[datetime], zone: str) -> list[str]:
    """By the clock on the wall."""
    return [f"{moment.astimezone(ZoneInfo(zone)):%a %d %H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("zone", "now", "columns", "found"),
    [
        (BERLIN, NOW, OFFICE, ["Mon 02 10:00", "Tue 03 10:00", "Wed 04 10:00"]),
        ("Asia/Kathmandu", NOW, OFFICE, ["Tue 03 09:15", "Wed 04 09:15", "Thu 05 09:15"]),  # it was a quarter to three
        ("America/New_York", NOW, OFFICE, ["Mon 02 09:00", "Tue 03 09:00", "Wed 04 09:00"]),
        (BERLIN, NOW + 2 * DAY, {**OFFICE, "weekdays": "15"}, ["Fri 06 09:00", "Fri 06 10:00", "Mon 09 09:00"]),
        ("UTC", NOW, {"window_start": time(22), "window_end": time(6)}, ["Mon 02 22:00", "Tue 03 22:00", "Wed 04 22:00"]),
        (  # a night belongs to the day on which it begins
            *("UTC", datetime(2026, 11, 7, 3, tzinfo=UTC), {"window_start": time(22), "window_end": time(6), "weekdays": "5"}),
            ["Sat 07 03:00", "Fri 13 22:00", "Fri 13 23:00"],
        ),
        (BERLIN, SPRING, {"window_start": time(2, 15), "window_end": time(4)}, ["Sat 27 02:30", "Sun 28 03:00", "Mon 29 02:30"]),
        (BERLIN, SPRING, {"window_start": time(2), "window_end": time(3)}, ["Sat 27 02:00", "Mon 29 02:00", "Tue 30 02:00"]),
        (BERLIN, AUTUMN, {"window_start": time(2), "window_end": time(3)}, ["Sat 30 02:00", "Sun 31 02:00", "Mon 01 02:00"]),
        ("UTC", LEAP, OFFICE, ["Sun 27 09:00", "Mon 28 09:00", "Tue 29 09:00"]),
        ("UTC", LEAP, {**OFFICE, "weekdays": "2"}, ["Tue 29 09:00", "Tue 29 10:00", "Tue 07 09:00"]),
    ],
)
def test_letters_come_by_the_clock_on_the_wall(app: Flask, zone: str, now: datetime, columns: dict[str, object], found: list[str]) -> None:
    begin(app, zone, now, **columns)
    live(over(now, 11))
    assert local(came(), zone) == found


def test_whoever_moves_on_gets_the_next_letter_by_the_clock_where_they_are(app: Flask) -> None:
    contact = begin(app, BERLIN, **OFFICE)
    live(over(NOW, 0.875))
    contact.zone = "America/Los_Angeles"
    db.session.commit()
    live(over(NOW + 21 * HOUR, 3))
    assert local(came(), BERLIN)[:1] == ["Mon 02 10:00"]
    assert local(came(), "America/Los_Angeles")[1:] == ["Tue 03 09:00", "Wed 04 09:00"]


@pytest.mark.parametrize("late", list(LatePolicy))
def test_what_an_outage_held_up_comes_in_the_window_too(app: Flask, late: LatePolicy) -> None:
    begin(app, BERLIN, **OFFICE, late=late, gap_hours=20, delays=(0, 1, 2, 6))
    tick(NOW)
    live(over(NOW + 3 * DAY + 5 * HOUR, 12))
    assert (
        local(came(), BERLIN)
        == {
            LatePolicy.SEND: ["Mon 02 10:00", "Fri 06 09:00", "Sat 07 09:00", "Sun 08 10:00"],
            LatePolicy.SKIP: ["Mon 02 10:00", "Sun 08 10:00"],
            LatePolicy.SHIFT: ["Mon 02 10:00", "Fri 06 09:00", "Sat 07 09:00", "Wed 11 09:00"],
        }[late]
    )


def test_a_mail_server_that_was_away_for_three_days_gets_no_burst(app: Flask) -> None:
    begin(app, delays=(0, 1, 2, 3), gap_hours=20)
    make_sequence(delays=(0, 2), gap_hours=20)
    user = run_of_both()
    for hour in range(0, 72, 2):
        advance_runs(at(NOW + hour * HOUR))  # nothing leaves meanwhile
    assert len(steps()) == 1, "of what waits, one is in the outbox"
    for moment in over(NOW + 3 * DAY, 10, HOUR):
        advance_runs(at(moment))
        drain(at(moment))
    assert len(came()) == 6
    assert all(later - earlier >= 20 * HOUR for earlier, later in pairwise(came()))
    assert user == 2


def test_an_offer_over_the_cap_leaves_in_its_window_once_it_may(app: Flask) -> None:
    contact, course = make_contact(zone=BERLIN), make_course()
    make_user(contact=contact)
    make_consent(contact, Purpose.MARKETING)
    for hours in (12, 13):
        make_message(contact, stream="marketing", state=State.DELIVERED, settled_at=NOW - 3 * DAY + hours * HOUR)
    make_run(make_sequence(delays=(0,), purpose=Purpose.MARKETING, weekdays="12367", **OFFICE), contact, course)  # type: ignore[arg-type]  # columns of it
    db.session.commit()
    live(over(NOW, 9))
    assert local(came(), BERLIN) == ["Sat 07 09:00"]  # it might have come on Friday at ten in the evening


def reader_of_both() -> Contact:
    """Somebody who agreed to course mail and to offers."""
    contact = make_contact()
    make_user(contact=contact)
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose)
    return contact


def came_by_purpose() -> list[tuple[str, timedelta]]:
    """What left of sequences, and when."""
    rows = sa.select(Stream.key, Message.settled_at).join(Stream, Stream.id == Message.stream_id).where(Message.state == State.ACCEPTED)
    return [(key, at - NOW) for key, at in db.session.execute(rows.order_by(Message.settled_at)) if at >= NOW]


def test_an_offer_over_the_cap_holds_no_course_mail_back(app: Flask) -> None:
    course = make_course()
    contact = reader_of_both()
    for _offer in range(2):
        make_message(contact, stream="marketing", state=State.ACCEPTED, settled_at=NOW - HOUR)
    make_run(make_sequence(delays=(0,), purpose=Purpose.MARKETING), contact, course)
    db.session.commit()
    tick(NOW)
    make_run(make_sequence(delays=(0, 2, 5)), contact, course)
    db.session.commit()
    live(over(NOW, 9, HOUR))
    assert came_by_purpose() == [
        ("course", timedelta(0)),
        ("course", 2 * DAY),
        ("course", 5 * DAY),
        ("marketing", 7 * DAY - HOUR),
    ]


def test_an_offer_that_waits_comes_a_gap_behind_course_mail_and_not_before_it(app: Flask) -> None:
    course = make_course()
    contact = reader_of_both()
    make_run(make_sequence(delays=(0,), purpose=Purpose.MARKETING), contact, course)
    db.session.commit()
    advance_runs(at(NOW))  # the mail server is away
    make_run(make_sequence(delays=(0,)), contact, course)
    db.session.commit()
    live(over(NOW + HOUR, 3, HOUR))
    assert came_by_purpose() == [("course", HOUR), ("marketing", 21 * HOUR)]


def test_course_mail_comes_while_the_stream_of_offers_is_paused(app: Flask) -> None:
    course = make_course()
    contact = reader_of_both()
    make_run(make_sequence(delays=(0,), purpose=Purpose.MARKETING), contact, course)
    db.session.commit()
    advance_runs(at(NOW))
    stream_of("marketing").paused_at = NOW
    make_run(make_sequence(delays=(0, 2)), contact, course)
    db.session.commit()
    live(over(NOW + HOUR, 3, HOUR))
    assert came_by_purpose() == [("course", HOUR), ("course", 2 * DAY)]


def test_of_what_a_paused_stream_holds_one_letter_at_a_time_is_in_the_outbox(app: Flask) -> None:
    begin(app, delays=(0, 1, 2, 3), gap_hours=20)
    tick(NOW)
    stream_of("course").paused_at = NOW
    db.session.commit()
    for hour in range(1, 96, 3):
        tick(NOW + hour * HOUR)
    assert len(steps()) == 2


def run_of_both() -> int:
    """Begin every sequence for whoever learns; how many runs."""
    tick_news()
    return int(db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) or 0)


def tick_news() -> None:
    """Read the news, and send nothing."""
    from courseapp.campaigns import runs
    from courseapp.journal.events import unread

    for receipt, event in unread("campaigns", 100):
        runs.follow(event, NOW)
        receipt.read_at = NOW
    db.session.commit()


def test_the_wider_of_two_gaps_holds_and_mail_of_another_purpose_counts_too(app: Flask) -> None:
    course = make_course()
    contact = make_contact()
    make_user(contact=contact)
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose)
    wide = make_sequence(delays=(0,), gap_hours=72)
    narrow = make_sequence(delays=(0,), gap_hours=1)
    offer = make_sequence(delays=(0,), gap_hours=1, purpose=Purpose.MARKETING)
    for version in (wide, narrow, offer):
        make_run(version, contact, course)
    db.session.commit()
    live(over(NOW, 4, HOUR))
    assert [moment - NOW for moment in came()] == [0 * HOUR, 72 * HOUR, 73 * HOUR]


def test_two_schedulers_at_one_person_keep_the_gap(app: Flask) -> None:
    course = make_course()
    versions = [make_sequence(delays=(0, 1), gap_hours=20) for _ in range(4)]
    contacts = []
    for _person in range(5):
        contact = make_contact()
        make_user(contact=contact)
        make_consent(contact)
        contacts.append(contact.id)
        for version in versions:
            make_run(version, contact, course)
    db.session.commit()
    for day in range(9):
        moment = NOW + day * DAY
        both(app, moment)
        drain(at(moment))
        db.session.commit()
    for contact_id in contacts:
        sent = sorted(db.session.scalars(sa.select(Message.created_at).where(Message.contact_id == contact_id)))
        assert len(sent) == 8
        assert all(later - earlier >= 20 * HOUR for earlier, later in pairwise(sent))


def both(app: Flask, moment: datetime) -> None:
    """Two schedulers at once, each until it finds nothing."""
    barrier = threading.Barrier(2)

    def one() -> None:
        with app.app_context():
            barrier.wait(10)
            for _ in range(2):
                advance_runs(at(moment))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


moments = st.integers(0, 8 * 366 * 24 * 4).map(lambda quarter: datetime(2024, 1, 1, tzinfo=UTC) + quarter * timedelta(minutes=15))
quarters = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
weekdays = st.sets(st.sampled_from("1234567"), min_size=1).map(lambda days: "".join(sorted(days)))


def is_allowed(window: Window, days: str, moment: datetime, zone: str) -> bool:
    """Said another way than the code does: some day of these has a window that holds this reading of the clock."""
    there = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for back in (0, 1):
        day = there.date() - timedelta(days=back)
        start = datetime.combine(day, window.start if window.start != window.end else time(0))
        end = datetime.combine(day, window.end) if window.start < window.end else datetime.combine(day + DAY, window.end)
        if window.start == window.end:
            end = datetime.combine(day + DAY, time(0))
        if start <= there < end and str(day.isoweekday()) in days:
            return True
    return False


@given(moments, st.sampled_from(HARD), quarters, quarters, weekdays)
@example(datetime(2027, 3, 27, 23, tzinfo=UTC), BERLIN, time(2), time(3), "7")  # all of the only day's window is left out
@example(datetime(2011, 12, 28, tzinfo=UTC), "Pacific/Apia", time(9), time(9), "5")  # and the only day
def test_the_first_moment_on_a_day_of_these_is_found(moment: datetime, zone: str, start: time, end: time, days: str) -> None:
    window = Window(start, end)
    found = next_in(window, moment, zone, days)
    assert found >= moment
    assert is_allowed(window, days, found, zone)
    assert found - moment < timedelta(days=15)
    for number in range(int((found - moment) / timedelta(minutes=15))):
        assert not is_allowed(window, days, moment + number * timedelta(minutes=15), zone)
    assert next_in(window, found, zone, days) == found


@pytest.mark.one_database
@given(
    zones=st.lists(st.sampled_from(HARD), min_size=1, max_size=4),
    begins=st.sampled_from([NOW, SPRING, AUTUMN, LEAP]),
    start=quarters,
    length=st.integers(4, 96),
    days=weekdays,
    late=st.sampled_from(LatePolicy),
    gap=st.integers(1, 48),
    delays=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3).map(sorted).map(tuple), min_size=1, max_size=3),
    outage=st.integers(0, 12 * 24),
    what=st.sampled_from(["scheduler", "mail server"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_through_an_outage_and_moves_nobody_gets_two_within_the_gap_or_one_outside_their_window(
    app: Flask,
    zones: list[str],
    begins: datetime,
    start: time,
    length: int,
    days: str,
    late: LatePolicy,
    gap: int,
    delays: list[tuple[int, ...]],
    outage: int,
    what: str,
) -> None:
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(sa.delete(table))
    db.session.commit()
    app.extensions.pop("streams", None)
    end = (datetime.combine(NOW.date(), start) + length * timedelta(minutes=15)).time()
    window = Window(start, end)
    for steps_of_it in delays:
        make_sequence(delays=steps_of_it, late=late, gap_hours=gap, window_start=start, window_end=end, weekdays=days)
    contact = learner_of(make_course(needs=(("none",),)), now=begins).contact
    assert contact is not None
    db.session.commit()
    where: dict[datetime, str] = {}
    due: datetime | None = begins
    for hour in range(30 * 24):
        moment = begins + hour * HOUR
        where[moment] = zone = zones[hour // (5 * 24) % len(zones)]
        if contact.zone != zone:
            contact.zone = zone
            db.session.commit()
        if due is None or due > moment:
            continue  # then a tick changes nothing
        is_out = outage <= hour < outage + 72
        if not (is_out and what == "scheduler"):
            if hour == 0:
                tick(moment)
            advance_runs(at(moment))
        if not (is_out and what == "mail server"):
            drain(at(moment))
        due = next_due()
    found = came()
    assert all(later - earlier >= gap * HOUR for earlier, later in pairwise(found))
    made = db.session.scalars(sa.select(Message.created_at)).all()
    assert all(is_allowed(window, days, moment, where[moment]) for moment in made)
    keys = db.session.scalars(sa.select(Message.dedupe_key)).all()
    assert len(keys) == len(set(keys))
    firsts = db.session.scalars(sa.select(Sequence.id)).all()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) in {0, len(firsts)}
