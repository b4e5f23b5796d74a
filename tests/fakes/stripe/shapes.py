"""Objects with every field that the SDK's class of it has, so that code reads them as it reads Stripe's.

What may be null is null unless given; what may not be null has to be given; what the class does not know is refused. So a
field that Stripe took away (`Invoice.subscription`) cannot come back here by mistake.
"""

import types
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin

from stripe import ListObject, StripeObject
from stripe._object_classes import get_object_class
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


@cache
def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)


@cache
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


# --- what was changed since it was filled ---


def misfits(thing: Thing) -> list[str]:
    """Where an object, with all inside it, is not of its SDK class: unknown fields, nulls, wrong kinds, no literal of the type."""
    kind = get_object_class("V1", thing["object"])
    if kind is ListObject:
        return [fault for item in thing["data"] for fault in misfits(item)]
    return _faults_in(thing, kind, thing["object"])


def _faults_in(thing: Thing, kind: Any, where: str) -> list[str]:
    hints = _hints(kind)
    found = [f"{where} has no {name}" for name in thing if name not in hints]
    for name, value in thing.items():
        if name in hints:
            found += _faults_of(value, hints[name], f"{where}.{name}")
    return found


def _faults_of(value: Any, hint: Any, where: str) -> list[str]:
    members = _members(hint)
    if value is None:
        return [] if type(None) in members else [f"{where} is null"]
    if isinstance(value, dict):
        inner = _inner(hint)
        return misfits(value) if "object" in value else _faults_in(value, inner, where) if inner else []
    if isinstance(value, list):
        part = next((get_args(member)[0] for member in members if get_origin(member) is list), Any)
        return [fault for place, item in enumerate(value) for fault in _faults_of(item, part, f"{where}[{place}]")]
    return _faults_of_scalar(value, members, where)


def _faults_of_scalar(value: Any, members: tuple[Any, ...], where: str) -> list[str]:
    literals = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    if literals:
        return [] if value in literals else [f"{where} is {value!r}, none of {literals}"]
    if not any(isinstance(member, type) for member in members):
        return []
    fits: dict[Any, tuple[type, ...]] = {Decimal: (str,), float: (int, float)}
    kinds = tuple(one for member in members if isinstance(member, type) for one in fits.get(member, (member,)))
    is_other = isinstance(value, bool) and bool not in kinds
    return [f"{where} is {value!r}, not {kinds}"] if is_other or not isinstance(value, kinds) else []
