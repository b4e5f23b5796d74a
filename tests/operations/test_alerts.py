"""Owners hear of a stream that paused itself: each of them, once, by service mail."""

import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing import loops as mail
from courseapp.mailing import pausing
from courseapp.mailing.models import Message, State
from courseapp.mailing.streams import stream_of
from courseapp.operations.loops import read_news
from tests.conftest import NOW
from tests.factories import make_message, make_user


def break_marketing() -> None:
    """Enough marketing mail comes back for the stream to pause itself."""
    for number in range(10):
        make_message(stream="marketing", state=State.BOUNCED, settled_at=NOW, dedupe_key=f"bounce:{number}")
    db.session.commit()
    assert mail.watch(clock.now()) == ["marketing"]


def told() -> dict[str, Message]:
    """The alerts that are in the outbox, by address."""
    rows = db.session.scalars(sa.select(Message).where(Message.template == "operations/stream_paused"))
    return {str(row.contact.address): row for row in rows}


def test_every_owner_is_told_once_and_nobody_else(app: Flask) -> None:
    for name, roles in {"one": ["owner"], "two": ["owner", "marketer"], "marketer": ["marketer"], "learner": []}.items():
        make_user(f"{name}@example.org", roles=roles)
    make_user("closed@example.org", roles=["owner"], disabled_at=NOW)
    break_marketing()
    assert [read_news(clock.now), read_news(clock.now)] == [1, 0]
    assert set(told()) == {"one@example.org", "two@example.org"}
    assert {row.stream.key for row in told().values()} == {"service"}


def test_the_mail_says_why_and_where_to_look(app: Flask) -> None:
    make_user("one@example.org", roles=["owner"])
    break_marketing()
    read_news(clock.now)
    mail.drain(clock.now)
    mail.close_door()
    row = told()["one@example.org"]
    assert row.state is State.ACCEPTED
    text = (app.config["SETTINGS"].data_dir / "mail" / f"{row.public_id}.eml").read_text().replace("=\n", "")
    assert "Subject: Mails have stopped leaving" in text
    assert "10 of 10 mails of a day came back" in text
    assert "/staff/mail" in text


def test_who_looks_too_late_is_not_told_of_what_runs_again(app: Flask) -> None:
    make_user("one@example.org", roles=["owner"])
    break_marketing()
    pausing.resume([stream_of("marketing")], NOW)
    assert read_news(clock.now) == 1
    assert told() == {}
