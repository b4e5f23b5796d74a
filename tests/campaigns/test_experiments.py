"""Two letters of a broadcast tried out, and people held out: by lot, each once, and the rest gets the better letter."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import count as count_from

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from courseapp.accounts.models import User
from courseapp.campaigns import broadcasts, expanding, experiments, privacy
from courseapp.campaigns import loops as broadcast_loops
from courseapp.campaigns.catching_up import catch_up
from courseapp.campaigns.experiment_sentences import verdict_of
from courseapp.campaigns.experiments import BUCKETS, HELD, TRIED, Design, Outcome, Words, bucket_of, experiment_of, shares_of
from courseapp.campaigns.models import Arm, Broadcast, BroadcastPage, BroadcastState, Experiment, Measure
from courseapp.catalog.models import Course
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.windows import Window
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.insights import after_mails
from courseapp.insights.after_mails import kept
from courseapp.insights.arms import arms_told, is_chance
from courseapp.insights.loops import judge_trials, renew_mail_figures
from courseapp.journal.models import Event
from courseapp.mailing import loops, pausing
from courseapp.mailing.capping import CAPPED
from courseapp.mailing.clicks import count_click
from courseapp.mailing.models import Letter, Message, State
from courseapp.mailing.sums import HELD_OUT
from courseapp.operations.people import erase
from courseapp.site import change_site, forget_site
from tests.factories import NOW, lessons_of, make_completion, make_consent, make_contact, make_course, make_enrolment, make_user

ALL_DAY = Window(time(0), time(0))
PEOPLE = 200
WEEK = timedelta(days=7)
FIRST, SECOND, HELD_ARM, REST = Arm


def design(**more: object) -> Design:
    """Another subject for a fifth of the people, a tenth held out, told by what people did within a week."""
    values = {
        "second": Words("A second subject", "", ""),
        "tried_percent": 20,
        "held_percent": 10,
        "measure": Measure.DID,
        "within_days": 7,
    }
    return Design(**{**values, **more})  # type: ignore[arg-type]  # each test says what is other


@pytest.fixture
def course(app: Flask) -> Course:
    """The course that everybody takes."""
    return make_course()


@pytest.fixture
def marketer(app: Flask) -> User:
    """Whoever presses the buttons."""
    return make_user("marketer@example.org", roles=("marketer",))


@pytest.fixture
def begin(marketer: User, course: Course) -> Callable[..., Broadcast]:
    """begin(design, people): a broadcast that tries something out, scheduled for now, for so many learners."""

    numbers = count_from(1)

    def make(tried: Design | None = None, people: int = PEOPLE, zone: str = "UTC", at: datetime = NOW, **more: object) -> Broadcast:
        for _number in range(people):
            user = make_user(contact=make_contact(zone=zone))
            make_consent(user.contact, Purpose.MARKETING)
            make_enrolment(user, course, started_at=NOW - timedelta(days=30))
        broadcast = broadcasts.new_broadcast(draft(design=tried or design(), **more), marketer.id, NOW)
        broadcast.public_id = f"{next(numbers):016}"  # so the lot falls the same way each time
        broadcasts.schedule(broadcast, at, marketer.id, at)
        db.session.commit()
        return broadcast

    return make


def draft(**more: object) -> broadcasts.Draft:
    """A broadcast's words."""
    words = {"title": "News", "language": "en", "subject": "A first subject", "preheader": "Two courses", "body": "There are two."}
    values = {"purpose": Purpose.MARKETING, "segment": None, "window": ALL_DAY, **words}
    return broadcasts.Draft(**{**values, **more})  # type: ignore[arg-type]  # each test says what is other


def tick(now: datetime = NOW) -> int:
    """What the worker does for broadcasts."""
    return broadcast_loops.work_broadcasts(lambda: now)


def send(now: datetime = NOW) -> None:
    """What the worker does for mail."""
    loops.drain(lambda: now)
    loops.close_door()


def try_out(now: datetime = NOW) -> None:
    """All that comes before the rest waits to be judged."""
    tick(now)
    send(now)
    tick(now)


