"""Tiers and prices are brought in line with Stripe, both ways, against the fake one."""

from typing import Any

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.billing import plans, stripe_gateway, tiers
from courseapp.billing.cataloguing import loops
from courseapp.billing.cataloguing.loops import Outcome, bring_in_line, planned_steps
from courseapp.billing.models import Interval, Plan, Price, Tier
from courseapp.billing.stripe_gateway import StripeAwayError
from courseapp.billing.syncing import statement_of
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_plan, make_tier


@pytest.fixture
def plan(shop: Shop) -> Plan:
    """A monthly plan for 9.00 EUR, not synced."""
    found = make_plan(make_tier(key="guided", name="Guided practice", neutral_name="Your course"), key="guided-month")
    db.session.commit()
    return found


def sync() -> list[tuple[Outcome, str]]:
    return [(line.outcome, line.words) for line in bring_in_line(clock.now)]


def outcomes() -> list[Outcome]:
    return [outcome for outcome, _words in sync()]


def at_stripe() -> list[tuple[str | None, int, bool]]:
    """Lookup key, amount and whether it is for sale, of every price, the oldest first."""
    return [(one["lookup_key"], one["unit_amount"], one["active"]) for one in reversed(list(stripe_gateway.prices()))]


def ours(plan: Plan) -> list[tuple[int, str | None, bool]]:
    rows = db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id).order_by(Price.id).execution_options(populate_existing=True))
    return [(row.amount, row.stripe_id, row.retired_at is None) for row in rows]


def set_price(plan: Plan, amount: int | None) -> None:
    plans.set_price(plan, "eur", amount, NOW, None)
    db.session.commit()


def fault(shop: Shop, **kw: Any) -> None:
    shop.steering.fail("500", times=None, **kw)


def test_a_new_tier_is_made_at_stripe_under_its_neutral_name_and_once(shop: Shop, plan: Plan) -> None:
    assert [outcome for outcome, _words in sync()] == [Outcome.DONE] * 2
    product = next(stripe_gateway.products())
    assert (product["name"], product["metadata"]) == ("Your course", {"tier": "guided"})
    price = next(stripe_gateway.prices())
    assert (price["product"], price["recurring"]["interval"], price["metadata"]) == (product["id"], "month", {"plan": "guided-month"})
    assert at_stripe() == [("guided-month-eur", 900, True)]
    assert ours(plan) == [(900, price["id"], True)]
    assert sync() == []
    assert [event.type for event in db.session.scalars(sa.select(Event))] == ["billing_synced"]


def test_looking_first_changes_nothing(shop: Shop, plan: Plan) -> None:
    assert [line.outcome for line in planned_steps()] == [Outcome.PLANNED] * 2
    assert (list(stripe_gateway.products()), ours(plan)) == ([], [(900, None, True)])


def test_what_costs_nothing_and_what_is_put_away_never_goes_to_stripe(shop: Shop) -> None:
    make_plan(make_tier(), Interval.ONCE, amount=0)
    make_plan(make_tier(archived_at=NOW))
    db.session.commit()
    assert sync() == []


def test_a_plan_that_is_paid_once_has_no_interval(shop: Shop) -> None:
    make_plan(make_tier(), Interval.ONCE, prices={"eur": 2900, "jpy": 4500})
    db.session.commit()
    sync()
    assert {(one["currency"], one["unit_amount"], one["recurring"] is None) for one in stripe_gateway.prices()} == {
        ("eur", 2900, True),
        ("jpy", 4500, True),
    }


def test_another_amount_here_is_a_new_price_there_and_the_old_one_is_switched_off(shop: Shop, plan: Plan) -> None:
    sync()
    first = ours(plan)[0][1]
    set_price(plan, 1000)
    assert outcomes() == [Outcome.DONE] * 2
    assert at_stripe() == [(None, 900, False), ("guided-month-eur", 1000, True)]
    assert ours(plan)[0] == (900, first, False)
    assert sync() == []


