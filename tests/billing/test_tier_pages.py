"""The owner's pages about tiers, plans and prices."""

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from courseapp.billing import plans, stripe_gateway
from courseapp.billing.models import Interval, Plan, Price, Tier, TierGrant
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.billing.conftest import Shop
from tests.client import Client
from tests.conftest import NOW, set_clock
from tests.factories import make_course, make_module, make_plan, make_tier, make_user

WORDS = {
    "name": "Guided practice",
    "neutral_name": "Your course",
    "summary": "More of it.",
    "features": "Letters\n\n Films \n",
    "position": "1",
}


@pytest.fixture
def client(shop: Shop) -> Client:
    """The owner's browser."""
    found = shop.client()
    found.sign_in(make_user("boss@example.org", roles=["owner"]))
    return found


def one(kind: Any) -> Any:
    db.session.expire_all()
    return db.session.scalars(sa.select(kind)).one()


def titles(page: str) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", page)


def make(client: Client, **values: Any) -> Any:
    return client.submit("tiers.begin", {**WORDS, **values}, follow=True)


def test_the_empty_list_says_what_to_do_first(client: Client) -> None:
    page = client.visit("tiers.listed").text
    assert "Make the first one" in page
    assert "Paid tiers" in client.visit("organisation.settings").text


def test_a_tier_is_made_with_a_plan_and_prices_and_brought_in_line(client: Client, shop: Shop) -> None:
    page = make(client).text
    tier = one(Tier)
    assert (tier.key, tier.features) == ("guided-practice", ["Letters", "Films"])
    assert "add a plan" in page
    page = client.submit("tiers.tier", {"interval": "month"}, to="tiers.add_plan", id=tier.public_id, follow=True).text
    plan = one(Plan)
    assert "What it costs" in page
    where = {"id": tier.public_id, "plan": plan.public_id}
    page = client.submit("tiers.plan", {"price_eur": "12,50", "trial_days": "7"}, follow=True, **where).text
    assert "Not for sale yet" in page
    assert "Paid monthly: €12.50" in page
    assert "begins with 7 free days" in page
    assert "New price: Guided practice, paid monthly, €12.50" in client.visit("tiers.ask_to_sync").text
    done = client.submit("tiers.ask_to_sync", to="tiers.sync").text
    assert "What was done" in done
    assert next(stripe_gateway.prices())["unit_amount"] == 1250
    assert "Not for sale yet" not in client.visit("tiers.listed").text
    assert "Nothing differs" in client.visit("tiers.ask_to_sync").text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": " "}, "Please write what it is called."),
        ({"neutral_name": ""}, "a name that others may read"),
        ({"name": "a\x00b"}, "control characters"),
        ({"summary": ""}, "what people get"),
        ({"position": "first"}, "from 0 to 999"),
        ({"position": "1000"}, "from 0 to 999"),
        ({"features": "x\n" * 13}, "at most 12 lines"),
        ({"name": "x" * 81}, "80"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_made(client: Client, values: dict[str, str], words: str) -> None:
    page = make(client, **values)
    assert (page.status_code, words in page.text) == (200, True)
    assert db.session.scalars(sa.select(Tier)).first() is None


def test_closing_a_course_is_asked_about_first(client: Client) -> None:
    course = make_course(title="The long course")
    page = make(client, courses=str(course.id)).text
    assert "Nothing is saved yet" in page
    assert "The long course" in page
    assert db.session.scalars(sa.select(Tier)).first() is None
    make(client, courses=str(course.id), sure="1")
    assert one(TierGrant).course_id == course.id
    assert one(Course).paid_at is not None
    assert set(db.session.scalars(sa.select(Event.type))) >= {"tier_made", "course_closed"}


def test_taking_the_last_grant_of_a_module_away_is_asked_about_first(client: Client) -> None:
    extra = make_module(make_course(title="Free course"), title="Extra")
    tier = make_tier(opens=extra)
    values = {**WORDS, "modules": None}
    page = client.submit("tiers.edit", values, id=tier.public_id).text
    assert "open to everybody, for no tier opens it any more" in page
    assert "Free course: Extra" in page
    assert one(TierGrant).module_id == extra.id
    client.submit("tiers.edit", {**values, "sure": "1"}, id=tier.public_id)
    assert db.session.scalars(sa.select(TierGrant)).first() is None


def test_the_form_holds_what_stands_and_saved_again_changes_nothing(client: Client) -> None:
    course = make_course(paid_at=NOW)
    tier = make_tier(opens=course, sensitive_at=NOW)
    before = (tier.name, tier.summary, course.version)
    client.submit("tiers.edit", {"courses": str(course.id)}, id=tier.public_id)
    found = one(Tier)
    assert (found.name, found.summary, one(Course).version) == before
    assert found.sensitive_at == NOW
    assert one(TierGrant).course_id == course.id


def test_ids_of_nothing_and_words_as_ids_are_left_out(client: Client) -> None:
    page = make(client, courses="99999999999999999999999", modules="²")
    assert page.status_code == 200
    assert db.session.scalars(sa.select(TierGrant)).first() is None
    assert one(Tier).name == "Guided practice"


def test_whoever_saves_second_is_told_and_keeps_what_they_typed(client: Client, shop: Shop) -> None:
    tier = make_tier()
    seen = tier.changed_at.isoformat()
    set_clock(shop.app, NOW + timedelta(minutes=1))
    client.submit("tiers.edit", {"name": "Theirs"}, id=tier.public_id)
    page = client.submit("tiers.edit", {"name": "Mine", "seen": seen}, id=tier.public_id).text
    assert "Somebody else has changed this tier meanwhile" in page
    assert 'value="Mine"' in page
    assert one(Tier).name == "Theirs"


def test_prices_of_two_people_do_not_overwrite_each_other(client: Client, shop: Shop) -> None:
    plan = make_plan()
    where = {"id": plan.tier.public_id, "plan": plan.public_id}
    seen = plan.tier.changed_at.isoformat()
    set_clock(shop.app, NOW + timedelta(minutes=1))
    client.submit("tiers.plan", {"price_eur": "10"}, **where)
    page = client.submit("tiers.plan", {"price_eur": "11", "seen": seen}, **where).text
    assert "Somebody else" in page
    assert [row.amount for row in db.session.scalars(sa.select(Price).where(Price.retired_at.is_(None)))] == [1000]


@pytest.mark.parametrize(
    ("interval", "values", "words"),
    [
        ("month", {"price_eur": "cheap"}, "is no amount"),
        ("month", {"price_eur": "9.999"}, "cannot be read as an amount in EUR"),
        ("month", {"price_eur": "0"}, "cannot be paid again and again"),
        ("month", {"trial_days": "800"}, "from 0 to 730"),
        ("month", {"trial_days": ""}, "number of days"),
    ],
)
def test_what_is_wrong_with_a_price_is_said_and_the_old_one_stays(
    client: Client, interval: str, values: dict[str, str], words: str
) -> None:
    plan = make_plan(interval=interval)
    page = client.submit("tiers.plan", values, id=plan.tier.public_id, plan=plan.public_id)
    assert (page.status_code, words in page.text) == (200, True)
    assert one(Price).amount == 900


def test_a_free_tier_never_goes_to_stripe(client: Client) -> None:
    plan = make_plan(interval=Interval.ONCE)
    page = client.submit("tiers.plan", {"price_eur": "0"}, id=plan.tier.public_id, plan=plan.public_id, follow=True).text
    assert "Not for sale yet" not in page
    assert "Nothing differs" in client.visit("tiers.ask_to_sync").text


def test_an_emptied_price_is_sold_no_longer(client: Client) -> None:
    plan = make_plan()
    client.submit("tiers.plan", {"price_eur": ""}, id=plan.tier.public_id, plan=plan.public_id)
    assert one(Price).retired_at is not None
    assert plans.prices_of(plan) == {}


def test_a_tier_and_a_plan_are_put_away_and_brought_back(client: Client) -> None:
    plan = make_plan()
    where = {"id": plan.tier.public_id}
    assert "stays closed to others" in client.visit("tiers.ask_to_archive", **where).text
    client.submit("tiers.ask_to_archive", to="tiers.archive", **where)
    assert one(Tier).archived_at is not None
    client.submit("tiers.tier", to="tiers.archive", **where)
    assert one(Tier).archived_at is None
    where["plan"] = plan.public_id
    for is_away in (True, False):
        client.submit("tiers.plan", to="tiers.archive_plan", **where)
        assert (one(Plan).archived_at is not None) is is_away


def test_a_closed_course_that_no_tier_opens_can_be_opened(client: Client) -> None:
    course = make_course(paid_at=NOW, title="Once sold")
    assert "Once sold" in client.visit("tiers.listed").text
    assert "without paying" in client.visit("tiers.ask_to_open", slug=course.slug).text
    client.submit("tiers.ask_to_open", slug=course.slug)
    assert one(Course).paid_at is None


def test_a_course_that_is_sold_is_not_opened(client: Client) -> None:
    course = make_course(paid_at=NOW)
    make_tier(opens=course, name="The tier")
    page = client.submit("tiers.ask_to_open", slug=course.slug, follow=True).text
    assert "take it out of these tiers first: The tier" in page
    assert one(Course).paid_at is not None


def test_stripe_away_is_said_with_when_to_try_again(client: Client, shop: Shop) -> None:
    shop.steering.fail("500", times=None)
    answer = client.visit("tiers.ask_to_sync")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "Nothing was changed" in answer.text


def test_titles_say_nothing_of_what_a_tier_is_about(client: Client) -> None:
    plan = make_plan(make_tier(name="What it is about", opens=make_course(title="What it is about", slug="closed", paid_at=NOW)))
    where = {"id": plan.tier.public_id}
    pages = [client.visit("tiers.listed"), *(client.visit(f"tiers.{name}", **where) for name in ("tier", "edit", "ask_to_archive"))]
    pages += [client.visit("tiers.plan", plan=plan.public_id, **where), client.visit("tiers.ask_to_open", slug="closed")]
    for page in pages:
        assert "What it is about" in page.text
        assert "about" not in titles(page.text)[0]


def test_without_a_key_there_are_no_such_pages(make_app: Any) -> None:
    app = make_app()
    with app.app_context():
        client = app.test_client()
        client.sign_in(make_user(roles=["owner"]))
        assert client.visit("tiers.listed").status_code == 404
        assert "Paid tiers" not in client.visit("organisation.settings").text


@pytest.mark.parametrize("role", ["instructor", "marketer"])
def test_only_owners_see_them(shop: Shop, role: str) -> None:
    client = shop.client()
    client.sign_in(make_user(roles=[role]))
    assert client.visit("tiers.listed").status_code in {403, 404}
