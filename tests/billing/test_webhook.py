"""The webhook takes what Stripe signed just now, once, and nothing else."""

import threading
import time

import pytest
import sqlalchemy as sa
import stripe
from flask import Flask

from courseapp.billing import intake
from courseapp.billing.models import StripeEvent
from courseapp.extensions import db
from tests.billing.conftest import SECRET, Shop
from tests.client import Client

EVENT = (
    '{"id": "evt_1", "object": "event", "type": "%s", "created": 1793610000, "livemode": %s, "api_version": "%s", "data": {"object": %s}}'
)


def event(
    type: str = "invoice.paid", livemode: str = "false", about: str = '{"id": "in_1", "object": "invoice", "customer": "cus_1"}'
) -> str:
    return EVENT % (type, livemode, stripe.api_version, about)


def signed(body: str | bytes, secret: str = SECRET, at: float | None = None) -> str:
    text = body if isinstance(body, str) else body.decode("latin-1")
    return stripe.WebhookSignature.generate_signature_header(text, secret, int(time.time() if at is None else at))


def posted(client: Client, body: str | bytes, signature: str | None) -> int:
    headers = {"Stripe-Signature": signature} if signature is not None else {}
    return client.post("/billing/webhook", data=body, content_type="application/json", headers=headers).status_code


def kept() -> list[StripeEvent]:
    db.session.commit()
    return list(db.session.scalars(sa.select(StripeEvent)))


def test_a_signed_event_is_kept_and_answered_at_once(shop: Shop) -> None:
    assert posted(shop.client(), event(), signed(event())) == 200
    (row,) = kept()
    assert (row.stripe_id, row.type, row.object_id) == ("evt_1", "invoice.paid", "in_1")
    assert row.processed_at is None


def test_the_same_event_again_is_taken_and_kept_once(shop: Shop) -> None:
    assert [posted(shop.client(), event(), signed(event())) for _time in range(3)] == [200] * 3
    assert len(kept()) == 1


def test_a_hundred_copies_at_once_are_one_event(shop: Shop) -> None:
    answers: list[int] = []

    def send() -> None:
        answers.append(posted(shop.client(), event(), signed(event())))

    db.session.commit()
    threads = [threading.Thread(target=send) for _time in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 100
    assert len(kept()) == 1


def test_a_type_nobody_reads_is_taken_and_not_kept(shop: Shop) -> None:
    assert posted(shop.client(), event("payout.paid"), signed(event("payout.paid"))) == 200
    assert kept() == []


@pytest.mark.parametrize("secret", ["whsec_of_somebody_else", SECRET + "x"])
def test_what_another_secret_signed_is_refused(shop: Shop, secret: str) -> None:
    assert posted(shop.client(), event(), signed(event(), secret)) == 400
    assert kept() == []


@pytest.mark.parametrize("signature", [None, "", "t=", "v1=abc", "t=now,v1=abc", "t=1,v1=", "nonsense", "t=1793610000"])
def test_without_a_true_signature_nothing_is_taken(shop: Shop, signature: str | None) -> None:
    assert posted(shop.client(), event(), signature) == 400
    assert kept() == []


@pytest.mark.parametrize(("seconds", "answer"), [(-290, 200), (-310, 400), (290, 200), (310, 400), (10**7, 400)])
def test_a_signature_is_of_about_now(shop: Shop, seconds: int, answer: int) -> None:
    assert posted(shop.client(), event(), signed(event(), at=time.time() + seconds)) == answer


@pytest.mark.settings
@pytest.mark.parametrize("secrets", [f"whsec_a_new_one_made_today,{SECRET}", f"{SECRET}, whsec_a_new_one_made_today"])
def test_while_secrets_are_rolled_both_are_known(shop: Shop, make_app, secrets: str) -> None:
    settings = shop.app.config["SETTINGS"]
    facts = {"stripe_secret_key": settings.stripe_secret_key, "stripe_url": settings.stripe_url}
    client = make_app(**facts, stripe_webhook_secrets=secrets).test_client()
    for secret in ("whsec_a_new_one_made_today", SECRET):
        assert posted(client, event(), signed(event(), secret)) == 200


def test_an_event_of_live_mode_is_refused_by_a_test_key(shop: Shop) -> None:
    assert posted(shop.client(), event(livemode="true"), signed(event(livemode="true"))) == 400


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"7", b'"evt"', b"{", b'{"id": 1, "type": null}', b'{"object": "event"}'])
def test_signed_nonsense_is_refused(shop: Shop, body: bytes) -> None:
    assert posted(shop.client(), body, signed(body)) == 400
    assert kept() == []


