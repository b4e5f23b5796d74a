"""The page of plans says plainly what is free, what costs what, and what each opens; without a key there is no word of money."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from courseapp.billing.models import Interval, Kind, TierGrant
from courseapp.extensions import db
from tests.billing.buying import price_of, synced_plan
from tests.billing.conftest import Shop
from tests.billing.subscribed import make_subscription
from tests.client import Client
from tests.conftest import NOW, forget_kept
from tests.factories import (
    lessons_of,
    make_course,
    make_customer,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_module,
    make_plan,
    make_tier,
    make_user,
    modules_of,
)


def words_of(page: Any) -> str:
    """What a page says, without tags, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def shown(shop: Shop, client: Client | None = None, **query: Any) -> str:
    """The words of the page of plans."""
    return words_of((client or shop.client()).get("/plans", query_string=query))


def signed_in(shop: Shop, user: Any) -> Client:
    client = shop.client()
    client.sign_in(user)
    return client


def test_what_is_free_stands_first_by_the_name_of_its_own_page(shop: Shop) -> None:
    make_course(headline="Understand it gently")
    synced_plan(make_tier(name="Going further", opens=make_course(title="More of it")))
    page = shown(shop)
    assert page.index("Free, and it stays free") < page.index("Understand it gently") < page.index("Going further")
    assert "All 4 lessons" in page
    assert 'href="/start"' in shop.client().visit("billing.plans").text


def test_a_front_course_of_which_a_part_is_sold_does_not_call_itself_wholly_free(shop: Shop) -> None:
    course = make_course()
    synced_plan(make_tier(opens=modules_of(course)[1]))
    assert "2 of its 4 lessons" in shown(shop)
    synced_plan(make_tier(opens=course))
    forget_kept(shop.app)
    assert "stays free" not in shown(shop)


def test_a_tier_says_what_it_opens_and_what_each_plan_costs(shop: Shop) -> None:
    make_course()
    more, other = make_course(title="More of it"), make_course(title="Another one")
    make_module(other)
    tier = make_tier(name="Going further", summary="For later.", features=["Questions answered"], opens=more)
    for interval, amount in ((Interval.MONTH, 900), (Interval.YEAR, 9000), (Interval.ONCE, 2900)):
        synced_plan(tier, interval, amount)
    synced_plan(make_tier(name="A piece", opens=modules_of(other)[0]), Interval.ONCE)
    page = shown(shop)
    for words in ("For later.", "Questions answered", "€9.00 a month", "€90.00 a year", "€29.00 once", "More of it: 4 lessons"):
        assert words in page
    assert "One module of “Another one”: Module 1. 2 lessons" in page
    assert "cancel a plan at any time" in page


def test_what_is_opened_twice_is_counted_once_and_what_learners_cannot_read_not_at_all(shop: Shop) -> None:
    course = make_course(title="More of it")
    tier = make_tier(opens=course)
    make_tier_grant(tier, modules_of(course)[0])
    lessons_of(course)[0].retired_at = NOW
    synced_plan(tier)
    assert "More of it: 3 lessons" in shown(shop)


def make_tier_grant(tier: Any, module: Any) -> None:
    db.session.add(TierGrant(tier_id=tier.id, course_id=module.course_id, module_id=module.id))


def test_a_currency_without_decimals_is_shown_without_any(shop: Shop) -> None:
    synced_plan(make_tier(), Interval.ONCE, prices={"jpy": 3900})
    assert "¥3,900 once" in shown(shop)


def test_prices_are_shown_in_the_currency_that_is_chosen_where_a_plan_has_it(shop: Shop) -> None:
    shop.app.config["SETTINGS"].currencies = "eur, usd"
    tier = make_tier()
    synced_plan(tier, Interval.MONTH, prices={"usd": 1000, "eur": 900})
    synced_plan(tier, Interval.ONCE, prices={"eur": 2900})
    assert "€9.00 a month" in shown(shop)
    assert "$10.00" not in shown(shop)
    page = shown(shop, currency="usd")
    assert "$10.00 a month" in page
    assert "€29.00 once" in page
    assert "€9.00 a month" in shown(shop, currency="xyz<script>")


def test_one_currency_is_no_choice(shop: Shop) -> None:
    synced_plan()
    assert "Prices in" not in shown(shop)


@pytest.mark.parametrize("which", ["tier", "plan", "price", "unsynced"])
def test_what_is_not_sold_any_more_or_not_yet_is_not_offered(shop: Shop, which: str) -> None:
    tier = make_tier(name="Going further")
    plan = synced_plan(tier) if which != "unsynced" else make_plan(tier)
    if which == "price":
        price_of(plan).retired_at = NOW
    elif which != "unsynced":
        {"tier": tier, "plan": plan}[which].archived_at = NOW
    page = shown(shop)
    assert "Going further" not in page
    assert "Nothing is sold here at present" in page


