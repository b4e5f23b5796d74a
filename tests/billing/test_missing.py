"""What no webhook brought is found by asking, once."""

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.billing.models import StripeEvent
from courseapp.billing.watching.loops import find_missed
from courseapp.extensions import db
from tests.billing.buying import begun, bought, holds, synced_plan, work
from tests.billing.conftest import Shop
from tests.factories import make_tier, make_user


def kept() -> list[StripeEvent]:
    db.session.commit()
    return list(db.session.scalars(sa.select(StripeEvent).order_by(StripeEvent.id)))


def test_what_was_paid_is_given_though_every_webhook_was_dropped(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(drop=True)
    bought(shop, synced_plan(tier), user)
    assert (kept(), holds(user, tier)) == ([], False)
    count = find_missed(clock.now())
    assert count == len(kept()) > 2
    assert all(row.is_listed for row in kept())
    work(shop)
    assert holds(user, tier)
    assert all(row.result == "applied" for row in kept())


def test_asking_again_finds_nothing_new(shop: Shop) -> None:
    shop.steering.rule(drop=True)
    bought(shop, synced_plan(), make_user("ada@example.org"))
    assert [find_missed(clock.now()) > 0, find_missed(clock.now())] == [True, 0]


def test_what_a_webhook_brought_is_not_kept_again(shop: Shop) -> None:
    bought(shop, synced_plan(), make_user("ada@example.org"))
    count = len(kept())
    assert find_missed(clock.now()) == 0
    assert len(kept()) == count
    assert not any(row.is_listed for row in kept())


def test_a_webhook_that_comes_late_changes_nothing(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    find_missed(clock.now())
    work(shop)
    count = len(kept())
    db.session.commit()
    shop.steering.deliver()
    work(shop)
    assert len(kept()) == count
    assert holds(user, tier)


def test_what_is_older_than_stripe_tries_is_not_asked_for(shop: Shop) -> None:
    shop.steering.rule(drop=True)
    bought(shop, synced_plan(), make_user("ada@example.org"))
    shop.pass_time(days=4)
    assert find_missed(clock.now()) == 0


@pytest.mark.parametrize("what", ["503", "429", "403", "drop"])
def test_where_stripe_cannot_say_it_is_logged_and_nothing_else_happens(shop: Shop, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    shop.steering.rule(drop=True)
    bought(shop, synced_plan(), make_user("ada@example.org"))
    shop.steering.fail(what, times=None)
    assert find_missed(clock.now()) == 0
    assert kept() == []
    told = capsys.readouterr().err
    assert "missed_events_not_asked" in told
    assert "Traceback" not in told