def test_bytes_that_are_no_text_are_refused(shop: Shop) -> None:
    assert posted(shop.client(), b"\xff\xfe", signed(b"\xff\xfe")) == 400


def test_a_body_of_more_than_a_megabyte_is_refused_and_one_below_is_taken(shop: Shop) -> None:
    large = event(about='{"id": "in_1", "customer": "cus_1", "words": "%s"}' % ("x" * 900_000))
    assert posted(shop.client(), large, signed(large)) == 200
    larger = event(about='{"id": "in_1", "words": "%s"}' % ("x" * 1_100_000))
    assert posted(shop.client(), larger, signed(larger)) == 413


def test_where_the_database_cannot_keep_it_stripe_is_asked_to_come_again(shop: Shop) -> None:
    for now, then, answer in (("stripe_events", "away", 500), ("away", "stripe_events", 200)):
        db.session.execute(sa.text(f"ALTER TABLE {now} RENAME TO {then}"))
        assert posted(shop.client(), event(), signed(event())) == answer
    assert len(kept()) == 1


def test_with_the_database_down_stripe_is_asked_to_come_again(shop: Shop, make_app) -> None:
    settings = shop.app.config["SETTINGS"]
    facts = {"stripe_secret_key": settings.stripe_secret_key, "stripe_url": settings.stripe_url, "stripe_webhook_secrets": SECRET}
    client = make_app(**facts, database_url="postgresql://nobody@127.0.0.1:9/nothing").test_client()
    assert posted(client, event(), signed(event())) == 500


def test_without_redis_it_is_taken_all_the_same(shop: Shop, make_app) -> None:
    settings = shop.app.config["SETTINGS"]
    facts = {"stripe_secret_key": settings.stripe_secret_key, "stripe_url": settings.stripe_url, "stripe_webhook_secrets": SECRET}
    client = make_app(**facts, redis_url="redis://127.0.0.1:9/0").test_client()
    begin = time.monotonic()
    assert posted(client, event(), signed(event())) == 200
    assert time.monotonic() - begin < 5
    assert len(kept()) == 1


@pytest.mark.settings(stripe_secret_key="sk_test_x", stripe_url="http://127.0.0.1:9")
def test_without_a_secret_there_is_no_webhook(app: Flask, client: Client) -> None:
    assert posted(client, event(), signed(event())) == 404


@pytest.mark.settings(stripe_webhook_secrets=SECRET)
def test_without_a_key_there_is_no_webhook(app: Flask, client: Client) -> None:
    assert posted(client, event(), signed(event())) == 404


def test_the_log_says_why_and_nothing_of_what_was_sent(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    body = event(about='{"id": "in_1", "customer_email": "ada@example.org"}')
    posted(shop.client(), body, signed(body, "whsec_of_somebody_else"))
    told = capsys.readouterr().err
    assert "stripe_webhook_refused" in told
    assert "ada@" not in told
    assert SECRET not in told


def test_it_costs_one_statement(shop: Shop) -> None:
    from tests.query_counts import statements

    db.session.commit()
    with statements() as asked:
        posted(shop.client(), event(), signed(event()))
    assert len([words for words in asked if "INSERT" in words]) == 1
    assert intake.WAKE == "billing.events"
