"""Sequences that begin when a tier is bought or a payment fails, and that end when somebody buys."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import Role, User
from courseapp.billing.models import Kind, Plan, Price, Tier
from courseapp.campaigns.composing.forms import BLANK
from courseapp.campaigns.loops import advance_runs, read_news
from courseapp.campaigns.models import Condition, Goal, RunEnd, Sequence, SequenceRun, Trigger
from courseapp.campaigns.references import targets_of
from courseapp.campaigns.runs import follow
from courseapp.campaigns.sequence_drafts import is_for, new_sequence, problems_of, said_by
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal.models import Event
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message
from courseapp.mailing.text import Target
from tests.billing.paying import subscription_of
from tests.campaigns.people import at, steps, tick
from tests.client import Client
from tests.conftest import NOW
from tests.factories import (
    make_consent,
    make_course,
    make_customer,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_plan,
    make_run,
    make_sequence,
    make_tier,
    make_user,
)

DAY = timedelta(days=1)
SELLS = pytest.mark.settings(stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")


@pytest.fixture
def course(app: Flask) -> Course:
    return make_course()


@pytest.fixture
def tier(course: Course) -> Tier:
    return make_tier(opens=course)


def reader() -> User:
    """Somebody who agreed to everything."""
    user = make_user()
    assert user.contact is not None
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(user.contact, purpose)
    return user


def happened(type: str, user: User, tier: Tier, now: datetime = NOW) -> None:
    """What billing writes down in the transaction of the effect."""
    facts = {"user_id": user.id, "contact_id": user.contact_id, "tier_id": tier.id, "plan_id": 1}
    events.record(type, f"user:{user.id}", now, **facts, **({"kind": "purchase"} if type == "tier_bought" else {}))
    db.session.commit()


def runs() -> list[SequenceRun]:
    return list(db.session.scalars(sa.select(SequenceRun).order_by(SequenceRun.id).execution_options(populate_existing=True)))


def offer(**kw: object) -> object:
    """A sequence of marketing."""
    return make_sequence(**{"purpose": Purpose.MARKETING, "goal": None, "delays": (0,), **kw})


@pytest.mark.parametrize("purpose", [Purpose.COURSE, Purpose.MARKETING])
def test_whoever_buys_a_tier_gets_its_letters_about_the_course_it_opens(course: Course, tier: Tier, purpose: Purpose) -> None:
    make_sequence(trigger=Trigger.TIER_BOUGHT, tier_id=tier.id, purpose=purpose, goal=None, delays=(0,))
    happened("tier_bought", reader(), tier)
    tick(NOW)
    assert steps() == [("Step 0", "accepted")]
    assert [(run.course_id, run.occasion) for run in runs()] == [(course.id, f"tier:{tier.id}")]


def test_reading_the_news_twice_begins_nothing_twice(tier: Tier) -> None:
    make_sequence(trigger=Trigger.TIER_BOUGHT, goal=None)
    happened("tier_bought", reader(), tier)
    event = db.session.scalars(sa.select(Event).where(Event.type == "tier_bought")).one()
    for later in range(3):
        follow(event, NOW + later * DAY)
    assert len(runs()) == 1


def test_another_tier_a_guest_and_whoever_did_not_agree_begin_nothing(course: Course, tier: Tier) -> None:
    offer(trigger=Trigger.TIER_BOUGHT, tier_id=tier.id)
    happened("tier_bought", reader(), make_tier(opens=course))
    happened("tier_bought", make_user(), tier)
    happened("tier_bought", make_guest(), tier)
    read_news(at(NOW))
    assert runs() == []


def test_a_tier_that_opens_nothing_leads_to_no_course_and_begins_nothing(app: Flask) -> None:
    offer(trigger=Trigger.TIER_BOUGHT)
    happened("tier_bought", reader(), make_tier())
    read_news(at(NOW))
    assert runs() == []


def test_of_several_courses_the_letters_lead_to_one_that_they_take(tier: Tier) -> None:
    second, user = make_course(slug="second"), reader()
    both = make_tier(opens=make_course(slug="first"))
    db.session.execute(
        sa.text("INSERT INTO tier_grants (tier_id, course_id) VALUES (:tier, :course)"), {"tier": both.id, "course": second.id}
    )
    make_enrolment(user, second)
    offer(trigger=Trigger.TIER_BOUGHT)
    happened("tier_bought", user, both)
    read_news(at(NOW))
    assert [run.course_id for run in runs()] == [second.id]


def test_a_tier_marked_as_sensitive_begins_no_marketing_and_stops_what_has_begun(tier: Tier) -> None:
    offer(trigger=Trigger.TIER_BOUGHT, delays=(0, 3))
    happened("tier_bought", reader(), tier)
    tick(NOW)
    tier.sensitive_at = NOW
    happened("tier_bought", reader(), tier)
    tick(NOW + 4 * DAY)
    assert steps() == [("Step 0", "accepted")]
    assert [run.end for run in runs()] == [RunEnd.STOPPED]


def test_whoever_bought_and_takes_no_course_yet_has_not_begun_it(tier: Tier) -> None:
    kinds = [Condition.NOT_BEGUN, Condition.NOT_FINISHED, Condition.BEGUN, Condition.FINISHED]
    make_sequence(trigger=Trigger.TIER_BOUGHT, goal=None, delays=(0, 2, 4, 6), conditions=kinds)
    happened("tier_bought", reader(), tier)
    for days in range(8):
        tick(NOW + days * DAY)
    assert [subject for subject, _state in steps()] == ["Step 0", "Step 1"]


# Payments that fail


def test_a_payment_that_fails_again_and_again_begins_once(tier: Tier) -> None:
    offer(trigger=Trigger.PAYMENT_FAILED, delays=(0, 3, 6))
    user = reader()
    for day in (0, 3, 8, 14):
        happened("payment_failed", user, tier, NOW + day * DAY)
        tick(NOW + day * DAY)
    assert len(runs()) == 1
    happened("payment_failed", user, tier, NOW + 60 * DAY)
    read_news(at(NOW + 60 * DAY))
    assert len(runs()) == 2


def test_once_it_is_paid_nobody_is_written_to_any_more(tier: Tier) -> None:
    offer(trigger=Trigger.PAYMENT_FAILED, delays=(0, 3, 6))
    user = reader()
    subscription = subscription_of(make_customer(user), make_plan(tier), status="past_due")
    make_entitlement(user, tier, Kind.SUBSCRIPTION, subscription_id=subscription.id)
    happened("payment_failed", user, tier)
    tick(NOW)
    tick(NOW + 3 * DAY)
    assert len(steps()) == 2
    subscription.status = "active"
    db.session.commit()
    tick(NOW + 6 * DAY)
    assert len(steps()) == 2
    assert [run.end for run in runs()] == [RunEnd.ACTIVE]


# Buying ends it


@pytest.mark.parametrize(("wanted", "bought", "ends"), [("any", "one", True), ("one", "one", True), ("one", "other", False)])
def test_buying_ends_what_was_to_lead_to_it(course: Course, tier: Tier, wanted: str, bought: str, ends: bool) -> None:
    tiers = {"one": tier, "other": make_tier(opens=course), "any": None}
    goal = tiers[wanted]
    version = make_sequence(purpose=Purpose.MARKETING, goal=Goal.TIER_BOUGHT, goal_tier_id=goal.id if goal else None)
    user = reader()
    make_run(version, user.contact, course, next_run_at=NOW + 3 * DAY)
    picked = tiers[bought]
    assert picked is not None
    happened("tier_bought", user, picked, NOW + DAY)
    read_news(at(NOW + DAY))
    assert [run.end for run in runs()] == [RunEnd.GOAL if ends else None]


def test_what_began_by_a_purchase_is_not_ended_by_it_but_by_the_next(course: Course, tier: Tier) -> None:
    offer(trigger=Trigger.TIER_BOUGHT, tier_id=tier.id, goal=Goal.TIER_BOUGHT, delays=(0, 3, 6))
    user = reader()
    happened("tier_bought", user, tier)
    tick(NOW)
    tick(NOW + 3 * DAY)
    assert [state for _subject, state in steps()] == ["accepted", "accepted"]
    happened("tier_bought", user, make_tier(opens=course), NOW + 4 * DAY)
    tick(NOW + 6 * DAY)
    assert len(steps()) == 2
    assert runs()[0].end is RunEnd.GOAL


@pytest.mark.parametrize(
    ("wanted", "bought", "state"), [("any", "one", "skipped"), ("one", "one", "skipped"), ("one", "other", "accepted")]
)
def test_a_mail_that_waits_is_made_pointless_by_the_purchase(course: Course, tier: Tier, wanted: str, bought: str, state: str) -> None:
    tiers = {"one": tier, "other": make_tier(opens=course), "any": None}
    goal, picked = tiers[wanted], tiers[bought]
    assert picked is not None
    version = make_sequence(purpose=Purpose.MARKETING, goal=Goal.TIER_BOUGHT, goal_tier_id=goal.id if goal else None)
    user = reader()
    happened("tier_bought", user, make_tier(), NOW - 300 * DAY)  # long before, and no reason
    make_run(version, user.contact, course)
    advance_runs(at(NOW))
    happened("tier_bought", user, picked)
    drain(at(NOW))
    db.session.expire_all()
    assert [(row.state.value, row.reason) for row in db.session.scalars(sa.select(Message))] == [
        (state, "pointless" if state == "skipped" else None)
    ]


def test_whoever_holds_the_tier_already_is_not_asked_to_buy_it(course: Course, tier: Tier) -> None:
    version = make_sequence(purpose=Purpose.MARKETING, goal=Goal.TIER_BOUGHT, goal_tier_id=tier.id)
    user = reader()
    make_entitlement(user, tier)
    make_run(version, user.contact, course)
    tick(NOW)
    assert (steps(), runs()[0].end) == ([], RunEnd.GOAL)


# Writing it


WRONG = [
    ("tier_key", {"tier_key": "gold"}),
    ("tier_key", {"trigger": Trigger.TIER_BOUGHT, "tier_key": "nowhere"}),
    ("tier_key", {"trigger": Trigger.TIER_BOUGHT, "tier_key": "marked"}),
    ("course_slug", {"trigger": Trigger.TIER_BOUGHT, "course_slug": "introduction"}),
    ("purpose", {"trigger": Trigger.PAYMENT_FAILED, "purpose": Purpose.COURSE}),
    ("goal", {"goal_tier_key": "gold", "goal": None}),
    ("goal", {"goal": Goal.TIER_BOUGHT, "goal_tier_key": "nowhere"}),
    ("goal", {"goal": Goal.TIER_BOUGHT, "goal_tier_key": "gold", "trigger": Trigger.TIER_BOUGHT, "tier_key": "gold"}),
]


@pytest.mark.parametrize(("field", "columns"), WRONG)
@pytest.mark.settings(postal_address="1 Street")
def test_what_is_wrong_about_tiers_is_named_by_its_field(app: Flask, field: str, columns: dict[str, object]) -> None:
    make_course(slug="introduction")
    make_tier(key="gold")
    make_tier(key="marked", sensitive_at=NOW)
    draft = replace(BLANK, title="Offer", purpose=Purpose.MARKETING, goal=None)
    draft = replace(draft, **columns)  # type: ignore[arg-type]  # typed by the dataclass
    assert [problem.field for problem in problems_of(draft) if not problem.is_warning and problem.field != "steps"] == [field]


@SELLS
def test_a_sequence_about_a_tier_is_written_by_page_and_read_in_sentences(client: Client, app: Flask) -> None:
    make_tier(key="gold", name="Deeper", opens=make_course())
    client.sign_in(make_user(roles=[Role.MARKETER]))
    head = {"title": "Offer", "purpose": "marketing", "trigger": "tier_bought", "tier": "gold", "goal": "tier_bought"}
    assert client.submit("sequence_drafts.begin", head, to="sequence_drafts.make").status_code == 303
    sequence = db.session.scalars(sa.select(Sequence)).one()
    page = client.visit("sequence_drafts.draft", id=sequence.public_id).text
    assert "When somebody buys “Deeper”" in page
    assert "Ends early when they buy a paid tier or stop these mails" in page
    kept = client.submit("sequence_drafts.head", {"goal": "tier_bought:gold", "tier": ""}, id=sequence.public_id)
    assert kept.status_code == 303
    page = client.visit("sequence_drafts.draft", id=sequence.public_id).text
    assert "When somebody buys a paid tier" in page
    assert "Ends early when they buy “Deeper” or stop these mails" in page


def test_without_a_key_for_stripe_nobody_is_offered_tiers(client: Client, app: Flask) -> None:
    make_tier(name="Deeper")
    client.sign_in(make_user(roles=[Role.MARKETER]))
    page = client.visit("sequence_drafts.begin").text
    assert "Deeper" not in page
    assert "tier" not in page


@SELLS
def test_what_is_about_a_marked_tier_is_the_owners_alone(client: Client, app: Flask) -> None:
    marked = make_tier(key="marked", name="Canary", sensitive_at=NOW)
    owner, marketer = make_user(roles=[Role.OWNER]), make_user(roles=[Role.MARKETER])
    for column in ("tier_id", "goal_tier_id"):
        make_sequence(trigger=Trigger.TIER_BOUGHT, goal=Goal.TIER_BOUGHT, **{column: marked.id})
    for name in ("tier_key", "goal_tier_key"):
        new_sequence(replace(BLANK, title="Offer", trigger=Trigger.TIER_BOUGHT, **{name: "marked"}), None, NOW)
    open_one = make_sequence()
    db.session.commit()
    seen = {who: db.session.scalars(sa.select(Sequence.id).where(is_for(who))).all() for who in (owner, marketer)}
    assert (len(seen[owner]), seen[marketer]) == (5, [open_one.sequence_id])
    pages = {}
    for who in (owner, marketer):
        client.sign_in(who)
        pages[who] = client.visit("sequence_drafts.begin").text
    assert ["Canary" in pages[who] for who in (owner, marketer)] == [True, False]


def test_a_published_version_says_its_tiers_as_its_draft_did(tier: Tier) -> None:
    version = make_sequence(trigger=Trigger.TIER_BOUGHT, tier_id=tier.id, goal=Goal.TIER_BOUGHT, goal_tier_id=make_tier(key="pro").id)
    said = said_by(version)
    assert (said.tier_key, said.goal_tier_key) == (tier.key, "pro")


def known_at_stripe(plan: Plan) -> None:
    """So it can be bought."""
    db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id)).one().stripe_id = "price_1"
    db.session.flush()


@SELLS
def test_a_letter_leads_to_a_tier_that_is_on_offer_by_its_neutral_name(tier: Tier) -> None:
    made = make_plan(tier)
    assert targets_of(f"[Look](tier:{tier.key})") == ()  # no price is at Stripe yet
    known_at_stripe(made)
    body = f"[Look](tier:{tier.key}) and [more](page:plans), not [this](tier:nobody)."
    assert targets_of(body) == (
        ("page:plans", Target("Plans", "", "/plans")),
        (f"tier:{tier.key}", Target(tier.neutral_name, "", f"/plans#{tier.key}")),
    )
    tier.sensitive_at = NOW
    db.session.flush()
    assert [reference for reference, _target in targets_of(body)] == ["page:plans"]
    tier.sensitive_at, tier.archived_at = None, NOW
    db.session.flush()
    assert targets_of(body) == ()


def test_where_nothing_is_sold_no_letter_leads_to_it(tier: Tier) -> None:
    known_at_stripe(make_plan(tier))
    assert targets_of(f"[Look](tier:{tier.key}) [more](page:plans)") == ()
