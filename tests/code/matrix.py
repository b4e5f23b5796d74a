"""The table of who gets which answer: read, held against the routes, and asked. What it says stands in routes.txt.

Checkers return findings, one line each, so that planted tables can show that each is able to find.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.test import TestResponse

from tests.learning.addresses import same_in_all

TABLE = Path(__file__).with_name("routes.txt")
PEOPLE = ("nobody", "guest", "learner", "other", "instructor", "marketer", "owner")
REFUSED = {"sign-in", "403", "404", "410"}
NOTHING, NONE, WROTE = "nothing", "-", "+"
ASKED = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Row:
    """One line: what is asked about which thing, and what each person is to be answered."""

    method: str
    rule: str
    thing: str
    answers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.rule} {self.thing}"


@dataclass(frozen=True)
class Answer:
    """What came back: as the table says it (a status or `sign-in`, and + where something was written), and all of it as text."""

    words: str
    whole: str

    @property
    def has_written(self) -> bool:
        """Whether the database is another one now."""
        return self.words.endswith(WROTE)


def rows_of(text: str) -> Iterator[Row]:
    """The lines of the table. Raises ValueError, with the line, where one has not the right number of columns."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and len(words) != 3 + len(PEOPLE):
            raise ValueError(f"{len(words)} columns instead of {3 + len(PEOPLE)}: {line}")
        if words:
            yield Row(*words[:3], dict(zip(PEOPLE, words[3:], strict=True)))


def routes_of(routes: Map) -> dict[tuple[str, str], Rule]:
    """Every route by its method and address."""
    return {(method, rule.rule): rule for rule in routes.iter_rules() for method in sorted(asked_of(rule))}


def asked_of(rule: Rule) -> set[str]:
    """The methods a route is asked by. HEAD is a GET without its content, but for routes that know no GET."""
    methods = rule.methods or set()
    return methods & ASKED or methods & {"HEAD"}


def gaps(routes: Map, rows: list[Row]) -> list[str]:
    """Routes without a row, rows without a route, rows written twice, and addresses with a thing that have no row where it is missing."""
    known = routes_of(routes)
    things = defaultdict[tuple[str, str], list[str]](list)
    for row in rows:
        things[row.method, row.rule].append(row.thing)
    found = [
        f"{method} {rule} has no row in {TABLE.name}: write what each person is to be answered" for method, rule in known.keys() - things
    ]
    for (method, rule), named in things.items():
        name = f"{method} {rule}"
        if (method, rule) not in known:
            found.append(f"{name} is in {TABLE.name}, but there is no such route")
        elif not known[method, rule].arguments and named != [NONE]:
            found.append(f"{name} is about no thing, so it has one row, with {NONE}")
        elif known[method, rule].arguments and (NONE in named or NOTHING not in named or len(named) < 2):
            found.append(f"{name} needs a row for each kind of thing it can be about, and one for {NOTHING}")
        found += [f"{name} {thing} is written twice" for thing in sorted(set(named)) if named.count(thing) > 1]
    return found


def wrong_answers(rows: list[Row], ask: Callable[[Row, str], Answer]) -> list[str]:
    """Answers other than the table's; refusals that write, or that tell a thing that is there from one that is not; reads that write."""
    found = []
    without: dict[tuple[str, str, str], str] = {}
    for row in sorted(rows, key=lambda row: (row.rule, row.method, row.thing != NOTHING)):  # first what is answered about nothing
        for person, expected in row.answers.items():
            answer = ask(row, person)
            if answer.words != expected:
                found.append(f"{row}: {person} is answered with {answer.words} and not {expected}")
            if answer.has_written and (row.method in {"GET", "HEAD"} or answer.words.removesuffix(WROTE) in REFUSED):
                found.append(f"{row}: {person} is answered with {answer.words}, and nothing may be written then")
            if row.thing == NOTHING:
                without[row.method, row.rule, person] = answer.whole
            elif answer.words in REFUSED and not are_alike(answer.whole, without.get((row.method, row.rule, person), answer.whole)):
                found.append(f"{row}: what {person} is answered tells that the thing is there")
    return found


def are_alike(one: str, other: str) -> bool:
    """Whether two answers are the same but for tokens, moments and numbers of requests."""
    return one == other or same_in_all(one) == same_in_all(other)


def answer_of(given: TestResponse, has_written: bool) -> Answer:
    """What came back, in the table's words."""
    led = (given.location or "").partition("?")[0] if given.status_code in {302, 303} else ""
    headers: list[Any] = sorted(name for name, _value in given.headers if name not in {"Content-Length", "Date", "Set-Cookie"})
    text = given.text if "text" in given.mimetype or "json" in given.mimetype else ""
    whole = f"{given.status_code} {given.location} {headers}\n{text}"
    return Answer(("sign-in" if led.endswith("/sign-in") else str(given.status_code)) + WROTE * has_written, whole)
