"""Objects with every field that the SDK's class of it has, so that code reads them as it reads Stripe's.

What may be null is null unless given; what may not be null has to be given; what the class does not know is refused. So a
field that Stripe took away (`Invoice.subscription`) cannot come back here by mistake.
"""

import types
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin

from stripe import ListObject, StripeObject
from stripe._stripe_object import UntypedStripeObject

from tests.fakes.stripe.wire import Thing

# Fields that Stripe leaves out unless they are asked for with `expand` ("not included by default" in its reference).
LEFT_OUT = {
    "charge": {"refunds"},
    "checkout.session": {"line_items"},
    "coupon": {"applies_to"},
    "customer": {"sources", "subscriptions", "tax", "tax_ids", "cash_balance", "invoice_credit_balance"},
    "invoice": {"payments", "confirmation_secret"},
    "plan": {"tiers"},
    "price": {"tiers"},
}
# Of these, Stripe sends the part alone that `type` names.
VARIANTS = {"PaymentMethod", "PaymentMethodDetails", "PaymentMethodOptions"}


class UnfitError(TypeError):
    """The fake made an object that is not of its SDK class: a defect of the fake."""


def filled(kind: type[StripeObject], values: Thing, where: str = "") -> Thing:
    """An object of `kind` with `values`, and with nulls, false and empty lists for the rest. Raises UnfitError."""
    where = where or kind.__name__
    hints: dict[str, Any] = _hints(cast(Any, kind))
    if unknown := set(values) - set(hints):
        raise UnfitError(f"{where} has no {sorted(unknown)}")
    made = {}
    for name, hint in hints.items():
        if name in values:
            made[name] = _shaped(values[name], hint, f"{where}.{name}")
        elif not _is_left_out(kind, name):
            made[name] = _blank(hint, f"{where}.{name}")
    return made


def _is_left_out(kind: type[StripeObject], name: str) -> bool:
    return (
        name in {"deleted", "currency_options"} or kind.__name__ in VARIANTS or name in LEFT_OUT.get(getattr(kind, "OBJECT_NAME", ""), ())
    )


@cache
def _hints(kind: Any) -> dict[str, Any]:
    fields = {name: hint for name, hint in kind.__annotations__.items() if not name.startswith("_")}
    return {name: hint for name, hint in fields.items() if not str(hint).startswith("typing.ClassVar")}


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)


def _inner(hint: Any) -> type[StripeObject] | None:
    for member in _members(hint):
        if isinstance(member, type) and issubclass(member, StripeObject) and member is not StripeObject:
            return member
    return None


def _shaped(value: Any, hint: Any, where: str) -> Any:
    if isinstance(value, dict) and (inner := _inner(hint)):
        return filled(inner, value, where)
    if isinstance(value, list):
        hint = next((member for member in _members(hint) if get_origin(member) is list), None)
        return [_shaped(item, get_args(hint)[0], where) for item in value] if hint else value
    if value is None and type(None) not in _members(hint):
        raise UnfitError(f"{where} may not be null")
    return value


def _blank(hint: Any, where: str) -> Any:
    members, origin = _members(hint), get_origin(hint)
    if type(None) in members:
        return None
    if hint is bool:
        return False
    if origin is list:
        return []
    if origin is UntypedStripeObject:
        return {}
    if origin is ListObject:
        return {"object": "list", "data": [], "has_more": False, "url": ""}
    if origin is Literal and len(get_args(hint)) == 1:
        return get_args(hint)[0]
    if inner := _inner(hint):
        return filled(inner, {}, where)
    raise UnfitError(f"{where} must be given")
