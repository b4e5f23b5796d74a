"""Beginning to buy: what Stripe is asked for, who is turned away, and what is said when Stripe is away or says no."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa
from babel.dates import format_date
from werkzeug.test import TestResponse

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import stripe_gateway
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Interval, Kind, Plan, Subscription
from courseapp.extensions import db
from courseapp.mailing.models import Message
from tests.billing.buying import bought, holds, only, synced_plan, work
from tests.billing.conftest import Shop
from tests.client import Client
from tests.conftest import NOW, set_clock
from tests.factories import make_customer, make_entitlement, make_guest, make_plan, make_tier, make_user
from tests.fakes.clicking import Clicker

CHECKOUT_PAGES = "/c/pay/"


def buy(client: Client, plan: Plan, **form: Any) -> TestResponse:
    """Press the button of a plan."""
    return client.submit("billing.plans", form, to="billing.begin", id=plan.public_id)


def press(client: Client, plan: Plan, **form: Any) -> TestResponse:
    """Send its form though the page does not show it, as an old tab does."""
    token = client.csrf_token("asking.ask")
    return client.post(client.path("billing.begin", id=plan.public_id), data={"csrf_token": token, **form})


def signed_in(shop: Shop, user: User | None = None) -> Client:
    client = shop.client()
    client.sign_in(user or make_user())
    return client


def asked(shop: Shop, path: str) -> list[dict[str, str]]:
    """What Stripe was sent to a path, with the idempotency key as `key`."""
    sent = [one for one in shop.steering.requests() if one["method"] == "POST" and one["path"] == path]
    return [{**dict(parse_qsl(one["params"])), "key": one["idempotency_key"]} for one in sent]


def session_of(shop: Shop, checkout: Checkout) -> dict[str, Any]:
    found = stripe_gateway.checkout_session(str(checkout.stripe_id))
    assert found is not None
    return found


def test_a_stranger_becomes_a_guest_and_is_led_to_stripe(shop: Shop, person: Clicker) -> None:
    tier = make_tier()
    answer = buy(client := shop.client(), synced_plan(tier, Interval.ONCE, 2900))
    assert answer.status_code == 303
    assert CHECKOUT_PAGES in answer.location
    checkout, guest = only(Checkout), only(User)
    assert (checkout.user_id, guest.is_guest, checkout.state) == (guest.id, True, CheckoutState.OPEN)
    person.visit(answer.location).press("Pay", email="new@example.org")
    assert person.url == f"{shop.url}/checkouts/{checkout.public_id}"
    assert client.get(f"/checkouts/{checkout.public_id}").status_code == 200
    assert holds(guest, tier)


def test_stripe_is_told_ids_of_ours_and_nothing_of_the_course(shop: Shop) -> None:
    shop.app.config["SETTINGS"].statement_words = "LEARNING"
    plan = synced_plan(make_tier(name="Pelvic things", neutral_name="Your course"), Interval.ONCE, 2900)
    buy(shop.client(), plan)
    checkout = only(Checkout)
    session = session_of(shop, checkout)
    assert session["client_reference_id"] == session["metadata"]["checkout"] == checkout.public_id
    assert (session["customer_creation"], session["invoice_creation"]["enabled"]) == ("always", True)
    assert session["success_url"] == f"{shop.url}/checkouts/{checkout.public_id}"
    assert session["cancel_url"] == f"{shop.url}/plans"
    assert (session["locale"], session["allow_promotion_codes"]) == ("en", True)
    assert "Pelvic" not in str(session)
    sent = asked(shop, "/v1/checkout/sessions")[0]
    assert sent["key"] == f"checkout:{checkout.public_id}"
    assert sent["payment_intent_data[statement_descriptor_suffix]"] == "LEARNING"
    assert sent["payment_intent_data[metadata][checkout]"] == checkout.public_id
    assert "payment_method_types" not in str(sent)


def test_a_statement_says_the_neutral_name_of_the_site_where_no_words_are_set(shop: Shop) -> None:
    shop.app.config["SETTINGS"].statement_words = ""
    buy(shop.client(), synced_plan(make_tier(), Interval.ONCE, 2900))
    assert asked(shop, "/v1/checkout/sessions")[0]["payment_intent_data[statement_descriptor_suffix]"] == "Your course"


def test_an_account_gets_one_customer_by_its_own_id(shop: Shop) -> None:
    user = make_user("ada@example.org")
    client, tier = signed_in(shop, user), make_tier()
    buy(client, synced_plan(tier))
    customer = only(Customer)
    assert customer.user_id == user.id
    made = asked(shop, "/v1/customers")[0]
    key = f"customer:{user.public_id}:{only(Checkout).public_id}"
    assert made == {"email": "ada@example.org", "metadata[user]": user.public_id, "key": key}
    assert session_of(shop, only(Checkout))["customer"] == customer.stripe_id
    buy(client, synced_plan(tier, Interval.YEAR))
    only(Customer)
    assert len(asked(shop, "/v1/customers")) == 1


def test_taxes_are_reckoned_where_the_setting_says_so(shop: Shop) -> None:
    shop.app.config["SETTINGS"].stripe_tax = True
    buy(signed_in(shop), synced_plan())
    session = session_of(shop, only(Checkout))
    assert (session["automatic_tax"]["enabled"], session["tax_id_collection"]["enabled"]) == (True, True)
    assert asked(shop, "/v1/checkout/sessions")[0]["customer_update[address]"] == "auto"


def test_the_chosen_currency_is_paid_in_and_another_is_not_believed(shop: Shop) -> None:
    shop.app.config["SETTINGS"].currencies = "eur, jpy"
    plan = synced_plan(make_tier(), Interval.ONCE, prices={"eur": 2900, "jpy": 3900})
    buy(shop.client(), plan, currency="jpy")
    assert session_of(shop, only(Checkout))["amount_total"] == 3900
    buy(shop.client(), plan, currency="xau")
    latest = db.session.scalars(sa.select(Checkout).order_by(Checkout.id.desc())).first()
    assert latest is not None
    assert session_of(shop, latest)["amount_total"] == 2900


@pytest.mark.parametrize("which", ["nothing", "plan", "tier"])
def test_what_is_not_sold_cannot_be_bought(shop: Shop, which: str) -> None:
    plan = synced_plan()
    address = "/plans/abcdefghjkmnpqrs/checkout" if which == "nothing" else f"/plans/{plan.public_id}/checkout"
    if which != "nothing":
        {"plan": plan, "tier": plan.tier}[which].archived_at = NOW
    client = shop.client()
    assert client.post(address, data={"csrf_token": client.csrf_token("asking.ask")}).status_code == 404
    assert db.session.scalar(sa.select(sa.func.count(Checkout.id))) == 0


def test_what_costs_nothing_is_open_at_once_and_stripe_is_not_asked(shop: Shop) -> None:
    tier = make_tier()
    answer = buy(client := shop.client(), make_plan(tier, Interval.ONCE, amount=0))
    kept, checkout = only(Entitlement), only(Checkout)
    assert answer.location.endswith(f"/checkouts/{checkout.public_id}")
    assert (kept.kind, kept.tier_id, checkout.state) == (Kind.FREE, tier.id, CheckoutState.FULFILLED)
    assert "It is open." in client.get(answer.location).text
    assert shop.steering.requests() == []
    assert press(client, checkout.plan).location == "/learn"
    only(Entitlement)


# Who is turned away


def test_what_is_owned_is_not_sold_again(shop: Shop) -> None:
    user, tier = make_user(), make_tier()
    bought(shop, plan := synced_plan(tier, Interval.ONCE), user)
    client = signed_in(shop, user)
    answer = press(client, plan)
    assert answer.location == "/learn"
    assert "You have this already." in client.get(answer.location).text
    only(Checkout)


def test_a_second_subscription_is_never_begun(shop: Shop) -> None:
    user = make_user()
    bought(shop, synced_plan(), user)
    client = signed_in(shop, user)
    answer = press(client, synced_plan())
    assert answer.location == "/account/plan"
    page = client.get(answer.location).text
    assert "You have a plan already." in page
    assert "Card, invoices, change or cancel" in page
    only(Checkout)


def test_a_subscription_keeps_nobody_from_buying_something_for_good(shop: Shop) -> None:
    user = make_user()
    bought(shop, synced_plan(), user)
    assert CHECKOUT_PAGES in press(signed_in(shop, user), synced_plan(interval=Interval.ONCE)).location


def test_a_gift_with_an_end_keeps_nobody_from_buying(shop: Shop) -> None:
    user, tier = make_user(), make_tier()
    make_entitlement(user, tier, ends_at=NOW + timedelta(days=9))
    assert CHECKOUT_PAGES in press(signed_in(shop, user), synced_plan(tier)).location


def test_somebody_whose_money_is_on_its_way_is_told_so_and_pays_nothing_twice(shop: Shop) -> None:
    user, tier = make_user(), make_tier()
    checkout = bought(shop, plan := synced_plan(tier, Interval.ONCE), user, way="later_succeeds")
    assert press(signed_in(shop, user), plan).location == f"/checkouts/{checkout.public_id}"
    only(Checkout)


# Trials


def trial_of(shop: Shop, client: Client, plan: Plan) -> int | None:
    press(client, plan)
    days = asked(shop, "/v1/checkout/sessions")[-1].get("subscription_data[trial_period_days]")
    return None if days is None else int(days)


def test_a_trial_is_given_once_to_a_person(shop: Shop) -> None:
    plan, user = synced_plan(trial_days=14), make_user("ada@example.org")
    client = signed_in(shop, user)
    assert trial_of(shop, client, plan) == 14
    shop.steering.buy(only(Checkout).stripe_id, email="ada@example.org")
    work(shop)
    assert holds(user, plan.tier)
    stripe_gateway.cancel_subscription(only(Subscription).stripe_id)
    work(shop)
    assert not holds(user, plan.tier)
    assert trial_of(shop, client, plan) is None


def test_the_mail_of_a_trial_says_until_when_it_is_free_and_what_comes_then(shop: Shop) -> None:
    shop.app.config["SETTINGS"].stripe_trials = True
    buy(signed_in(shop, make_user("ada@example.org")), synced_plan(trial_days=14))
    shop.steering.buy(only(Checkout).stripe_id)
    work(shop)
    db.session.commit()
    mail = db.session.scalars(sa.select(Message)).one()
    assert (mail.template, mail.fields["amount"]) == ("billing/trial_begun", "€9.00")
    assert mail.fields["until"] == format_date(clock.now() + timedelta(days=14), "long", "en")


def test_a_trial_that_was_begun_counts_though_no_subscription_is_known_yet(shop: Shop) -> None:
    plan, user = synced_plan(trial_days=14), make_user()
    facts = {"plan_id": plan.id, "price_id": 1, "trial_days": 14, "created_at": NOW}
    price_id = db.session.scalar(sa.text("SELECT id FROM prices"))
    db.session.add(Checkout(user_id=user.id, state=CheckoutState.FULFILLED, **facts | {"price_id": price_id}))
    assert trial_of(shop, signed_in(shop, user), plan) is None


def test_guests_may_buy_without_a_trial(shop: Shop) -> None:
    assert trial_of(shop, signed_in(shop, make_guest()), synced_plan(trial_days=14)) is None


# Pressed twice


def test_a_second_press_comes_to_the_same_page_of_stripes(shop: Shop) -> None:
    client, plan = signed_in(shop), synced_plan()
    first = buy(client, plan)
    assert buy(client, plan).location == first.location
    only(Checkout)


def test_two_presses_at_once_come_to_the_same_checkout(shop: Shop) -> None:
    user, plan = make_user(), synced_plan()
    clients = [signed_in(shop, user) for _time in range(2)]
    tokens = [client.csrf_token("asking.ask") for client in clients]
    address = clients[0].path("billing.begin", id=plan.public_id)
    db.session.commit()
    with ThreadPoolExecutor(2) as pool:
        calls = zip(clients, tokens, strict=True)
        answers = list(pool.map(lambda call: call[0].post(address, data={"csrf_token": call[1]}), calls))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.location for answer in answers}) == 1
    only(Checkout)
    only(Customer)


def test_after_an_hour_another_checkout_is_begun_and_the_old_one_cannot_be_paid_any_more(shop: Shop) -> None:
    client, plan = signed_in(shop), synced_plan()
    buy(client, plan)
    old = only(Checkout)
    set_clock(shop.app, NOW + timedelta(hours=1, minutes=1))
    buy(client, plan)
    db.session.refresh(old)
    assert session_of(shop, old)["status"] == "expired"
    assert old.state is CheckoutState.EXPIRED


def test_another_plan_ends_the_page_at_which_a_second_subscription_could_be_paid(shop: Shop, person: Clicker) -> None:
    client = signed_in(shop)
    first = buy(client, synced_plan())
    buy(client, synced_plan())
    assert "expired" in person.visit(first.location).words


def test_somebody_who_paid_in_another_tab_is_led_to_what_came_of_it(shop: Shop) -> None:
    client, monthly, yearly = signed_in(shop, make_user("ada@example.org")), synced_plan(), synced_plan(interval=Interval.YEAR)
    buy(client, monthly)
    paid = only(Checkout)
    shop.steering.rule(hold=True)
    shop.steering.buy(paid.stripe_id)
    answer = press(client, yearly)
    assert answer.location == f"/checkouts/{paid.public_id}"
    assert "It is open." in client.get(answer.location).text
    assert press(client, monthly).location == "/account/plan"


# Stripe is away, or says no


@pytest.mark.parametrize("what", ["500", "429", "drop"])
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/checkout/sessions"])
def test_stripe_away_is_said_in_words_and_the_next_press_buys(shop: Shop, what: str, path: str) -> None:
    client, plan = signed_in(shop), synced_plan()
    shop.steering.fail(what, times=None, path=path, method="POST")
    answer = buy(client, plan)
    shop.steering.heal()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "60"
    assert "nothing was paid" in answer.text
    assert only(Checkout).state is CheckoutState.EXPIRED
    assert CHECKOUT_PAGES in buy(client, plan).location


def test_a_time_out_is_said_in_words(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = synced_plan()
    monkeypatch.setattr(stripe_gateway, "TIMEOUT", (0.2, 0.2))
    stripe_gateway._client.cache_clear()
    shop.steering.fail("hang", times=3, path="/v1/checkout/sessions", seconds=1)
    answer = buy(shop.client(), plan)
    stripe_gateway._client.cache_clear()
    assert (answer.status_code, "We cannot reach Stripe just now" in answer.text) == (503, True)


def test_a_key_that_may_not_is_ours_to_mend_and_nobody_is_asked_to_try_again(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    plan = synced_plan()
    shop.steering.fail("403", times=3, path="/v1/checkout/sessions")
    answer = buy(shop.client(), plan)
    assert answer.status_code == 503
    assert "It is for us to mend" in answer.text
    assert "stripe_asked_in_vain" in capsys.readouterr().err


def test_a_price_that_stripe_does_not_know_is_logged_by_its_code(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    plan = synced_plan()
    db.session.execute(sa.text("UPDATE prices SET stripe_id = 'price_gone'"))
    assert buy(shop.client(), plan).status_code == 503
    assert "resource_missing" in capsys.readouterr().err


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_account_whose_customer_stripe_knows_no_more_buys_as_a_new_one(shop: Shop, is_deleted: bool) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    stripe_id = stripe_gateway.create("customers", {"email": "ada@example.org"}, "one")["id"] if is_deleted else "cus_of_another_account"
    make_customer(user, stripe_id=stripe_id)
    if is_deleted:
        stripe_gateway._service("customers").delete(stripe_id)
    answer = buy(signed_in(shop, user), plan := synced_plan(tier))
    assert CHECKOUT_PAGES in answer.location
    shop.steering.buy(only(Checkout).stripe_id)
    work(shop)
    assert holds(user, tier)
    assert press(signed_in(shop, user), plan).location.endswith("/account/plan")


def test_a_guest_who_was_made_in_vain_stays_the_same_guest(shop: Shop) -> None:
    client, plan = shop.client(), synced_plan()
    shop.steering.fail("500", times=3, path="/v1/checkout/sessions")
    buy(client, plan)
    buy(client, plan)
    only(User)


def test_no_transaction_is_open_while_stripe_is_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, true_create = [], stripe_gateway.create

    def create(*arguments: Any) -> Any:
        seen.append(db.session().in_transaction())
        return true_create(*arguments)

    plan = synced_plan()
    monkeypatch.setattr(stripe_gateway, "create", create)
    buy(signed_in(shop), plan)
    assert seen == [False, False]


@pytest.mark.one_database
@pytest.mark.settings(rate_limits=True, stripe_secret_key="sk_test_of_nobody")
def test_nobody_begins_to_buy_without_end(client: Client) -> None:
    plans = [make_plan(interval=Interval.ONCE, amount=0) for _time in range(61)]
    statuses = [press(client, plan).status_code for plan in plans]
    assert (statuses[59], statuses[60]) == (303, 429)