def test_back_to_the_first_amount_before_anything_was_synced_is_a_price_of_its_own(shop: Shop, plan: Plan) -> None:
    sync()
    set_price(plan, 1000)
    set_price(plan, 900)
    sync()
    assert at_stripe() == [(None, 900, False), ("guided-month-eur", 900, True)]
    assert len({row[1] for row in ours(plan)}) == 3
    assert sync() == []


def test_a_price_that_staff_raised_in_the_dashboard_is_ours_from_then_on(shop: Shop, plan: Plan) -> None:
    sync()
    first = ours(plan)[0][1]
    assert first is not None
    new = shop.steering.raise_price(first, 1200)
    assert outcomes() == [Outcome.DONE] * 2
    assert ours(plan) == [(900, first, False), (1200, new["id"], True)]
    assert at_stripe() == [(None, 900, False), ("guided-month-eur", 1200, True)]
    assert sync() == []


def test_a_key_that_is_given_back_to_an_old_price_offers_that_one_again(shop: Shop, plan: Plan) -> None:
    sync()
    set_price(plan, 1000)
    sync()
    first, second = (row[1] for row in ours(plan))
    assert first is not None
    stripe_gateway.update("prices", first, {"active": True, "lookup_key": "guided-month-eur", "transfer_lookup_key": True})
    sync()
    assert ours(plan) == [(900, first, True), (1000, second, False)]
    assert at_stripe() == [("guided-month-eur", 900, True), (None, 1000, False)]
    assert sync() == []


def test_a_key_that_was_taken_away_or_a_price_switched_off_is_mended(shop: Shop, plan: Plan) -> None:
    sync()
    price = next(stripe_gateway.prices())
    shop.steering.put(price["id"], active=False, lookup_key=None)
    assert outcomes() == [Outcome.DONE]
    assert at_stripe() == [("guided-month-eur", 900, True)]


def test_a_price_that_fits_no_plan_is_told_and_never_guessed(shop: Shop, plan: Plan) -> None:
    sync()
    product = next(stripe_gateway.products())["id"]
    stripe_gateway.create("prices", {"currency": "usd", "unit_amount": 500, "product": product, "lookup_key": "other"}, "x")
    [(outcome, words)] = sync()
    assert outcome is Outcome.TOLD
    assert "of no plan here" in words
    assert ours(plan)[0][2]


def test_a_key_on_a_price_of_another_interval_is_told_and_changes_nothing(shop: Shop, plan: Plan) -> None:
    sync()
    before = ours(plan)
    params = {"currency": "eur", "unit_amount": 900, "product": next(stripe_gateway.products())["id"], "recurring": {"interval": "year"}}
    stripe_gateway.create("prices", params | {"lookup_key": "guided-month-eur", "transfer_lookup_key": True}, "x")
    assert outcomes() == [Outcome.TOLD]
    assert ours(plan) == before


def test_another_neutral_name_goes_up_and_nothing_else_does(shop: Shop, plan: Plan) -> None:
    sync()
    tier = db.session.scalars(sa.select(Tier)).one()
    tier.neutral_name, tier.name = "Course access", "What it is really about"
    db.session.commit()
    assert outcomes() == [Outcome.DONE]
    assert next(stripe_gateway.products())["name"] == "Course access"
    assert "really about" not in str(shop.steering.requests())


def test_a_plan_put_away_is_switched_off_and_comes_back_as_the_same_price(shop: Shop, plan: Plan) -> None:
    sync()
    for wanted in (True, False):
        plans.put_plan_away(plan, wanted, NOW, None)
        db.session.commit()
        assert outcomes() == [Outcome.DONE]
        assert at_stripe() == [("guided-month-eur", 900, not wanted)]


def test_a_tier_put_away_is_switched_off(shop: Shop, plan: Plan) -> None:
    sync()
    tiers.put_away(plan.tier, True, NOW, None)
    db.session.commit()
    sync()
    assert at_stripe() == [("guided-month-eur", 900, False)]


