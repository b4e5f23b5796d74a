"""Segments: people chosen by a tree of conditions, always as of now.

A tree is a group, `{"all": [...]}`, `{"any": [...]}` or `{"not": node}`, or a condition, `{"field": key, "op": key, "value": {name: …}}`
with the values that its field and operator take (`segment_fields.py`). `{"all": []}` is everybody. Only confirmed contacts that are
still known to us are ever chosen; whether a mail of some purpose may go to them is asked when it leaves, not here. While a course or a tier
is marked sensitive, only those of them who take another course or agree to marketing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.campaigns.segment_fields import BY_KEY, Expression, learner_who
from courseapp.campaigns.segment_values import ANY, COURSE, TIER, Courses, Present, known_courses
from courseapp.contacts.models import Contact, Purpose
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.site import present_site

DEEPEST = 4  # groups within groups, the outermost is the first; a "not" is none of its own
MOST_NODES = 60
GROUPS = ("all", "any")
TELLING_NOTHING: dict[str, Any] = {
    "any": [
        {"field": "enrolled", "op": "yes", "value": {"course": ANY}},
        {"field": "consent", "op": "given", "value": {"purpose": Purpose.MARKETING.value}},
    ]
}
"""Who can be chosen while a course is marked sensitive: that we know others at all would tell that they take it (decision 0015)."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a tree: where (a JSON pointer, RFC 6901), and in words."""

    path: str
    words: str


@dataclass(frozen=True)
class Look:
    """Whom a tree chooses: how many, and some of them."""

    count: int
    sample: list[Contact]


def problems_of(tree: object, courses: Courses | None = None) -> list[Problem]:
    """Everything that is wrong with a tree, in its order; none where it can be used. At most one query."""
    if _size_of(tree) > MOST_NODES:
        return [Problem("", _("There are too many conditions; at most %(most)s, groups counted too.", most=MOST_NODES))]
    return list(_problems(tree, "", 1, known_courses() if courses is None else courses))


def contacts_in(tree: dict[str, Any], now: datetime) -> sa.Select[int]:
    """The ids of everyone a tree chooses, in no order. Raises Refusal in words where something is wrong with the tree."""
    courses = known_courses()
    if problems := problems_of(tree, courses):
        raise Refusal(_("This segment cannot be used: %(words)s", words=" ".join(problem.words for problem in problems[:3])))
    present = Present(now, present_site().default_zone, courses)
    is_known = (Contact.erased_at.is_(None), Contact.confirmed_at.is_not(None))
    whole = {"all": [TELLING_NOTHING, tree]} if courses.is_walled else tree
    return sa.select(Contact.id).where(*is_known, _expression(whole, present))


def count_of(tree: dict[str, Any], now: datetime) -> int:
    """How many people a tree chooses; raises as `contacts_in`."""
    return int(db.session.scalar(sa.select(sa.func.count()).select_from(contacts_in(tree, now).subquery())) or 0)


def sample_of(tree: dict[str, Any], now: datetime, limit: int = 5) -> list[Contact]:
    """Some of the people a tree chooses, those we have known for the shortest time; raises as `contacts_in`."""
    return look_at(tree, now, limit).sample


def look_at(tree: dict[str, Any], now: datetime, limit: int = 5) -> Look:
    """Both, by looking once; raises as `contacts_in`."""
    # Found first, counted and sorted afterwards: a database that is asked for the newest five alone walks through everybody by age.
    found = contacts_in(tree, now).cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    newest = sa.select(found.c.id).order_by(found.c.id.desc()).limit(limit).subquery()
    count = sa.select(sa.func.count()).select_from(found).scalar_subquery()
    rows = db.session.execute(sa.select(Contact, count).join(newest, newest.c.id == Contact.id).order_by(Contact.id.desc())).all()
    return Look(int(rows[0][1]) if rows else 0, [contact for contact, _count in rows])


def asks_for_courses(tree: dict[str, Any]) -> bool:
    """Whether a tree without problems asks anywhere which courses people take, how far they are, or what they hold."""
    if "field" in tree:
        return not {COURSE, TIER}.isdisjoint(BY_KEY[tree["field"]].about)
    return any(isinstance(child, dict) and asks_for_courses(child) for child in _children(tree))


