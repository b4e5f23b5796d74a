"""How fast mail leaves: tokens taken per lease, kept in rows, and nothing asked where no limit is set."""

import time
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp import clock
from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.mailing import loops, pacing, pausing
from courseapp.mailing.models import Bucket, Message, State
from courseapp.mailing.pacing import AHEAD, Limits, claim
from courseapp.setting_words import rate_of, rates_of
from courseapp.typed_values import WrongValues
from tests.conftest import NOW
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.mailing.test_claiming import in_threads
from tests.query_counts import statements
from tests.recording_smtp import RecordingSmtp

TEN = Limits(sender=10.0)
GMAIL = Limits(domains={"gmail.example": 1.0})


def claimed(limits: Limits, seconds: float = 0.0, limit: int = 100, service_only: bool = False) -> int:
    """How many mails a claim leases so many seconds after the beginning; committed."""
    lot = claim(NOW + timedelta(seconds=seconds), limit, service_only, limits)
    db.session.commit()
    return len(lot.claimed)


def mails(count: int, domain: str = "example.org") -> list[Message]:
    """So many course mails to people of one domain."""
    return [make_course_mail(f"person{number}@{domain}") for number in range(count)]


def dues() -> list[float]:
    """In how many seconds from the beginning each mail that waits is due."""
    rows = db.session.scalars(sa.select(Message.due_at).where(Message.state == State.PENDING).order_by(Message.due_at))
    return [(due_at - NOW).total_seconds() for due_at in rows]


def test_without_a_limit_the_database_is_asked_nothing_more(app: Flask) -> None:
    mails(3)
    db.session.commit()
    with statements() as asked:
        assert claimed(Limits()) == 3
    assert len(asked) == 2
    assert "mail_buckets" not in str(asked)


def test_the_sender_takes_a_seconds_worth_and_then_what_time_brings(app: Flask) -> None:
    mails(40)
    assert [claimed(TEN, seconds) for seconds in (0, 0, 0.05, 0.25, 0.3, 60, 60)] == [10, 0, 0, 2, 1, 10, 0]


def test_what_the_sender_has_no_token_for_stays_due_and_is_told_when(app: Flask) -> None:
    mails(12)
    assert claimed(TEN) == 10
    lot = claim(NOW, 100, False, TEN)
    assert (lot.claimed, lot.wait) == ([], pytest.approx(0.1, abs=0.001))
    assert dues() == [0, 0]


def test_where_nothing_is_due_nobody_waits_for_a_token(app: Flask) -> None:
    mails(10)
    claimed(TEN)
    assert claim(NOW, 100, False, TEN).wait is None


def test_a_claim_that_finds_little_takes_few_tokens(app: Flask) -> None:
    mails(3)
    assert claimed(TEN) == 3
    mails(20, "example.net")
    assert claimed(TEN) == 7


def test_service_mail_is_counted_and_never_held_back(app: Flask) -> None:
    mails(10)
    claimed(TEN)
    mails(5, "example.net")
    for number in range(5):
        make_sign_in_mail(f"s{number}@example.org")
    assert claimed(TEN) == 5, "the sign-in mails"
    assert [claimed(TEN, seconds) for seconds in (0.5, 0.6)] == [0, 1]


def test_a_rate_below_one_a_second_still_lets_one_out(app: Flask) -> None:
    mails(3)
    assert [claimed(Limits(sender=1 / 60), seconds) for seconds in (0, 1, 59, 60, 61)] == [1, 0, 0, 1, 0]


def test_mail_to_a_crowded_domain_gets_places_and_others_go(app: Flask) -> None:
    mails(4, "gmail.example")
    mails(2)
    assert claimed(GMAIL) == 3
    assert dues() == [1, 2, 3]
    assert set(db.session.scalars(sa.select(Message.attempts).where(Message.state == State.PENDING))) == {0}
    assert [claimed(GMAIL, seconds) for seconds in (0.5, 1, 2, 3)] == [0, 1, 1, 1]


def test_who_has_a_place_does_not_queue_again_and_who_comes_later_queues_behind(app: Flask) -> None:
    mails(3, "gmail.example")
    claimed(GMAIL)
    make_course_mail("late@gmail.example")
    assert claimed(GMAIL, 1) == 1
    assert dues() == [2, 3]


def test_after_an_outage_places_are_gone_and_nothing_bursts(app: Flask) -> None:
    mails(20, "gmail.example")
    claimed(GMAIL)
    assert claimed(GMAIL, 3600) == 1
    assert len(dues()) == 18