def test_with_the_key_of_another_account_everything_is_made_anew(shop: Shop, plan: Plan) -> None:
    sync()
    db.session.execute(sa.update(Price).values(stripe_id="price_of_the_test_mode"))
    db.session.execute(sa.update(Tier).values(product_id="prod_of_the_test_mode"))
    shop.fake.books.kept.clear()
    db.session.commit()
    assert outcomes() == [Outcome.DONE] * 2
    assert ours(plan)[0][1] == next(stripe_gateway.prices())["id"]


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("path", ["/v1/products", "/v1/prices"])
def test_stripe_failing_in_between_makes_nothing_twice(shop: Shop, plan: Plan, monkeypatch: Any, path: str, is_made: bool) -> None:
    monkeypatch.setattr(stripe_gateway, "RETRIES", 0)
    stripe_gateway._client.cache_clear()
    fault(shop, path=path, method="POST", after=is_made)
    report = sync()
    assert report[-1][0] is Outcome.FAILED
    assert "run it again" in report[-1][1]
    shop.steering.heal()
    shop.pass_time(hours=1)
    sync()
    assert len(list(stripe_gateway.products())) == len(list(stripe_gateway.prices())) == 1
    assert sync() == []


def test_a_run_killed_before_it_wrote_down_what_it_made_finds_it(shop: Shop, plan: Plan, monkeypatch: Any) -> None:
    def killed(*_args: Any) -> None:
        raise KeyboardInterrupt

    made = stripe_gateway.create
    for kind in ("products", "prices"):

        def made_and_killed(what: str, params: Any, key: str, kind: str = kind) -> Any:
            found = made(what, params, key)
            return killed() if what == kind else found

        monkeypatch.setattr(loops.stripe_gateway, "create", made_and_killed)
        with pytest.raises(KeyboardInterrupt):
            sync()
        db.session.rollback()
    monkeypatch.setattr(loops.stripe_gateway, "create", made)
    shop.fake.keys = type(shop.fake.keys)()  # a day later, when the keys are forgotten
    sync()
    assert (len(list(stripe_gateway.products())), at_stripe()) == (1, [("guided-month-eur", 900, True)])
    assert sync() == []


def test_stripe_refusing_one_price_leaves_the_others_to_be_done(shop: Shop, plan: Plan, monkeypatch: Any) -> None:
    other, made = make_plan(make_tier()), stripe_gateway.create
    db.session.commit()

    def refused(kind: str, params: Any, key: str) -> Any:
        return made(kind, params if params.get("lookup_key") != "guided-month-eur" else {**params, "unit_amount": "much"}, key)

    monkeypatch.setattr(loops.stripe_gateway, "create", refused)
    report = sync()
    assert [words for outcome, words in report if outcome is Outcome.FAILED and "unit_amount" in words]
    assert ours(plan)[0][1] is None
    assert ours(other)[0][1] is not None


def test_no_transaction_is_open_while_stripe_is_asked(shop: Shop, plan: Plan, monkeypatch: Any) -> None:
    seen = []
    for name in ("create", "update", "products", "prices"):
        asked = getattr(stripe_gateway, name)

        def watched(*args: Any, asked: Any = asked, **kw: Any) -> Any:
            seen.append(db.session().in_transaction())
            return asked(*args, **kw)

        monkeypatch.setattr(loops.stripe_gateway, name, watched)
    sync()
    set_price(plan, 1000)
    sync()
    assert len(seen) > 6
    assert not any(seen)


def test_with_stripe_away_nothing_is_begun(shop: Shop, plan: Plan) -> None:
    fault(shop)
    with pytest.raises(StripeAwayError):
        bring_in_line(clock.now)


@pytest.mark.parametrize(
    ("words", "site", "expected"),
    [
        ("COURSE HOUSE", "Anything", "COURSE HOUSE"),
        ("", "Lernhaus Süd", "Lernhaus Sud"),
        ("", "A *very* long name of <a> site", "A very long name of a"),
        ("", "Oak", ""),
        ("", "休息", ""),
        ("", "12345", ""),
    ],
)
def test_what_stands_on_card_statements(words: str, site: str, expected: str) -> None:
    assert statement_of(words, site) == expected
