"""The pages of the Customer Portal: plan, cancellation, card, invoices."""

from tests.fakes.stripe import money, paying, proration, subscribing
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.catalogue import price_in
from tests.fakes.stripe.pages import Page, button, choice, form, hidden, link, not_found, sent_to, shown, words
from tests.fakes.stripe.wire import ApiError, Thing


def portal_page(books: Books, id: str) -> Page:
    """All that the configuration lets the customer do."""
    session = _session(books, id)
    if session is None:
        return not_found()
    customer, features = books.kept[session["customer"]], _features(books, session)
    alive = [one for one in books.all("subscription", customer=customer["id"]) if one["status"] not in subscribing.ENDED]
    return shown(
        "Your subscription", words(f"Signed in as {customer['email']}"),
        *(_subscription(books, session, one, features) for one in alive), words("There is no subscription.") if not alive else "",
        _card(session) if features["payment_method_update"]["enabled"] else "",
        _invoices(books, customer) if features["invoice_history"]["enabled"] else "",
        link("Back", session["return_url"]) if session["return_url"] else "",
    )  # fmt: skip


def _session(books: Books, id: str) -> Thing | None:
    session = books.kept.get(id)
    return session if session is not None and session["object"] == "billing_portal.session" else None


def _features(books: Books, session: Thing) -> Thing:
    features: Thing = books.kept[session["configuration"]]["features"]
    return features


def _subscription(books: Books, session: Thing, one: Thing, features: Thing) -> str:
    item, base = one["items"]["data"][0], f"/p/session/{session['id']}"
    product = books.kept[item["price"]["product"]]
    parts = [words(f"{product['name']}, {_amount(books, item['price'], one['currency'])}: {one['status']}"), _end(one)]
    own = hidden("subscription", one["id"])
    if features["subscription_update"]["enabled"] and (options := _other_plans(books, one, features)):
        parts.append(form(f"{base}/plan", own, choice("Plan", "price", options), button("Update plan")))
    if one["cancel_at"] is not None:
        parts.append(form(f"{base}/keep", own, button("Don't cancel subscription")))
    elif features["subscription_cancel"]["enabled"]:
        parts.append(form(f"{base}/cancel", own, button("Cancel subscription")))
    return "".join(parts)


def _end(subscription: Thing) -> str:
    if subscription["cancel_at"] is None:
        return words(f"A change of plan is scheduled: {subscription['schedule']}") if subscription["schedule"] else ""
    return words(f"Ends at {subscription['cancel_at']}")


def _amount(books: Books, price: Thing, currency: str) -> str:
    amount = money.in_words(price_in(books, price, currency) or 0, currency)
    return f"{amount} per {price['recurring']['interval']}" if price["recurring"] else amount


def _other_plans(books: Books, subscription: Thing, features: Thing) -> list[tuple[str, str]]:
    current, currency = subscription["items"]["data"][0]["price"]["id"], subscription["currency"]
    found = []
    for product in features["subscription_update"]["products"] or []:
        for price in (books.kept[one] for one in product["prices"]):
            if price["id"] != current and price["active"] and price_in(books, price, currency) is not None:
                found.append((price["id"], f"{books.kept[price['product']]['name']}, {_amount(books, price, currency)}"))
    return found


def _card(session: Thing) -> str:
    buttons = (
        ("pays", "Add a card"),
        ("declines", "Add a card that is declined"),
        ("requires_action", "Add a card that asks for the bank"),
    )
    return form(f"/p/session/{session['id']}/card", *(button(label, "how", how) for how, label in buttons))


def _invoices(books: Books, customer: Thing) -> str:
    listed = [one for one in books.all("invoice", customer=customer["id"]) if one["status"] != "draft"]
    return "<h2>Invoices</h2>" + "".join(
        link(f"{one['number']}: {money.in_words(one['amount_due'], one['currency'])}, {one['status']}", one["hosted_invoice_url"])
        for one in listed
    )


def act(books: Books, id: str, action: str, given: dict[str, str]) -> Page:
    """Somebody pressed a button of the portal. Raises ApiError where they may not."""
    session = _session(books, id)
    if session is None:
        return not_found()
    features, customer = _features(books, session), books.kept[session["customer"]]
    if action == "card" and features["payment_method_update"]["enabled"]:
        hows: dict[str, paying.How] = {"pays": "pays", "declines": "declines", "requires_action": "requires_action"}
        subscribing.card_changed(books, customer, hows.get(given["how"], "pays"))
        return _done(session)
    subscription = books.kept.get(given.get("subscription", ""))
    if subscription is None or subscription.get("customer") != customer["id"] or subscription["object"] != "subscription":
        return not_found()
    match action:
        case "plan" if features["subscription_update"]["enabled"]:
            _change_plan(books, subscription, given["price"], features["subscription_update"])
        case "cancel" if features["subscription_cancel"]["enabled"]:
            _cancel(books, subscription, features["subscription_cancel"]["mode"])
        case "keep":
            subscribing.keep(books, subscription)
        case _:
            return not_found()
    return _done(session)


def _done(session: Thing) -> Page:
    """Back to the portal, or to where a flow leads."""
    after = (session["flow"] or {}).get("after_completion", {})
    return sent_to(after["redirect"]["return_url"] if after.get("type") == "redirect" else f"/p/session/{session['id']}")


def _cancel(books: Books, subscription: Thing, mode: str) -> None:
    if mode == "immediately":
        subscribing.end(books, subscription, "cancellation_requested")
        return
    moment = subscription["trial_end"] if subscription["status"] == "trialing" else subscribing.period_end(subscription)
    subscribing.schedule_end(books, subscription, moment, says_period_end=False)


def _change_plan(books: Books, subscription: Thing, to: str, feature: Thing) -> None:
    if to not in {price for price, _label in _other_plans(books, subscription, {"subscription_update": feature})}:
        raise ApiError(400, "This plan is not offered.")
    item, price = subscription["items"]["data"][0], books.kept[to]
    conditions = {one["type"] for one in feature["schedule_at_period_end"]["conditions"]}
    is_shorter = proration.is_shorter(item["price"], price)
    is_cheaper = proration.is_cheaper(books, item["price"], price, subscription["currency"])
    is_later = (is_shorter and "shortening_interval" in conditions) or (is_cheaper and "decreasing_item_amount" in conditions)
    if is_later and subscription["status"] != "trialing":
        proration.change_at_period_end(books, subscription, price)
    else:
        proration.change_plan(books, subscription, item, price, item["quantity"], feature["proration_behavior"])
