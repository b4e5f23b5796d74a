"""Request parameters, held against the TypedDicts of the SDK's `stripe.params`.

The SDK's types are open (`Literal['day', 'month']|str`), for it must not break when Stripe adds a value. A server knows its
values, so here such a union is closed: what is none of the literals is refused.
"""

import sys
import types
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, ForwardRef, Literal, NotRequired, Required, Union, get_args, get_origin

from stripe._request_options import RequestOptions
from typing_extensions import is_typeddict

from tests.fakes.stripe.wire import ApiError, Thing

OPTIONS = frozenset(RequestOptions.__annotations__)  # what the SDK takes out of the parameters before it sends them
UNSET = "cannot be unset. You should remove it from your request or supply a non-empty value"


def checked(given: Thing, shape: type) -> Thing:
    """The parameters as Python values. Raises ApiError 400 for what Stripe would refuse.

    Args:
        given: what `wire.nested` made of the body or the query.
        shape: a TypedDict of `stripe.params`.
    """
    return _record(given, shape, "")


@cache
def fields_of(shape: type) -> dict[str, tuple[Any, bool]]:
    """Each parameter's type and whether it is required."""
    found = {}
    for name, hint in shape.__annotations__.items():
        if name in OPTIONS:
            continue
        hint = _resolved(hint, _space(shape))
        origin: Any = get_origin(hint)
        found[name] = (get_args(hint)[0] if origin in {NotRequired, Required} else hint, origin is not NotRequired)
    return found


def _space(shape: type) -> dict[str, Any]:
    return vars(sys.modules[shape.__module__])


def _resolved(hint: Any, space: dict[str, Any]) -> Any:
    words = hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint
    return eval(words, space) if isinstance(words, str) else hint  # the words are the SDK's own


def _record(given: Any, shape: type, where: str) -> Thing:
    if not isinstance(given, dict):
        raise ApiError(400, f"Invalid hash: {given!r}", param=where)
    fields = fields_of(shape)
    for name in given:
        if name not in fields:
            place = _inside(where, name)
            raise ApiError(400, f"Received unknown parameter: {place}", code="parameter_unknown", param=place)
    for name, (_hint, is_required) in fields.items():
        if is_required and name not in given:
            place = _inside(where, name)
            raise ApiError(400, f"Missing required param: {place}.", code="parameter_missing", param=place)
    return {name: _value(value, fields[name][0], _inside(where, name), _space(shape)) for name, value in given.items()}


def _inside(where: str, name: str) -> str:
    return f"{where}[{name}]" if where else name


def _value(raw: Any, hint: Any, where: str, space: dict[str, Any]) -> Any:
    hint = _resolved(hint, space)
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _one_of(raw, [_resolved(member, space) for member in get_args(hint)], where, space)
    if origin is Literal:
        return _literal(raw, list(get_args(hint)), where)
    if origin is list:
        return _array(raw, get_args(hint)[0], where, space)
    if origin is dict:
        return _hash(raw, get_args(hint)[1], where, space)
    if is_typeddict(hint):
        return _record(raw, hint, where)
    return _scalar(raw, hint, where)


def _one_of(raw: Any, members: list[Any], where: str, space: dict[str, Any]) -> Any:
    literals = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    if isinstance(raw, str) and raw in literals:
        return raw
    rest = [member for member in members if get_origin(member) is not Literal and "UntypedStripeObject" not in str(member)]
    if any(literals):
        rest = [member for member in rest if member is not str]
    is_whole = isinstance(raw, dict)
    fitting = [member for member in rest if is_whole == (get_origin(member) in {list, dict} or is_typeddict(member))]
    problem: ApiError | None = None
    for member in fitting:
        try:
            return _value(raw, member, where, space)
        except ApiError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    return _literal(raw, literals, where) if any(literals) else _value(raw, rest[0], where, space)


def _literal(raw: Any, words: list[str], where: str) -> str:
    if raw in words:
        return str(raw)
    shown = [word for word in words if word]
    listed = f"{', '.join(shown[:-1])}, or {shown[-1]}" if len(shown) > 1 else shown[0]
    raise ApiError(400, f"Invalid {where}: must be one of {listed}", param=where)


def _array(raw: Any, hint: Any, where: str, space: dict[str, Any]) -> list[Any]:
    if not isinstance(raw, dict) or not all(key.isdigit() for key in raw):
        raise ApiError(400, "Invalid array", param=where)
    return [_value(raw[key], hint, f"{where}[{key}]", space) for key in sorted(raw, key=int)]


def _hash(raw: Any, hint: Any, where: str, space: dict[str, Any]) -> Thing:
    if not isinstance(raw, dict):
        raise ApiError(400, f"Invalid hash: {raw!r}", param=where)
    if hint is str:  # metadata: an empty value takes the key away
        return {name: str(value) for name, value in raw.items()}
    return {name: _value(value, hint, f"{where}[{name}]", space) for name, value in raw.items()}


def _scalar(raw: Any, hint: Any, where: str) -> Any:
    if not isinstance(raw, str):
        raise ApiError(400, "Invalid string: a hash or an array was given", param=where)
    if raw == "":
        raise ApiError(400, f"You passed an empty string for '{where}', which {UNSET}.", code="parameter_invalid_empty", param=where)
    if hint is bool:
        if raw not in {"true", "false"}:
            raise ApiError(400, f"Invalid boolean: {raw}", param=where)
        return raw == "true"
    try:
        return {int: int, float: float, Decimal: Decimal}.get(hint, str)(raw)
    except (ValueError, InvalidOperation):
        words = "integer" if hint is int else "decimal"
        raise ApiError(400, f"Invalid {words}: {raw}", code="parameter_invalid_integer", param=where) from None
