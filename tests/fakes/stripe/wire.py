"""How Stripe's API looks on the wire: nested form bodies, error bodies, pages of lists."""

import re
from typing import Any
from urllib.parse import parse_qsl

Thing = dict[str, Any]  # an object of the API, as its JSON

KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
LARGEST_PAGE = 100
DOCS = "https://docs.stripe.com/error-codes/"


class ApiError(Exception):
    """An answer that is an error, with Stripe's type and code."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        facts = {"code": code, "doc_url": code and DOCS + code.replace("_", "-"), "message": message, "param": param, "type": type, **more}
        self.body: Thing = {"error": {name: value for name, value in facts.items() if value is not None}}


def nested(form: str) -> Thing:
    """`a[b][0]=c` as {"a": {"b": {"0": "c"}}}. Whether that is a list says the type the parameter has, not the wire."""
    made: Thing = {}
    for key, value in parse_qsl(form, keep_blank_values=True):
        found = KEY.fullmatch(key)
        if found is None:
            raise ApiError(400, f"Invalid parameter name: {key}", param=key)
        _put(made, [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])], value, key)
    return made


def _put(made: Thing, path: list[str], value: str, key: str) -> None:
    for step in path[:-1]:
        made = made.setdefault(step or str(len(made)), {})
        if not isinstance(made, dict):
            raise ApiError(400, f"Invalid parameter: {key} is given both as a value and as a hash", param=key)
    made[path[-1] or str(len(made))] = value


def page(things: list[Thing], params: Thing, url: str) -> Thing:
    """One page of a list whose newest stands first. Raises ApiError for a limit or cursor that is none."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= LARGEST_PAGE:
        words = "greater than or equal to 1" if limit < 1 else f"less than or equal to {LARGEST_PAGE}"
        raise ApiError(400, f"This value must be {words}.", param="limit", code="parameter_invalid_integer")
    if "ending_before" in params:
        before = things[: _place(things, params, "ending_before")]
        return _list(before[-limit:], len(before) > limit, url)
    after = things[_place(things, params, "starting_after") + 1 :] if "starting_after" in params else things
    return _list(after[:limit], len(after) > limit, url)


def _place(things: list[Thing], params: Thing, name: str) -> int:
    for place, thing in enumerate(things):
        if thing["id"] == params[name]:
            return place
    raise ApiError(400, f"No such object: '{params[name]}'", code="resource_missing", param=name)


def _list(data: list[Thing], has_more: bool, url: str) -> Thing:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def within(moment: int, span: int | Thing | None) -> bool:
    """Whether a moment is in a `created`-like filter: a number, or gt, gte, lt, lte."""
    if span is None:
        return True
    if isinstance(span, int):
        return moment == span
    tests = {"gt": moment.__gt__, "gte": moment.__ge__, "lt": moment.__lt__, "lte": moment.__le__}
    return all(tests[name](bound) for name, bound in span.items())
