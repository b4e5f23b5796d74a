"""What about money somebody must look at is noted once a day, and mailed to owners."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.billing.attention import ATTENTION_WORDS, NEEDED, need_attention
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import loops as mail
from courseapp.mailing.models import Message, State
from courseapp.operations.audit_words import words_of
from courseapp.operations.diagnosis import diagnosis
from courseapp.operations.loops import read_news
from courseapp.operations.metrics import exposition
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_user


def noted() -> list[dict[str, str]]:
    return [event.facts for event in db.session.scalars(sa.select(Event).where(Event.type == NEEDED).order_by(Event.id))]


def told() -> list[tuple[str, str]]:
    """Whom the mails are for, and what they say, in order."""
    db.session.commit()
    rows = db.session.scalars(sa.select(Message).where(Message.template == "operations/money_attention").order_by(Message.id))
    return [(str(row.contact.address), row.fields["what"]) for row in rows]


def test_the_same_is_noted_once_a_day(app: Flask) -> None:
    assert need_attention("unknown_price", NOW, price="price_1", subscription=7)
    assert not need_attention("unknown_price", NOW + timedelta(hours=23), price="price_1", subscription=7)
    assert need_attention("unknown_price", NOW + timedelta(hours=23), price="price_1", subscription=8)
    assert need_attention("no_owner", NOW + timedelta(hours=23), subscription=7)
    assert need_attention("unknown_price", NOW + timedelta(hours=25), price="price_1", subscription=7)
    assert noted()[0] == {"what": "unknown_price", "price": "price_1", "subscription": "7"}
    assert len(noted()) == 4


def test_what_is_not_known_of_it_is_left_out(app: Flask) -> None:
    need_attention("no_owner", NOW, subscription="sub_1", checkout=None)
    assert noted() == [{"what": "no_owner", "subscription": "sub_1"}]


def test_a_code_without_words_is_a_mistake_of_ours(app: Flask) -> None:
    with pytest.raises(ValueError, match="odd has no words"):
        need_attention("odd", NOW)


@pytest.mark.parametrize("what", ATTENTION_WORDS)
def test_every_code_has_words_in_the_list_of_who_did_what(app: Flask, what: str) -> None:
    assert str(ATTENTION_WORDS[what]) in words_of(NEEDED, {"what": what})


def test_owners_get_one_mail_a_day_of_each_kind_however_often_it_happens(shop: Shop) -> None:
    make_user("owner@example.org", roles=["owner"])
    make_user("marketer@example.org", roles=["marketer"])
    for number in range(3):
        need_attention("event_failed", NOW, event=f"evt_{number}")
    need_attention("key_refused", NOW)
    db.session.commit()
    assert read_news(clock.now) == 4
    assert told() == [("owner@example.org", str(ATTENTION_WORDS[what])) for what in ("event_failed", "key_refused")]
    need_attention("event_failed", shop.pass_time(days=1), event="evt_9")
    db.session.commit()
    read_news(clock.now)
    assert len(told()) == 3


def test_the_mail_says_what_it_is_and_where_to_look_and_leaves(shop: Shop) -> None:
    make_user("owner@example.org", roles=["owner"])
    for what in ("event_failed", "no_owner"):
        need_attention(what, NOW)
    db.session.commit()
    read_news(clock.now)
    mail.drain(clock.now)
    mail.close_door()
    db.session.commit()
    rows = list(db.session.scalars(sa.select(Message).where(Message.template == "operations/money_attention").order_by(Message.id)))
    assert {row.state for row in rows} == {State.ACCEPTED}
    texts = [(shop.app.config["SETTINGS"].data_dir / "mail" / f"{row.public_id}.eml").read_text().replace("=\n", "") for row in rows]
    assert all("Subject: Something needs to be looked at" in text for text in texts)
    assert "/staff/billing/events" in texts[0]
    assert "/staff/billing/reconciliation" in texts[1]


def test_where_nothing_is_sold_any_more_nobody_is_told(app: Flask) -> None:
    make_user("owner@example.org", roles=["owner"])
    need_attention("key_refused", NOW)
    db.session.commit()
    read_news(clock.now)
    assert told() == []


def test_the_doctor_and_the_metrics_speak_of_payments_only_where_something_is_sold(shop: Shop, make_app) -> None:
    assert "payments" in {check.name for check in diagnosis(NOW)}
    assert b"courseapp_billing_events_late 0.0" in exposition(NOW)
    db.session.rollback()
    with make_app().app_context():
        assert "payments" not in {check.name for check in diagnosis(NOW)}
        assert b"courseapp_billing" not in exposition(NOW)
        db.session.rollback()