def of_arm(broadcast: Broadcast, arm: Arm) -> list[Message]:
    """The mails of an arm."""
    found = experiment_of(broadcast)
    assert found is not None
    letter = {FIRST: broadcast.letter_id, HELD_ARM: broadcast.letter_id, SECOND: found.letter_id, REST: found.rest_letter_id}[arm]
    rows = db.session.scalars(sa.select(Message).where(Message.letter_id == letter).order_by(Message.id))
    return [row for row in rows if (row.reason == HELD_OUT) == (arm is HELD_ARM)]


def do(course: Course, messages: list[Message], at: datetime) -> None:
    """Have readers do a lesson."""
    for message in messages:
        user = db.session.scalars(sa.select(User).where(User.contact_id == message.contact_id)).one()
        make_completion(user, lessons_of(course)[0], completed_at=at)
    db.session.commit()


def adds_up(broadcast: Broadcast) -> broadcasts.Account:
    """The sums, which hold whenever one looks; and nobody has two mails."""
    db.session.expire_all()
    account = broadcasts.account_of(broadcast)
    waiting = db.session.scalars(sa.select(BroadcastPage.people).where(BroadcastPage.broadcast_id == broadcast.id)).all()
    assert account.waiting == sum(waiting)
    assert account.candidates == account.waiting + sum(account.states.values())
    readers = db.session.scalars(sa.select(Message.contact_id).where(Message.stream_id == broadcast.stream_id)).all()
    assert len(readers) == len(set(readers))
    return account


@given(st.sampled_from(TRIED), st.sampled_from(HELD), st.booleans())
def test_the_shares_of_the_arms_are_all_there_is(tried: int, held: int, has_second: bool) -> None:
    shares = shares_of(Experiment(has_second=has_second, tried_percent=tried, held_percent=held))
    assert sum(shares.values()) == BUCKETS
    assert shares.get(HELD_ARM, 0) == BUCKETS * held // 100
    assert shares.get(SECOND, shares[FIRST]) == shares[FIRST]
    assert (REST in shares) == (has_second and tried < 100)