def _size_of(node: object) -> int:
    """How many groups and conditions there are; stops counting where there are far too many, so that depth and size cost nothing."""
    waiting, count = [node], 0
    while waiting and count <= MOST_NODES:
        here = waiting.pop()
        count += 1
        waiting += list(_children(here))[: MOST_NODES + 1]
    return count


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        for key, inner in node.items():
            if key in GROUPS and isinstance(inner, list):
                yield from inner
            elif key == "not":
                yield inner


def _problems(node: object, path: str, depth: int, courses: Courses) -> Iterator[Problem]:
    if not isinstance(node, dict):
        yield Problem(path, _("This is neither a condition nor a group."))
    elif "field" in node:
        yield from _problems_of_condition(node, path, courses)
    elif len(node) != 1 or next(iter(node)) not in (*GROUPS, "not"):
        yield Problem(path, _("This is neither a condition nor a group."))
    elif depth > DEEPEST:
        yield Problem(path, _("Groups may stand %(most)s deep.", most=DEEPEST))
    else:
        key, inner = next(iter(node.items()))
        if key == "not":
            yield from _problems(inner, f"{path}/not", depth, courses)
        elif not isinstance(inner, list):
            yield Problem(f"{path}/{key}", _("This is neither a condition nor a group."))
        elif not inner and path:
            yield Problem(f"{path}/{key}", _("This group is empty. Please add a condition, or remove the group."))
        elif not inner and key == "any":
            yield Problem(f"{path}/{key}", _("There is no condition yet, and so nobody is chosen."))
        else:
            for number, child in enumerate(inner):
                yield from _problems(child, f"{path}/{key}/{number}", depth + 1, courses)


def _problems_of_condition(node: dict[str, Any], path: str, courses: Courses) -> Iterator[Problem]:
    key = node["field"]
    field = BY_KEY.get(key) if isinstance(key, str) else None
    operator = field.operator(node.get("op")) if field is not None else None
    if field is None or operator is None or set(node) - {"field", "op", "value"}:
        yield Problem(f"{path}/field" if field is None else f"{path}/op", _("Nobody can be chosen by this."))
        return
    given, wanted = node.get("value", {}), field.values_of(operator)
    if not isinstance(given, dict) or set(given) - {value.name for value in wanted}:
        yield Problem(f"{path}/value", _("The values do not belong to this condition."))
        return
    wrong = [(value.name, value.problem_with(given.get(value.name), courses)) for value in wanted]
    yield from (Problem(f"{path}/value/{name}", words) for name, words in wrong if words)
    if not any(words for _name, words in wrong) and "from" in given and given["from"] >= given["to"]:
        yield Problem(f"{path}/value/to", _("The second number of days must be the larger one: it lies further back."))


def _expression(node: dict[str, Any], present: Present) -> sa.ColumnElement[bool]:
    if "field" in node:
        field = BY_KEY[node["field"]]
        return field.expression(node["op"], node.get("value", {}), present)
    key, inner = next(iter(node.items()))
    if key == "not":
        return sa.not_(_expression(inner, present))
    if key == "all":
        rest = (_expression(child, present) for child in inner if _of_enrolment(child) is None)
        return sa.and_(sa.true(), *_asked_of_enrolments(inner, present), *rest)
    return sa.or_(sa.false(), *(_expression(child, present) for child in inner))


def _asked_of_enrolments(nodes: list[dict[str, Any]], present: Present) -> Iterator[sa.ColumnElement[bool]]:
    """What is asked of a person's one enrolment in one course is asked of it at once: each further look for it costs as much.

    These come first. PostgreSQL takes up to eight tables in whichever order it likes and the rest in ours, and they choose the fewest.
    """
    asked: dict[str, list[sa.ColumnElement[bool]]] = {}
    for node in nodes:
        if (of_enrolment := _of_enrolment(node)) is not None:
            asked.setdefault(node["value"]["course"], []).append(of_enrolment(node["op"], node["value"], present))
    return (learner_who(course, present, *conditions) for course, conditions in asked.items())


def _of_enrolment(node: dict[str, Any]) -> Expression | None:
    """What a condition asks of the enrolment in the one course it is about; None where it is not such a one."""
    field = BY_KEY.get(node.get("field", ""))
    return field.of_enrolment if field is not None and field.of_enrolment is not None and node["value"]["course"] != ANY else None
