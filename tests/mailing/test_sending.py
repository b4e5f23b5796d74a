"""From a due row to the mail server and back: how each attempt ends in the row."""

import threading
import time

import sqlalchemy as sa

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing import loops, standing
from courseapp.mailing import smtp as door_module
from courseapp.mailing.models import Message, State
from tests.factories import make_contact, make_message
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.recording_smtp import DROP, HANG, RecordingSmtp


def states() -> dict[str, str]:
    """Address → state, of every message."""
    return {row.contact.address: row.state.value for row in db.session.scalars(sa.select(Message))}


def test_due_mail_leaves_once_over_one_connection(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    for number in range(25):
        make_course_mail(f"person{number}@example.org")
    assert drain() == {"accepted": 25}
    assert drain() == {}
    assert sorted(smtp.recipients()) == sorted(f"person{number}@example.org" for number in range(25))
    assert smtp.connections == 1
    assert standing.states_of_outbox() == {"accepted": 25}


def test_no_transaction_is_open_while_the_server_thinks(with_smtp, smtp: RecordingSmtp, drain, monkeypatch) -> None:
    """Another writer gets in while the server hangs: on SQLite the write lock is free."""
    app = with_smtp()
    monkeypatch.setattr(door_module, "ANSWER_PATIENCE", 1.5)
    make_course_mail("ada@example.org")
    smtp.script("dot", HANG, takes_it=True)
    waited: list[float] = []

    def write() -> None:
        with app.app_context():
            while not smtp.received:
                time.sleep(0.01)
            begin = time.monotonic()
            make_contact("bob@example.org")
            db.session.commit()
            waited.append(time.monotonic() - begin)

    other = threading.Thread(target=write)
    db.session.commit()
    other.start()
    assert drain() == {"uncertain": 1}
    other.join(10)
    assert waited[0] < 1.0


def test_each_kind_of_failure_ends_in_its_state_and_the_others_go(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    for name in ("gone", "full", "lost", "well"):
        make_course_mail(f"{name}@example.org")
    smtp.script("rcpt", "550 5.1.1 <gone@example.org> unknown", to="gone@example.org")
    smtp.script("rcpt", "452 4.2.2 full", to="full@example.org")
    smtp.script("dot", DROP, to="lost@example.org", takes_it=True)
    drain()
    assert states() == {
        "gone@example.org": "bounced",
        "full@example.org": "pending",
        "lost@example.org": "uncertain",
        "well@example.org": "accepted",
    }
    assert "gone@" not in repr(list(db.session.scalars(sa.select(Message.reason))))


def test_what_is_uncertain_is_never_sent_again_by_itself(with_smtp, smtp: RecordingSmtp, drain, pass_time) -> None:
    with_smtp()
    make_course_mail("lost@example.org")
    smtp.script("dot", DROP, takes_it=True)
    drain()
    for _ in range(3):
        loops.reap(pass_time(hours=1))
        drain()
    assert smtp.recipients() == ["lost@example.org"]


def test_a_sign_in_mail_in_doubt_is_sent_again_with_the_same_message_id(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    make_sign_in_mail("ada@example.org")
    smtp.script("dot", DROP, takes_it=True)
    drain()
    loops.reap(clock.now())
    assert drain() == {"accepted": 1}
    first, second = (mail.message for mail in smtp.received)
    assert first["Message-ID"] == second["Message-ID"]
    assert "canary-token" not in repr([row.fields for row in db.session.scalars(sa.select(Message))])


def test_trouble_of_the_sender_gives_the_rest_back_and_rests(with_smtp, smtp: RecordingSmtp, drain, wait) -> None:
    with_smtp()
    for number in range(5):
        make_course_mail(f"person{number}@example.org")
    smtp.script("mail", "421 4.7.0 <person0@example.org> too much")
    drain()
    assert set(states().values()) == {"pending"}
    assert set(db.session.scalars(sa.select(Message.attempts))) == {0}
    assert drain() == {}
    assert smtp.received == []
    loops.close_door()
    assert drain() == {}, "another process rests as well"
    loops.close_door()
    wait(seconds=31)
    drain()
    assert {f"person{number}@example.org" for number in range(1, 5)} <= set(smtp.recipients())
    assert len(smtp.recipients()) == len(set(smtp.recipients()))


def test_a_message_that_cannot_be_built_ends_alone(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    make_message(make_contact("a@example.org"), stream="service", template="accounts/no_such_text")
    make_message(make_contact("b@example.org"), stream="service", template="accounts/sign_in")
    make_course_mail("c@example.org")
    assert drain() == {"failed": 1, "accepted": 2}
    assert states()["a@example.org"] == "failed"


def test_a_worker_told_to_stop_finishes_one_and_gives_the_rest_back(with_smtp, smtp: RecordingSmtp) -> None:
    with_smtp()
    for number in range(5):
        make_course_mail(f"person{number}@example.org")
    db.session.commit()
    calls = []

    def clock_that_stops_after_the_first():
        calls.append(1)
        if len(smtp.received) == 1:
            loops.stopping.set()
        return clock.now()

    loops.drain(clock_that_stops_after_the_first)
    assert len(smtp.received) == 1
    assert standing.states_of_outbox() == {"accepted": 1, "pending": 4}
    assert sum(db.session.scalars(sa.select(Message.attempts))) == 1


def test_service_mail_overtakes_a_broadcast(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    for number in range(30):
        make_course_mail(f"person{number}@example.org")
    make_sign_in_mail("ada@example.org")
    assert drain(service_only=True) == {"accepted": 1}
    assert smtp.recipients() == ["ada@example.org"]
    assert standing.states_of_outbox() == {"accepted": 1, "pending": 30}


def test_the_embedded_mode_writes_files(app, drain) -> None:
    message = make_sign_in_mail("ada@example.org")
    assert drain() == {"accepted": 1}
    kept = app.config["SETTINGS"].data_dir / "mail" / f"{message.public_id}.eml"
    assert b"canary-token" in kept.read_bytes()
    assert State(message.state) is State.ACCEPTED