def test_the_lot_is_fair_stays_and_is_another_in_each_broadcast() -> None:
    one, other = Broadcast(public_id="one"), Broadcast(public_id="other")
    tenths = Counter(bucket_of(one, number) // 1000 for number in range(20_000))
    assert all(abs(count - 2000) < 180 for count in tenths.values())  # four standard deviations
    both = sum(bucket_of(one, number) < 1000 and bucket_of(other, number) < 1000 for number in range(20_000))
    assert abs(both - 200) < 60
    assert bucket_of(one, 7) == bucket_of(Broadcast(public_id="one"), 7)


def test_a_part_is_tried_out_a_part_gets_none_and_the_rest_waits(begin) -> None:
    broadcast = begin()
    try_out()
    account = adds_up(broadcast)
    assert broadcast.state is BroadcastState.TRYING
    assert (account.candidates, account.left) == (PEOPLE, len(of_arm(broadcast, FIRST)) + len(of_arm(broadcast, SECOND)))
    counts = {arm: len(of_arm(broadcast, arm)) for arm in (FIRST, SECOND, HELD_ARM)}
    assert account.waiting == PEOPLE - sum(counts.values())
    assert all(6 <= count <= 40 for count in counts.values())
    assert {(row.state, row.reason) for row in of_arm(broadcast, HELD_ARM)} == {(State.SKIPPED, HELD_OUT)}
    subjects = Counter(db.session.scalars(sa.select(Letter.subject).join(Message).where(Message.state == State.ACCEPTED)))
    assert subjects == {"A first subject": counts[FIRST], "A second subject": counts[SECOND]}
    assert experiment_of(broadcast).judge_at == NOW + WEEK


@pytest.mark.parametrize(("doers", "better"), [({FIRST: 5, SECOND: 15}, SECOND), ({FIRST: 15, SECOND: 5}, FIRST), ({}, FIRST)])
def test_the_rest_gets_the_letter_after_which_more_people_did_something(begin, course, doers, better) -> None:
    broadcast = begin(design(held_percent=0, tried_percent=30))
    try_out()
    renew_mail_figures(lambda: NOW + timedelta(minutes=10))
    for arm, count in doers.items():
        do(course, of_arm(broadcast, arm)[:count], NOW + timedelta(days=2))
    renew_mail_figures(lambda: NOW + WEEK - timedelta(minutes=1))
    tick(NOW + WEEK - timedelta(minutes=1))
    assert broadcast.state is BroadcastState.TRYING
    renew_mail_figures(lambda: NOW + WEEK)
    assert broadcast.state is BroadcastState.EXPANDING
    try_out(NOW + WEEK)
    account = adds_up(broadcast)
    assert (broadcast.state, account.left, account.waiting) == (BroadcastState.FINISHED, PEOPLE, 0)
    rest = of_arm(broadcast, REST)
    assert len(rest) == PEOPLE - len(of_arm(broadcast, FIRST)) - len(of_arm(broadcast, SECOND))
    assert rest[0].letter.subject == ("A second subject" if better is SECOND else "A first subject")
    event = db.session.scalars(sa.select(Event).where(Event.type == "broadcast_judged")).one()
    assert event.data == {"by_user_id": None, "better": better.value}


def test_the_share_decides_and_not_the_number() -> None:
    assert experiments.better_of(Outcome(100, 20), Outcome(50, 15)) is SECOND
    assert experiments.better_of(Outcome(100, 20), Outcome(200, 30)) is FIRST
    assert experiments.better_of(Outcome(0, 0), Outcome(0, 0)) is FIRST


def test_what_is_done_after_the_time_does_not_count(begin, course) -> None:
    broadcast = begin(design(held_percent=0, within_days=1))
    try_out()
    do(course, of_arm(broadcast, SECOND)[:10], NOW + timedelta(days=1, minutes=1))
    renew_mail_figures(lambda: NOW + timedelta(days=2))
    assert (broadcast.state, experiment_of(broadcast).better) == (BroadcastState.EXPANDING, FIRST)


def test_before_it_is_judged_it_is_not_counted_so_that_it_is_counted_once_a_day_at_most(begin, course) -> None:
    broadcast = begin()
    looked = []
    for place, hours in enumerate((0, 20, 25, 100, 150, 167, 168, 169, 193)):
        now = NOW + timedelta(hours=hours)
        if not hours:
            try_out()
        do(course, of_arm(broadcast, SECOND)[place : place + 1], now)
        before = db.session.scalar(sa.text("SELECT looked_at FROM mail_figures"))
        renew_mail_figures(lambda now=now: now)
        if db.session.scalar(sa.text("SELECT looked_at FROM mail_figures")) != before:
            looked.append(hours)
    assert looked == [0, 25, 100, 168, 193]


def test_who_has_enough_marketing_for_this_week_holds_up_nobody_and_a_pause_does(begin, marketer) -> None:
    broadcast = begin()
    tick()
    waits = of_arm(broadcast, FIRST)[0]
    waits.due_at, waits.reason = NOW + WEEK, CAPPED
    broadcasts.pause(broadcast, marketer.id, NOW)
    db.session.commit()
    send()
    tick(NOW + timedelta(days=3))
    assert experiment_of(broadcast).judge_at is None
    broadcasts.resume(broadcast, marketer.id, NOW + timedelta(days=3))
    db.session.commit()
    tick(NOW + timedelta(days=3))
    assert experiment_of(broadcast).judge_at is None  # the others are still to leave
    try_out(NOW + timedelta(days=3))
    assert experiment_of(broadcast).judge_at == NOW + timedelta(days=3) + WEEK


def test_while_no_mail_of_a_letter_has_left_nothing_is_judged_and_what_failed_may_be_tried_again(begin, marketer) -> None:
    broadcast = begin()
    tick()
    seconds = of_arm(broadcast, SECOND)
    for message in seconds:
        message.state, message.reason, message.settled_at = State.FAILED, "550 5.7.1 not today", NOW
    db.session.commit()
    send()
    tick()
    assert (broadcast.state, experiment_of(broadcast).judge_at) == (BroadcastState.TRYING, None)
    assert broadcasts.try_failed_again(broadcast, marketer.id, NOW) == len(seconds)
    db.session.commit()
    try_out(NOW + timedelta(days=1))
    assert experiment_of(broadcast).judge_at == NOW + timedelta(days=1) + WEEK
    assert adds_up(broadcast).left == len(seconds) + len(of_arm(broadcast, FIRST))


def test_a_mail_that_is_due_after_the_clocks_were_changed_is_waited_for(begin) -> None:
    db.session.commit()
    begun = datetime(2026, 10, 24, 7, 6, tzinfo=UTC)
    broadcast = begin(window=Window(time(9), time(9, 5)), zone="Europe/Berlin", at=begun)
    tick(begun)
    send(begun)
    tick(begun)
    assert experiment_of(broadcast).judge_at is None


def test_so_few_people_that_a_letter_has_nobody_are_not_made_to_wait(begin) -> None:
    broadcast = begin(design(tried_percent=10, held_percent=0), people=2)
    try_out()
    assert (adds_up(broadcast).left, broadcast.state) == (2, BroadcastState.FINISHED)
    assert verdict_of(broadcast, experiment_of(broadcast)) == "They were too few for anybody to wait, so nothing was judged."


def test_a_letter_cannot_be_tried_out_on_staff_while_it_is_sent(begin) -> None:
    broadcast = begin()
    try_out()
    letters = broadcast.letter_id, experiment_of(broadcast).letter_id
    with pytest.raises(Refusal):
        broadcasts.letter_to_try(broadcast, SECOND, NOW)
    assert (broadcast.letter_id, experiment_of(broadcast).letter_id) == letters


def test_what_came_back_from_a_backup_is_not_judged_by_itself_and_can_be_dropped(begin, course) -> None:
    tried, plain = begin(), begin(design(second=None, held_percent=0))
    try_out()
    later = NOW + timedelta(days=10)
    pausing.pause_everything("restored", later)
    assert catch_up(later) == 0
    db.session.commit()
    renew_mail_figures(lambda: later)
    tick(later)
    streams = pausing.paused_streams()
    pausing.drop_waiting(streams, later)
    pausing.resume(streams, later)
    db.session.commit()
    for _day in range(2):
        renew_mail_figures(lambda: later + WEEK)
        try_out(later)
    assert (tried.state, plain.state) == (BroadcastState.TRYING, BroadcastState.FINISHED)
    assert not of_arm(tried, REST)


def test_what_had_begun_before_a_restore_waits_in_the_outbox_for_somebodys_word(begin, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 50)
    begun, due = begin(design(second=None, held_percent=0)), begin(design(second=None, held_percent=0), people=0)
    expanding.freeze(begun, NOW)
    expanding.expand_page(begun, 0, NOW)
    db.session.commit()
    later = NOW + timedelta(days=1)
    pausing.pause_everything("restored", later)
    assert catch_up(later) == PEOPLE - 50 + PEOPLE
    db.session.commit()
    streams = pausing.paused_streams()
    assert pausing.waiting_in(streams, later) == 2 * PEOPLE
    pausing.drop_waiting(streams, later)
    pausing.resume(streams, later)
    db.session.commit()
    try_out(later)
    assert (adds_up(begun).left, adds_up(due).left) == (0, 0)


def test_staff_may_choose_without_waiting_and_only_while_it_is_tried_out(begin, marketer) -> None:
    broadcast = begin()
    with pytest.raises(Refusal):
        broadcasts.choose_letter(broadcast, SECOND, marketer.id, NOW)
    db.session.rollback()
    try_out()
    broadcasts.choose_letter(broadcast, SECOND, marketer.id, NOW)
    db.session.commit()
    with pytest.raises(Refusal):
        broadcasts.choose_letter(broadcast, FIRST, marketer.id, NOW)
    db.session.rollback()
    try_out()
    assert {row.letter.subject for row in of_arm(broadcast, REST)} == {"A second subject"}
    assert adds_up(broadcast).waiting == 0
    renew_mail_figures(lambda: NOW + WEEK)
    judge_trials(NOW + WEEK)
    assert experiment_of(broadcast).better is SECOND


def test_cancelled_while_it_is_tried_out_the_rest_gets_nothing(begin, marketer) -> None:
    broadcast = begin()
    try_out()
    left = adds_up(broadcast).left
    broadcasts.cancel(broadcast, marketer.id, NOW)
    db.session.commit()
    renew_mail_figures(lambda: NOW + WEEK)
    try_out(NOW + WEEK)
    db.session.expire_all()
    assert (broadcasts.account_of(broadcast).left, broadcast.state) == (left, BroadcastState.CANCELLED)


def test_with_everybody_tried_out_or_with_one_letter_nobody_waits(begin) -> None:
    halves = begin(design(tried_percent=100, held_percent=0))
    try_out()
    assert (adds_up(halves).left, halves.state) == (PEOPLE, BroadcastState.FINISHED)
    assert len(of_arm(halves, FIRST)) + len(of_arm(halves, SECOND)) == PEOPLE
    assert min(len(of_arm(halves, FIRST)), len(of_arm(halves, SECOND))) > PEOPLE // 3


def test_people_may_be_held_out_of_one_letter(begin) -> None:
    broadcast = begin(design(second=None, tried_percent=20, held_percent=20))
    try_out()
    account = adds_up(broadcast)
    held = len(of_arm(broadcast, HELD_ARM))
    assert (broadcast.state, account.left, account.states[State.SKIPPED, HELD_OUT]) == (BroadcastState.FINISHED, PEOPLE - held, held)
    assert PEOPLE // 10 < held < PEOPLE // 3


def test_killed_between_any_two_pages_each_is_in_one_arm_all_the_same(begin, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 7)
    broadcast = begin()
    real, done = expanding.bulk.enqueue_many, [0]

    def sometimes_killed(*words: object, **more: object) -> None:
        real(*words, **more)  # type: ignore[arg-type]  # handed on as they came
        done[0] += 1
        if done[0] % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(expanding.bulk, "enqueue_many", sometimes_killed)
    for _try in range(60):
        try:
            tick()
            break
        except KeyboardInterrupt:
            db.session.rollback()
            adds_up(broadcast)
    assert done[0] > 6
    assert broadcast.state is BroadcastState.TRYING


def test_who_is_erased_while_they_wait_gets_nothing_and_stands_in_no_sum(begin) -> None:
    broadcast = begin()
    try_out()
    page = db.session.scalars(sa.select(BroadcastPage).where(BroadcastPage.arm == REST)).first()
    assert page is not None
    gone = db.session.get_one(Contact, page.contact_ids[0])
    assert privacy.export_broadcasts(gone.id) == [{"subject": "A first subject", "at": NOW.isoformat()}]
    erase(db.session.scalars(sa.select(User).where(User.contact_id == gone.id)).one(), gone, NOW)
    db.session.commit()
    broadcasts.judge(broadcast, {FIRST: Outcome(0, 0), SECOND: Outcome(0, 0)}, NOW)
    db.session.commit()
    try_out()
    assert adds_up(broadcast).candidates == PEOPLE - 1


def test_two_letters_that_say_the_same_are_refused_and_what_is_wrong_in_the_second_hinders_too(marketer) -> None:
    for second, words in ((Words("A first subject", "", ""), "say the same"), (Words("", "", "{{ nonsense }}"), "nonsense")):
        broadcast = broadcasts.new_broadcast(draft(design=design(second=second)), marketer.id, NOW)
        with pytest.raises(Refusal, match=words):
            broadcasts.schedule(broadcast, NOW, marketer.id, NOW)


def test_a_draft_may_be_changed_to_try_out_nothing(marketer) -> None:
    broadcast = broadcasts.new_broadcast(draft(design=design()), marketer.id, NOW)
    assert experiment_of(broadcast) is not None
    broadcasts.change_broadcast(broadcast, draft(design=design(second=None, held_percent=0)), 1, marketer.id, NOW)
    assert experiment_of(broadcast) is None


def test_held_out_and_mailed_are_counted_alike_whatever_became_of_the_mail_and_through_a_pause(begin, course, marketer) -> None:
    broadcast = begin(design(held_percent=20, tried_percent=100))
    tick()
    broadcasts.pause(broadcast, marketer.id, NOW)
    db.session.commit()
    resting = [message for arm in (FIRST, SECOND) for message in of_arm(broadcast, arm)][::2]
    for message in resting:
        message.state, message.reason, message.settled_at = State.SKIPPED, "resting", NOW
    later = NOW + timedelta(days=8)
    broadcasts.resume(broadcast, marketer.id, later)
    db.session.commit()
    try_out(later)
    arms = {arm: of_arm(broadcast, arm) for arm in (FIRST, SECOND, HELD_ARM)}
    do(course, [message for messages in arms.values() for message in messages], later + timedelta(days=1))
    renew_mail_figures(lambda: later + timedelta(days=2))
    told = arms_told(kept(broadcast_id=broadcast.id).figures, 7)
    for arm, messages in arms.items():
        assert told[arm].people == len(messages)
        assert len(messages) - 5 < told[arm].did <= len(messages)


def test_while_mails_of_the_trial_are_leaving_nothing_is_told_of_the_arms(begin, course) -> None:
    broadcast = begin(design(held_percent=20, tried_percent=100))
    tick()
    waits = of_arm(broadcast, SECOND)[0]
    waits.due_at = NOW + timedelta(days=5)
    db.session.commit()
    send()
    tick()
    everybody = [message for arm in (FIRST, SECOND, HELD_ARM) for message in of_arm(broadcast, arm) if message.id != waits.id]
    do(course, everybody[::2], NOW + timedelta(days=1))
    renew_mail_figures(lambda: NOW + timedelta(days=2))
    assert not kept(broadcast_id=broadcast.id).figures
    later = NOW + timedelta(days=5)
    try_out(later)
    assert (broadcast.state, experiment_of(broadcast).since) == (BroadcastState.FINISHED, NOW)
    renew_mail_figures(lambda: later + timedelta(days=1))
    told = arms_told(kept(broadcast_id=broadcast.id).figures, 7)
    shares = [told[arm].did / told[arm].people for arm in (FIRST, SECOND, HELD_ARM)]
    assert all(0.35 < share < 0.65 for share in shares)
    assert is_chance(told[FIRST].outcome(Measure.DID), told[HELD_ARM].outcome(Measure.DID))


def test_a_hold_out_alone_is_followed_after_a_restore_and_where_it_was_paused_at_the_end(begin, marketer) -> None:
    restored, paused = begin(design(second=None)), begin(design(second=None))
    tick()
    broadcasts.pause(paused, marketer.id, NOW)
    db.session.commit()
    for message in db.session.scalars(sa.select(Message).where(Message.stream_id == paused.stream_id, Message.state == State.PENDING)):
        message.state, message.settled_at = State.ACCEPTED, NOW
    restored.state = BroadcastState.EXPANDING
    assert catch_up(NOW) == 0
    db.session.commit()
    try_out()
    tick()
    assert [experiment_of(row).is_by_hand for row in (restored, paused)] == [False, False]
    assert [experiment_of(row).since for row in (restored, paused)] == [NOW, NOW]


def test_what_came_back_from_a_backup_does_not_go_on_by_its_own_page(begin, marketer) -> None:
    broadcast = begin(design(second=None, held_percent=0))
    later = NOW + timedelta(days=1)
    pausing.pause_everything("restored", later)
    catch_up(later)
    db.session.commit()
    with pytest.raises(Refusal, match="came from a backup"):
        broadcasts.resume(broadcast, marketer.id, later)
    db.session.rollback()
    pausing.resume(pausing.paused_streams(), later)
    db.session.commit()
    try_out(later)
    assert adds_up(broadcast).left == PEOPLE


def test_a_draft_that_was_given_back_after_a_restore_is_judged_by_itself_when_it_is_sent_again(begin) -> None:
    broadcast = begin()
    experiment_of(broadcast).is_by_hand = True
    broadcasts.give_back(broadcast, "its segment is gone", NOW)
    assert experiment_of(broadcast).is_by_hand is False


def test_who_was_held_out_is_followed_from_the_day_the_trial_has_left(begin, course) -> None:
    broadcast = begin(design(held_percent=20, tried_percent=100), window=Window(time(11), time(13)))  # it is nine
    tick()
    send(NOW + timedelta(hours=3))
    tick(NOW + timedelta(hours=3))
    held = of_arm(broadcast, HELD_ARM)
    do(course, held[:5], NOW + timedelta(hours=1))  # too early
    do(course, held[5:10], NOW + timedelta(days=1))
    renew_mail_figures(lambda: NOW + timedelta(days=2))
    told = arms_told(kept(broadcast_id=broadcast.id).figures, 7)[HELD_ARM]
    assert (told.people, told.did) == (len(held), 5)


@pytest.mark.parametrize(
    ("one", "other", "is_told_apart"),
    [
        ((49, 0), (45, 5), False),
        ((500, 50), (500, 60), False),
        ((500, 50), (500, 80), True),
        ((60, 30), (60, 45), True),
        ((0, 0), (9, 9), False),
    ],
)
def test_more_than_chance_is_said_only_where_it_holds_for_all_that_fives_may_leave_out(one, other, is_told_apart) -> None:
    assert is_chance(Outcome(*one), Outcome(*other)) is not is_told_apart
    assert is_chance(Outcome(*other), Outcome(*one)) is not is_told_apart


def test_a_large_broadcast_is_not_judged_before_its_readers_were_counted(begin, course, monkeypatch) -> None:
    monkeypatch.setattr(after_mails, "COUNTED_LIVE", 10)
    broadcast = begin(design(held_percent=0))
    try_out()
    do(course, of_arm(broadcast, SECOND)[:15], NOW + timedelta(days=1))
    renew_mail_figures(lambda: NOW + WEEK + timedelta(minutes=1))
    assert experiment_of(broadcast).better is SECOND
    assert experiment_of(broadcast).counts["second"][1] >= 10


def test_where_clicks_are_counted_they_may_tell_the_better_letter(begin, course, marketer) -> None:
    by_clicks = design(measure=Measure.CLICKS, held_percent=0, tried_percent=50)
    body = "[Go on](page:ask)"
    change_site({"counts_clicks": "on"}, NOW)
    db.session.commit()
    forget_site()
    broadcast = begin(by_clicks, body=body)
    try_out()
    letter = db.session.get_one(Letter, experiment_of(broadcast).letter_id)
    do(course, of_arm(broadcast, FIRST)[:20], NOW + timedelta(days=1))  # which is not asked here
    for _number in range(5):
        assert count_click(letter.public_id, "1", NOW + timedelta(days=1))
    db.session.commit()
    day_over = (NOW + WEEK + timedelta(days=1)).replace(hour=0)
    assert experiment_of(broadcast).judge_at == day_over
    renew_mail_figures(lambda: day_over)
    assert (broadcast.state, experiment_of(broadcast).better) == (BroadcastState.EXPANDING, SECOND)
    with pytest.raises(Refusal, match="no link to a page of this site"):
        begin(by_clicks, people=0, body="No link.")
    db.session.rollback()
    other = begin(by_clicks, people=0, body=body)
    try_out()
    change_site({"counts_clicks": ""}, NOW)
    db.session.commit()
    forget_site()
    renew_mail_figures(lambda: NOW + 2 * WEEK)
    assert (other.state, experiment_of(other).better) == (BroadcastState.TRYING, None)  # somebody must choose
    with pytest.raises(Refusal, match="not counted any more"):
        begin(by_clicks, people=0, body=body)
