"""`expand[]`: ids replaced by what they stand for, and fields that are left out unless asked for."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.fakes.stripe.books import Books
from tests.fakes.stripe.wire import ApiError, Thing

DEEPEST = 4


def _listing(kind: str, by: str, url: str) -> Callable[[Books, Thing], Thing]:
    def made(books: Books, thing: Thing) -> Thing:
        data = books.all(kind, **{by: thing["id"]})
        return {"object": "list", "data": data, "has_more": False, "url": url.format(thing["id"])}

    return made


# What is made on request: (object, field) → what it holds.
ON_REQUEST: dict[tuple[str, str], Callable[[Books, Thing], Any]] = {
    ("charge", "refunds"): _listing("refund", "charge", "/v1/charges/{}/refunds"),
    ("invoice", "payments"): _listing("invoice_payment", "invoice", "/v1/invoice_payments?invoice={}"),
    ("customer", "subscriptions"): _listing("subscription", "customer", "/v1/customers/{}/subscriptions"),
    ("checkout.session", "line_items"): lambda books, thing: books.note(thing["id"])["line_items"],
    ("price", "currency_options"): lambda books, thing: books.note(thing["id"])["currency_options"],
    ("coupon", "applies_to"): lambda _books, _thing: None,
}


def expanded(books: Books, thing: Thing, paths: list[str]) -> Thing:
    """A copy with the paths expanded. Raises ApiError for what cannot be expanded."""
    made = deepcopy(thing)
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise ApiError(400, f"You cannot expand more than {DEEPEST} levels of a property.", param="expand")
        _expand(books, made, steps, path)
    return made


def _expand(books: Books, thing: Any, steps: list[str], path: str) -> None:
    if not steps or thing is None:
        return
    if isinstance(thing, list):
        for item in thing:
            _expand(books, item, steps, path)
        return
    step, key = steps[0], (thing.get("object", ""), steps[0])
    if key in ON_REQUEST and step not in thing:
        thing[step] = deepcopy(ON_REQUEST[key](books, thing))
    elif step not in thing:
        raise ApiError(400, f"This property cannot be expanded ({path}).", param="expand[0]")
    if isinstance(thing[step], list):
        thing[step] = [_whole(books, item) for item in thing[step]]
    else:
        thing[step] = _whole(books, thing[step])
    _expand(books, thing[step], steps[1:], path)


def _whole(books: Books, value: Any) -> Any:
    return deepcopy(books.kept[value]) if isinstance(value, str) and value in books.kept else value