def test_a_plan_that_costs_nothing_needs_no_stripe(shop: Shop) -> None:
    make_plan(make_tier(name="Going further"), Interval.ONCE, amount=0)
    page = shown(shop)
    assert "Going further" in page
    assert "Take it" in page
    assert "€" not in page


def test_a_trial_is_for_people_who_are_known_and_had_none(shop: Shop) -> None:
    synced_plan(trial_days=14)
    assert "Sign in first to begin with 14 free days" in shown(shop)
    assert "Sign in first" in shown(shop, signed_in(shop, make_guest()))
    newcomer, experienced = make_user(), make_user()
    make_subscription(make_customer(experienced), trial_ends_at=NOW - timedelta(days=9), status="canceled", ended_at=NOW)
    page = shown(shop, signed_in(shop, newcomer))
    assert "14 days free, then €9.00 a month. Once per person; we write to you three days before they end." in page
    assert "Begin 14 free days" in page
    page = shown(shop, signed_in(shop, experienced))
    assert "free day" not in page
    assert "Go on to payment" in page


def test_without_the_setting_no_trial_is_spoken_of(shop: Shop) -> None:
    shop.app.config["SETTINGS"].stripe_trials = False
    synced_plan(trial_days=14)
    assert "14" not in shown(shop)


def test_what_somebody_has_is_called_theirs_and_not_sold_to_them(shop: Shop) -> None:
    make_course()
    owner, tier = make_user(), make_tier()
    synced_plan(tier, Interval.ONCE)
    make_entitlement(owner, tier, Kind.PURCHASE)
    page = shown(shop, signed_in(shop, owner))
    assert "Yours" in page
    assert "Go on to payment" not in page


def test_whoever_has_a_subscription_is_led_to_its_page(shop: Shop) -> None:
    user = make_user()
    synced_plan(trial_days=14)
    make_subscription(make_customer(user))
    page = shown(shop, signed_in(shop, user))
    assert "free days" not in page
    assert page.count("You have a plan already.") == 1
    assert "Look at it, or change to another" in page
    assert "Go on to payment" not in page


def test_taxes_are_spoken_of_as_they_are(shop: Shop) -> None:
    synced_plan()
    assert "nothing is added to it" in shown(shop)
    shop.app.config["SETTINGS"].stripe_tax = True
    assert "Where a tax is due" in shown(shop)


def test_what_tiers_are_called_cannot_break_the_page(shop: Shop) -> None:
    synced_plan(make_tier(name="<b>Bold</b>", summary="<script>x</script>", features=["<i>"]))
    page = shop.client().visit("billing.plans").text
    assert "&lt;b&gt;Bold" in page
    assert "<script>x" not in page


# The frame of every page


def test_a_site_that_is_tried_out_says_so_on_every_page(shop: Shop) -> None:
    make_course()
    client = signed_in(shop, make_user())
    for where in ("catalog.landing", "billing.plans", "accounts.settings", "billing.own"):
        assert "No money moves." in client.visit(where).text
        assert 'href="/plans"' in client.visit(where).text
    assert 'href="/account/plan"' in client.visit("accounts.settings").text


MONEY = re.compile(r"\bplans?\b|\bpric|\bpay|\bpaid|\bbuy|\bbought|\bmoney|€|stripe|/plans|\bsubscri", re.IGNORECASE)


def test_without_a_key_there_is_no_page_and_no_word_about_money(app: Flask, client: Client) -> None:
    course, user = make_course(), make_user()
    make_enrolment(user, course)
    plan = make_plan()
    for path in ("/plans", "/account/plan", "/checkouts/abcdefghjkmnpqrs"):
        assert client.get(path).status_code == 404
    pages = [client.visit("catalog.landing")]
    client.sign_in(user)
    lesson = lessons_of(course)[0].public_id
    pages += [
        client.visit("accounts.settings"),
        client.visit("learning.lesson", id=lesson),
        client.visit("learning.course", slug=course.slug),
    ]
    for page in pages:
        assert page.status_code == 200
        assert MONEY.findall(words_of(page).replace("nobody pays", "")) == []
    token = client.csrf_token("accounts.settings")
    for path in (f"/plans/{plan.public_id}/checkout", "/account/plan/portal"):
        assert client.post(path, data={"csrf_token": token}).status_code == 404
