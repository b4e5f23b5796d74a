"""Which function answers which path of the API, with which parameters."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.stripe import expanding, validation
from tests.fakes.stripe.books import Books, with_metadata
from tests.fakes.stripe.wire import ApiError, Thing, page

PAGING = frozenset({"limit", "starting_after", "ending_before", "expand"})


@dataclass(frozen=True)
class Given:
    """What a request gave: the id in its path, and its parameters, checked."""

    id: str
    params: Thing


Answer = Callable[[Books, Given], Any]


@dataclass(frozen=True)
class Route:
    """One operation. `takes` are the parameters it heeds: what the types allow beyond them is refused, never ignored."""

    method: str
    path: re.Pattern[str]
    params: Any
    takes: frozenset[str]
    answer: Answer


ROUTES: list[Route] = []


def route(where: str, params: Any, takes: str = "") -> Callable[[Answer], Answer]:
    """Let a function answer `GET /v1/prices/{id}`. One that returns a list is answered in pages."""
    method, _, path = where.partition(" ")
    pattern = re.compile(re.escape(path).replace(r"\{id\}", r"(?P<id>[^/]+)"))

    def register(answer: Answer) -> Answer:
        ROUTES.append(Route(method, pattern, params, frozenset(takes.split()) | PAGING, answer))
        return answer

    return register


def answer(books: Books, method: str, path: str, raw: Thing) -> Callable[[], Thing]:
    """Check a request and return what carries it out; so a refusal comes before anything is begun. Raises ApiError."""
    found, given = _found(method, path, raw)
    params = given.params

    def carry_out() -> Thing:
        with books.lock:
            result = found.answer(books, given)
            if isinstance(result, list):
                empty = any(path.startswith(start) for start in books.settings["empty"])
                result = page([] if empty else result, params, path)
            return expanding.expanded(books, result, params.get("expand", []))

    return carry_out


def _found(method: str, path: str, raw: Thing) -> tuple[Route, Given]:
    for candidate in ROUTES:
        if candidate.method == method and (match := candidate.path.fullmatch(path)):
            params = validation.checked(raw, candidate.params)
            if unheeded := sorted(params.keys() - candidate.takes):
                words = f"The fake server does not do '{unheeded[0]}' at {method} {path}. Stripe does."
                raise ApiError(400, words, code="not_in_the_fake", param=unheeded[0])
            return candidate, Given(match.groupdict().get("id", ""), params)
    words = f"Unrecognized request URL ({method}: {path}). The fake server has no such path; Stripe may."
    raise ApiError(404, words)


def apply(thing: Thing, given: Given, *names: str) -> None:
    """Set fields that stand in the parameters; an empty string unsets."""
    for name in names:
        if name in given.params:
            thing[name] = None if given.params[name] == "" else given.params[name]
    with_metadata(thing, given.params)


def without_expand(params: Thing) -> Thing:
    """The parameters that say something of the object itself."""
    return {name: value for name, value in params.items() if name != "expand"}