def test_places_reach_no_further_than_some_minutes(app: Flask) -> None:
    for message in mails(30, "gmail.example"):
        message.priority = 9
    slow = Limits(domains={"gmail.example": 1 / 60})
    assert claimed(slow) == 1
    ahead = AHEAD.total_seconds()
    placed = dues()[:10]
    assert placed == [60.0 * number for number in range(1, 11)]
    assert all(ahead <= due <= 2 * ahead for due in dues()[10:])
    reasons = Counter(db.session.scalars(sa.select(Message.reason).where(Message.state == State.PENDING)))
    assert reasons == {pacing.PACED: 10, pacing.NOT_PLACED: 19}


def test_each_domain_has_its_own_bucket_and_a_star_stands_for_all_others(app: Flask) -> None:
    for domain in ("gmail.example", "a.example", "b.example"):
        mails(3, domain)
    assert claimed(Limits(domains={"gmail.example": 2.0, "*": 1.0})) == 4
    assert "example" not in str(db.session.scalars(sa.select(Bucket.key)).all()), "a bucket does not tell whose domain it is for"


def test_buckets_survive_a_restart_and_go_when_long_full(app: Flask, make_app) -> None:
    mails(12)
    claimed(TEN)
    with make_app().app_context():
        assert claimed(TEN) == 0
        db.session.remove()
    pacing.forget_spent(NOW + timedelta(days=2))
    assert db.session.query(Bucket).count() == 0


def test_workers_at_once_share_the_buckets(app: Flask) -> None:
    mails(30)
    mails(30, "gmail.example")
    limits = Limits(sender=20.0, domains={"gmail.example": 3.0})
    found = in_threads(app, lambda _which: [claimed(limits, limit=5) for _ in range(6)], 4)
    assert sum(map(sum, found)) <= 20


def test_a_paced_mail_is_among_what_waits_in_a_paused_stream(app: Flask) -> None:
    messages = mails(4, "gmail.example")
    claimed(GMAIL)
    assert pausing.waiting_in([messages[0].stream], NOW) == 3


def test_a_drain_keeps_to_the_limit_and_does_not_spin(with_smtp, smtp: RecordingSmtp) -> None:
    with_smtp(mail_rate="20/second")
    make_sign_in_mail()  # the first mail of a process loads what mails are built with
    loops.drain(clock.now, seconds=1.0)
    smtp.received.clear()
    mails(60)
    db.session.commit()
    begin = time.thread_time()  # the drain's own work, not that of the server that takes the mails in this process
    with statements() as asked:
        sums = loops.drain(clock.now, seconds=1.0)
    assert 30 <= sums["accepted"] <= 41
    assert len(asked) < 400
    assert time.thread_time() - begin < 0.6
    assert sums["accepted"] == len(smtp.received)


@pytest.mark.parametrize(("words", "rate"), [("10/second", 10), ("300/minute", 5), ("7200/hour", 2), (" 1/minute ", 1 / 60)])
def test_a_rate_is_read_as_it_is_said(words: str, rate: float) -> None:
    assert rate_of(words) == pytest.approx(rate)


@pytest.mark.parametrize("words", ["10", "0/second", "-1/second", "ten/second", "10/day", "10/", "1.5/second"])
def test_what_is_no_rate_is_refused_at_the_start(words: str) -> None:
    with pytest.raises(WrongValues, match="rate"):
        Settings(mail_rate=words)
    with pytest.raises(WrongValues, match="rate"):
        Settings(mail_domain_rates=f"gmail.com={words}")


def test_rates_by_domain_are_read_whatever_their_case() -> None:
    assert rates_of("Gmail.com=2/second, *=60/minute") == {"gmail.com": 2.0, "*": 1.0}
    assert rates_of("") == {}


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.01, 50),
    asked=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), min_size=1, max_size=40),
)
def test_no_bucket_ever_gives_more_than_its_rate_and_one_second(rate: float, asked: list[tuple[float, int]]) -> None:
    """The arithmetic alone, for any order of claims: in every span at most rate × span and what the bucket held."""
    paid_at, given_out, passed = 0.0, [], 0.0
    for pause, wanted in asked:
        passed += pause
        now = NOW + timedelta(seconds=passed)
        paid_at = max(paid_at, now.timestamp() - max(1.0, 1 / rate))
        tokens = min(wanted, pacing._tokens(paid_at, now, rate))
        paid_at += tokens / rate
        given_out.append((passed, tokens))
    for first in range(len(given_out)):
        for last in range(first, len(given_out)):
            span = given_out[last][0] - given_out[first][0]
            assert sum(tokens for _at, tokens in given_out[first : last + 1]) <= rate * span + max(1.0, rate) + 0.01
