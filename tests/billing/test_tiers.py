"""Tiers, plans and prices as the owner changes them."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.billing import plans, tiers
from courseapp.billing.models import Interval, Price, Tier
from courseapp.billing.tiers import TierFacts
from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.conftest import NOW
from tests.factories import make_course, make_module, make_plan, make_tier, modules_of
from tests.query_counts import statements

LATER = NOW + timedelta(hours=1)
FACTS = TierFacts("Guided practice", "Your course", "More of it.", ("Letters",), frozenset())


def journal() -> list[str]:
    return list(db.session.scalars(sa.select(Event.type).order_by(Event.id)))


def amounts(plan) -> list[tuple[str, int, bool]]:
    rows = db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id).order_by(Price.id))
    return [(row.currency, row.amount, row.retired_at is None) for row in rows]


def test_a_tier_that_opens_a_course_closes_it_to_everybody_else_and_pages_are_made_anew(app: Flask) -> None:
    course = make_course()
    version = course.version
    tier = tiers.make_tier(replace(FACTS, courses=frozenset({course.id})), NOW, 7)
    db.session.refresh(course)
    assert (tier.key, course.paid_at, course.version) == ("guided-practice", NOW, version + 1)
    assert journal() == ["tier_made", "course_closed"]


def test_keys_are_made_of_names_and_are_never_the_same(app: Flask) -> None:
    made = [
        tiers.make_tier(replace(FACTS, name=name), NOW, None).key for name in ("Übung & Ruhe", "Übung Ruhe", "休息", "x" * 80, "X" * 80)
    ]
    assert made == ["ubung-ruhe", "ubung-ruhe-2", "tier", "x" * 36, f"{'x' * 36}-2"]


def test_a_course_taken_out_of_a_tier_stays_closed_until_it_is_opened(app: Flask) -> None:
    course = make_course()
    tier = tiers.make_tier(replace(FACTS, courses=frozenset({course.id})), NOW, None)
    with pytest.raises(Refusal, match="Guided practice"):
        tiers.open_to_everybody(course, NOW, None)
    assert tiers.change_tier(tier, FACTS, NOW, None)
    db.session.refresh(course)
    assert course.paid_at is not None
    assert tiers.closed_courses() == [course]
    version = course.version
    assert tiers.open_to_everybody(course, NOW, None)
    assert not tiers.open_to_everybody(course, NOW, None)
    db.session.refresh(course)
    assert (course.paid_at, course.version) == (None, version + 1)
    assert journal()[-1] == "course_opened"


def test_a_module_alone_leaves_its_course_to_everybody(app: Flask) -> None:
    course = make_course()
    extra = make_module(course)
    tiers.make_tier(replace(FACTS, modules=frozenset({extra.id})), NOW, None)
    db.session.refresh(course)
    assert course.paid_at is None
    assert tiers.closed_courses() == []


def test_what_another_choice_closes_and_opens_is_told_before(app: Flask) -> None:
    course, other = make_course(title="First"), make_course(title="Second")
    extra, third = make_module(course, title="Extra"), modules_of(other)[0]
    tier = make_tier(opens=extra)
    told = tiers.consequences_of(tier, {other.id}, set())
    assert (told.closes, told.opens) == (["Second"], ["First: Extra"])
    assert not tiers.consequences_of(tier, set(), {extra.id})
    assert tiers.consequences_of(None, set(), {third.id}).closes == ["Second: Module 1"]
    make_tier(opens=extra)
    assert not tiers.consequences_of(tier, set(), set()), "another tier keeps it closed"


def test_a_course_that_stays_closed_is_not_told_as_opening(app: Flask) -> None:
    course = make_course(paid_at=NOW)
    assert not tiers.consequences_of(make_tier(opens=course), set(), set())


def test_what_is_the_same_changes_nothing_but_is_no_event(app: Flask) -> None:
    course = make_course()
    facts = replace(FACTS, courses=frozenset({course.id}), modules=frozenset({modules_of(course)[0].id}))
    tier = tiers.make_tier(facts, NOW, None)
    before = (journal(), db.session.scalar(sa.select(Course.version)))
    assert not tiers.change_tier(tier, facts, LATER, None)
    assert (journal(), db.session.scalar(sa.select(Course.version))) == before


def test_a_module_that_is_retired_now_stays_sold_for_the_day_it_returns(app: Flask) -> None:
    extra = make_module(make_course(), retired_at=NOW)
    tier = make_tier(opens=extra)
    assert not tiers.change_tier(tier, replace(FACTS, name=tier.name, summary=tier.summary, features=()), NOW, None)
    assert [row.modules for row in tiers.tiers_with_plans()] == [[extra]]


def test_two_people_do_not_overwrite_each_other(app: Flask) -> None:
    tier = tiers.make_tier(FACTS, NOW, None)
    seen = tiers.stamp_of(tier)
    plans.make_plan(tier, Interval.MONTH, LATER, None)
    with pytest.raises(Refusal, match="Somebody else"):
        tiers.change_tier(tier, replace(FACTS, name="Mine"), LATER, None, seen)


def test_a_tier_is_put_away_and_comes_back(app: Flask) -> None:
    tier = make_tier()
    assert tiers.put_away(tier, True, NOW, None)
    assert not tiers.put_away(tier, True, NOW, None)
    assert tiers.put_away(tier, False, NOW, None)
    assert journal() == ["tier_archived", "tier_brought_back"]


def test_another_amount_is_another_price_and_the_old_one_stays_in_the_books(app: Flask) -> None:
    plan = plans.make_plan(make_tier(), Interval.MONTH, NOW, None)
    assert plans.set_price(plan, "eur", 900, NOW, None)
    assert not plans.set_price(plan, "eur", 900, NOW, None)
    assert plans.set_price(plan, "eur", 1000, LATER, None)
    assert plans.set_price(plan, "eur", 900, LATER, None)
    assert plans.set_price(plan, "eur", None, LATER, None)
    assert not plans.set_price(plan, "eur", None, LATER, None)
    assert amounts(plan) == [("eur", 900, False), ("eur", 1000, False), ("eur", 900, False)]
    assert journal().count("price_changed") == 4


def test_only_what_is_paid_once_may_cost_nothing(app: Flask) -> None:
    tier = make_tier()
    with pytest.raises(Refusal, match="again and again"):
        plans.set_price(plans.make_plan(tier, Interval.YEAR, NOW, None), "eur", 0, NOW, None)
    assert plans.set_price(plans.make_plan(tier, Interval.ONCE, NOW, None), "eur", 0, NOW, None)


@pytest.mark.parametrize(("interval", "days"), [(Interval.ONCE, 7), (Interval.MONTH, -1), (Interval.MONTH, 731)])
def test_a_trial_is_of_a_subscription_and_of_days_that_stripe_takes(app: Flask, interval: Interval, days: int) -> None:
    with pytest.raises(Refusal):
        plans.make_plan(make_tier(), interval, NOW, None, trial_days=days)


def test_two_plans_of_one_interval_have_keys_of_their_own(app: Flask) -> None:
    tier = tiers.make_tier(FACTS, NOW, None)
    made = [plans.make_plan(tier, Interval.MONTH, NOW, None) for _number in range(2)]
    assert [plan.key for plan in made] == ["guided-practice-month", "guided-practice-month-2"]
    assert [plans.lookup_key_of(plan, "eur") for plan in made] == ["guided-practice-month-eur", "guided-practice-month-2-eur"]


def test_many_tiers_are_read_in_few_queries(app: Flask) -> None:
    for _number in range(5):
        make_plan(make_tier(opens=make_course()))
    db.session.commit()
    db.session.expire_all()
    with statements() as asked:
        assert len(tiers.tiers_with_plans()) == 5
    assert len([words for words in asked if words.startswith("SELECT")]) == 4
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Tier)) == 5
