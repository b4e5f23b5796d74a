"""What a guest bought is the account's once both are one."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.billing.entitlements import holds_tier
from courseapp.billing.joining import join_purchases
from courseapp.billing.models import Checkout, Closed, Customer, Entitlement, Kind
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.joining import join_guest
from courseapp.learning.models import Enrolment
from tests.factories import (
    NOW,
    lessons_of,
    make_completion,
    make_course,
    make_customer,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_plan,
    make_tier,
    make_user,
)


def buy(user: User, **kw: object) -> Entitlement:
    """Somebody's purchase with all its rows."""
    tier = make_tier(opens=make_course())
    plan = make_plan(tier, "once")
    price_id = db.session.scalar(sa.text("SELECT id FROM prices WHERE plan_id = :plan"), {"plan": plan.id})
    checkout = Checkout(user_id=user.id, plan_id=plan.id, price_id=price_id, created_at=NOW)
    db.session.add(checkout)
    db.session.flush()
    make_customer(user)
    return make_entitlement(user, tier, Kind.PURCHASE, checkout_id=checkout.id, **kw)


def owners() -> set[int | None]:
    """Whose the rows of billing are."""
    return {user_id for model in (Customer, Checkout, Entitlement) for user_id in db.session.scalars(sa.select(model.user_id))}


def test_everything_a_guest_bought_moves(app: Flask) -> None:
    guest, account = make_guest(), make_user()
    held = buy(guest)
    join_purchases(guest.id, account.id)
    assert owners() == {account.id}
    assert holds_tier(account.id, held.tier_id, NOW)
    assert not holds_tier(guest.id, held.tier_id, NOW)


def test_where_there_is_nothing_nothing_happens(app: Flask) -> None:
    guest, account, other = make_guest(), make_user(), make_user()
    buy(other)
    join_purchases(guest.id, account.id)
    assert owners() == {other.id}


def test_what_both_hold_is_held_still_and_what_is_over_stays_over(app: Flask) -> None:
    guest, account = make_guest(), make_user()
    held = buy(guest, ends_at=NOW + timedelta(days=9))
    make_entitlement(account, held.tier, closed_at=NOW, closed_why=Closed.LAPSED)
    over = buy(guest, closed_at=NOW, closed_why=Closed.REFUNDED)
    join_purchases(guest.id, account.id)
    assert holds_tier(account.id, held.tier_id, NOW)
    assert not holds_tier(account.id, held.tier_id, NOW + timedelta(days=10))
    assert not holds_tier(account.id, over.tier_id, NOW)


def test_joining_a_guest_takes_their_purchases_along_and_grants_nothing_anew(app: Flask) -> None:
    guest, account = make_guest(), make_user()
    held = buy(guest)
    tier_id, account_id = held.tier_id, account.id
    join_guest(guest, account, NOW)
    db.session.commit()
    assert owners() == {account_id}
    assert holds_tier(account_id, tier_id, NOW)
    assert "access_granted" not in set(db.session.scalars(sa.select(Event.type)))


@pytest.mark.parametrize("is_bought", [True, False])
def test_what_is_whole_after_joining_depends_on_what_is_open_then(app: Flask, is_bought: bool) -> None:
    course = make_course(needs=(("none",), ("none",)))
    first, second = lessons_of(course)
    tier = make_tier(opens=second.module)
    guest, account = make_guest(), make_user()
    if is_bought:
        make_entitlement(guest, tier, Kind.PURCHASE)
    make_enrolment(guest, course)
    make_completion(guest, first)
    join_guest(guest, account, NOW)
    assert (db.session.scalars(sa.select(Enrolment)).one().finished_at is None) is is_bought
