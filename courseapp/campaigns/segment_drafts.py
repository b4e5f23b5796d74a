"""A segment while it is being made: the tree in a form, what each button does to it, and the rows in which it is shown.

A form names each group and condition by where it stands (`r`, `r.0`, `r.1.0`), in order, in fields called `node`; what belongs to one is
called `r.0:field` and so on. What was chosen for a field that another has replaced is dropped, and usual values stand in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import MultiDict

from courseapp.campaigns.segment_fields import BY_KEY, FIELDS, Field, Operator
from courseapp.campaigns.segment_values import Kind, Present, Value
from courseapp.campaigns.segments import DEEPEST, MOST_NODES, Problem

Tree = dict[str, Any]
ROOT = "r"
MODES = {
    "all": _l("all of these are true"),
    "any": _l("at least one of these is true"),
    "none": _l("none of these is true"),
    "not_all": _l("not all of these are true"),
}
TREE_OF = {"all": ("all", False), "any": ("any", False), "none": ("any", True), "not_all": ("all", True)}
MODE_OF = {tree: mode for mode, tree in TREE_OF.items()}
FIRST = "consent"  # the condition that a new row begins with


@dataclass(frozen=True)
class Entry:
    """One value of a row: what it is, what stands in it, what may, and what is wrong."""

    value: Value
    given: str
    choices: Mapping[str, Any]
    problem: str


@dataclass(frozen=True)
class Row:
    """One group or condition as a page shows it."""

    path: str
    number: int
    problem: str
    mode: str = ""
    rows: tuple["Row", ...] = ()
    has_room: bool = False
    field: Field | None = None
    operator: Operator | None = None
    about: tuple[Entry, ...] = ()
    entries: tuple[Entry, ...] = ()


def drafted(form: MultiDict[str, str], present: Present) -> Tree:
    """The tree that a form holds; it may yet be wrong, but is of a bounded size."""
    groups: dict[str, list[Tree]] = {}
    tree: Tree = {"all": []}
    for path in form.getlist("node")[: MOST_NODES + 1]:
        parent = path.rpartition(".")[0]
        if path in groups or (path != ROOT and (parent not in groups or len(groups) > MOST_NODES)):
            continue
        mode = form.get(f"{path}:mode", "")
        node = _group(mode, groups.setdefault(path, [])) if mode in MODES else _condition(path, form, present)
        if path != ROOT:
            groups[parent].append(node)
        elif mode in MODES:
            tree = node
    return tree


def changed(tree: Tree, doing: str, present: Present) -> Tree:
    """The tree after a button: `condition:PATH` and `group:PATH` add to a group, `remove:PATH` takes away. Anything else does nothing."""
    what, _colon, path = doing.partition(":")
    inner = _inner_of(tree, path.rpartition(".")[0] if what == "remove" else path)
    if inner is None:
        return tree
    if what == "condition":
        inner.append(_condition("", MultiDict({":field": FIRST}), present))
    elif what == "group":
        inner.append({"any": [_condition("", MultiDict({":field": FIRST}), present)]})
    elif what == "remove":
        number = path.rpartition(".")[2]
        if number.isdecimal() and int(number) < len(inner):
            del inner[int(number)]
    return tree


def rows_of(tree: Tree, problems: list[Problem], present: Present) -> Row:
    """A tree as rows, with what is wrong beside each; a condition alone is shown as a group with one."""
    wrong = {problem.path: problem.words for problem in problems}
    if "field" in tree or ("not" in tree and "field" in tree["not"]):
        wrong = {f"/all/0{path}": words for path, words in wrong.items()}
        tree = {"all": [tree]}
    return _row(tree, ROOT, "", wrong, present)


def _row(node: Tree, path: str, pointer: str, wrong: dict[str, str], present: Present) -> Row:
    number = int(path.rpartition(".")[2]) + 1 if path != ROOT else 1
    if "field" in node:
        return _row_of_condition(node, path, number, pointer, wrong, present)
    inner, is_not = node, False
    while "not" in inner:
        inner, is_not, pointer = inner["not"], not is_not, f"{pointer}/not"
    if "field" in inner:  # not so: shown as a group of which none is true
        row = _row_of_condition(inner, f"{path}.0", 1, pointer, wrong, present)
        return Row(path, number, "", "none" if is_not else "all", (row,), path.count(".") + 1 < DEEPEST)
    key = "all" if "all" in inner else "any"
    rows = tuple(_row(child, f"{path}.{place}", f"{pointer}/{key}/{place}", wrong, present) for place, child in enumerate(inner[key]))
    problem = wrong.get(f"{pointer}/{key}") or wrong.get(pointer, "")
    return Row(path, number, problem, MODE_OF[key, is_not], rows, path.count(".") + 1 < DEEPEST)


def _row_of_condition(node: Tree, path: str, number: int, pointer: str, wrong: dict[str, str], present: Present) -> Row:
    field = BY_KEY[node["field"]]
    operator = field.operator(node["op"])
    assert operator is not None
    given = node.get("value", {})

    def entries(values: tuple[Value, ...]) -> tuple[Entry, ...]:
        return tuple(
            Entry(
                value,
                str(given.get(value.name, "")),
                value.choices(present.courses) if value.choices is not None else {},
                wrong.get(f"{pointer}/value/{value.name}", ""),
            )
            for value in values
        )

    return Row(
        path, number, wrong.get(pointer, ""), field=field, operator=operator, about=entries(field.about), entries=entries(operator.values)
    )


def _condition(path: str, form: MultiDict[str, str], present: Present) -> Tree:
    field = BY_KEY.get(form.get(f"{path}:field", ""), FIELDS[0])
    operator = field.operator(form.get(f"{path}:op")) or field.operators[0]
    given = {}
    for value in field.values_of(operator):
        typed = form.get(f"{path}:{value.name}")
        given[value.name] = value.usual(present.courses, present.today) if typed is None else _typed(value, typed.strip())
    return {"field": field.key, "op": operator.key, "value": given}


def _typed(value: Value, typed: str) -> Any:
    is_number = value.kind is Kind.DAYS and typed.isascii() and typed.isdecimal() and len(typed) < 6
    return int(typed) if is_number else typed[:80]


def _group(mode: str, inner: list[Tree]) -> Tree:
    key, is_not = TREE_OF[mode]
    return {"not": {key: inner}} if is_not else {key: inner}


def _inner_of(tree: Tree, path: str) -> list[Tree] | None:
    """What stands in the group at a path; None where there is none."""
    first, *numbers = path.split(".")
    node: Tree = tree
    for number in ["", *numbers] if first == ROOT else []:
        if number:
            inner = _in(node)
            if inner is None or not number.isdecimal() or int(number) >= len(inner):
                return None
            node = inner[int(number)]
    return _in(node) if first == ROOT else None


def _in(node: Tree) -> list[Tree] | None:
    while "not" in node:
        node = node["not"]
    found: list[Tree] | None = node.get("all", node.get("any"))
    return found
