"""Whatever workers, reapers and readers do in whatever order: every message stands somewhere, and none is accepted twice."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Consent, Contact, Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event, Receipt
from courseapp.mailing import doubts, leases, outbox, standing
from courseapp.mailing.models import Letter, Message, State, Stream
from courseapp.mailing.streams import stream_of
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_letter

P, L, S, A, U, F = State.PENDING, State.LEASED, State.SUBMITTING, State.ACCEPTED, State.UNCERTAIN, State.FAILED
ARROWS = {
    P: {L},
    L: {P, S, F, State.SKIPPED, State.EXPIRED},
    S: {A, P, F, U, State.BOUNCED},
    U: set(),  # but service mail, which is sent again, and what a person decides: see below
    State.BOUNCED: set(),
    State.ABANDONED: set(),
    A: set(),
    F: set(),
    State.SKIPPED: set(),
    State.EXPIRED: set(),
}


class Outbox(RuleBasedStateMachine):
    """Two streams, a few keys, any number of workers, each of which may come too late."""

    def __init__(self) -> None:
        super().__init__()
        for model in (Receipt, Event, Message, Consent, Letter, Stream, Contact):
            db.session.query(model).delete()
        self.now = NOW
        self.contact, self.letter = make_contact(), make_letter()
        make_consent(self.contact, Purpose.COURSE)
        self.streams = {key: stream_of(key).id for key in ("course", "sign-in")}
        db.session.commit()
        self.enqueued: set[str] = set()
        self.claims: list[tuple[int, int]] = []
        self.begun: list[tuple[int, int]] = []
        self.handed: Counter[int] = Counter()
        self.accepted: Counter[int] = Counter()
        self.before: dict[int, State] = {}
        self.decided: set[int] = set()

    @rule(key=st.sampled_from("abcdef"), stream=st.sampled_from(["course", "sign-in"]), lasts=st.sampled_from([None, 5, 60]))
    def enqueue(self, key: str, stream: str, lasts: int | None) -> None:
        outbox.enqueue(
            dedupe_key=key,
            stream=stream,
            contact_id=self.contact.id,
            letter=self.letter,
            now=self.now,
            expires_at=self.now + timedelta(minutes=lasts) if lasts else None,
        )
        self.enqueued.add(key)
        keys = db.session.scalars(sa.select(Message.dedupe_key))
        assert sorted(keys) == sorted(self.enqueued)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        rows = outbox.claim(self.now, limit)
        assert len(rows) <= limit
        assert not set(rows) & set(self.claims)
        self.claims += rows

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def begin(self, data: Any) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        if outbox.begin_submitting(*claim, self.now):
            self.begun.append(claim)
            self.handed[claim[0]] += 1

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), how=st.sampled_from(["accepted", "transient", "sender", "failed", "bounced", "uncertain"]))
    def note(self, data: Any, how: str) -> None:
        message_id, epoch = data.draw(st.sampled_from(self.begun))
        row = db.session.get_one(Message, message_id, populate_existing=True)
        if row.lease_epoch == epoch and row.state is not S:
            return  # a worker says one thing about one attempt
        counts = how == "accepted" and row.lease_epoch == epoch
        {
            "accepted": lambda: outbox.note_accepted(outbox.Accepted(message_id, epoch, self.now, {})),
            "transient": lambda: outbox.note_transient(message_id, epoch, self.now, "450"),
            "sender": lambda: outbox.note_transient(message_id, epoch, self.now, "421", spend_attempt=False),
            "failed": lambda: outbox.note_failed(message_id, epoch, self.now, "550"),
            "bounced": lambda: outbox.note_bounced(message_id, epoch, self.now, "550 5.1.1"),
            "uncertain": lambda: outbox.note_uncertain(message_id, epoch, self.now, "broke"),
        }[how]()
        self.accepted[message_id] += counts

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        leases.release([data.draw(st.sampled_from(self.claims))])

    @rule()
    def reap(self) -> None:
        leases.reap(self.now)

    @rule(again=st.booleans())
    def somebody_decides_about_a_doubt(self, again: bool) -> None:
        for row in doubts.doubts_before(None, 1):
            assert (doubts.send_again if again else doubts.leave)(row, 1, self.now)
            self.decided.add(row.id)

    @rule(minutes=st.sampled_from([1, 3, 10]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def pause_or_go_on(self) -> None:
        stream = db.session.get_one(Stream, self.streams["course"])
        stream.paused_at = None if stream.paused_at else self.now

    @rule(wanted=st.booleans())
    def change_mind(self, wanted: bool) -> None:
        set_consent(db.session.get_one(Contact, self.contact.id), Purpose.COURSE, wanted, self.now, "test")

    @invariant()
    def every_message_stands_somewhere_it_could_come_to(self) -> None:
        db.session.commit()
        rows = db.session.query(Message).all()
        assert {row.dedupe_key for row in rows} == self.enqueued
        assert sum(standing.states_of_outbox().values()) == len(self.enqueued)
        for row in rows:
            was = self.before.get(row.id, P)
            is_service = row.stream_id == self.streams["sign-in"]
            again = is_service and row.state is P and was in (U, S)
            if row.id in self.decided:
                assert was is U
                assert row.state in (P, State.ABANDONED)
                again = True
            assert row.state is was or row.state in ARROWS[was] or again, f"{was} → {row.state}"
            assert self.accepted[row.id] <= 1
            assert (row.state is A) is (self.accepted[row.id] == 1)
            assert 0 <= row.attempts <= outbox.MOST_ATTEMPTS
            assert (row.settled_at is None) is (row.state in (P, L, S))
            assert row.state in (P, L, S, A) or row.reason
            if not is_service and was is U and row.id not in self.decided:
                assert row.state is U
            self.before[row.id] = row.state
        self.decided.clear()

    def teardown(self) -> None:
        db.session.rollback()


@pytest.mark.parametrize("seed", [1])
def test_the_outbox_keeps_its_promises_in_any_order_of_events(app: Flask, seed: int) -> None:
    many = 25 if db.engine.dialect.name == "sqlite" else 8
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Outbox,
        settings=settings(
            max_examples=many, stateful_step_count=35, deadline=None, suppress_health_check=checks, database=None, derandomize=True
        ),
    )
