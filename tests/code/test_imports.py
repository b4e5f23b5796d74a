"""Imports go down the staircase, and stay out of other rooms' plumbing."""

from pathlib import Path

import pytest

from tests.code.source import PLUMBING, Module, assert_clean, doors, expect, modules, plant, rooms

ORDER = (
    *("operations", "organisation", "insights", "campaigns", "authoring", "learning", "billing", "catalog"),
    *("accounts", "mailing", "contacts", "journal"),
)

# Inside a room: what each part may import from its own room. "words" are all files that are not plumbing.
INSIDE = {
    "views": {"forms", "words", "tasks", "models", "loops"},
    "cli": {"forms", "words", "tasks", "models", "loops"},
    "tasks": {"words", "models", "loops"},
    "loops": {"words", "models"},
    "forms": {"words", "models"},
    "privacy": {"words", "models"},
    "words": {"words", "models"},
    "models": set[str](),
}


def imports_that_go_up(root: Path) -> list[str]:
    """Rooms importing higher rooms, root modules importing rooms, anybody importing a door."""
    stairs, found = rooms(root), []
    doorways = [door.path for door in doors(root)]
    for module in modules(root):
        if module.path in doorways:
            continue
        for node, target in module.imports:
            room = target.split(".")[1] if target.startswith("courseapp.") else ""
            if target in {"courseapp", "worker"}:
                found.append(module.at(node, "imports a door"))
            elif room in stairs and not module.room:
                found.append(module.at(node, f"a root module imports the room {room}"))
            elif room in stairs and module.room in stairs and stairs.index(room) < stairs.index(module.room):
                found.append(module.at(node, f"{module.room} imports {room}, which stands above it"))
    return found


def imports_of_plumbing(root: Path) -> list[str]:
    """Imports of another room's views, forms, tasks, cli, loops, privacy; only operations may name each room's privacy."""
    found = []
    doorways = [door.path for door in doors(root)]
    for module in modules(root):
        for node, target in module.imports:
            room, part = _place(root, target)
            allowed = part == "models" or (module.room == "operations" and part == "privacy") or module.path in doorways
            if room and room != module.room and part in PLUMBING and not allowed:
                found.append(module.at(node, f"{room}/{part}.py is private to {room}"))
    return found


def imports_against_the_grain(root: Path) -> list[str]:
    """Inside a room: edges → words → models, never back."""
    found = []
    for module in modules(root):
        kind = _kind(module.part)
        for node, target in module.imports:
            room, part = _place(root, target)
            if room and room == module.room and part and part != module.part and _kind(part) not in INSIDE[kind]:
                found.append(module.at(node, f"{module.room}/{module.part}.py may not import its room's {part}.py"))
    return found


def rooms_out_of_order(root: Path) -> list[str]:
    """The staircase is the one in docs/architecture.md, and every package is on it."""
    stairs = rooms(root)
    packages = {path.parent.name for path in (root / "courseapp").glob("*/__init__.py")}
    found = [f"courseapp/{name}: not in ROOMS" for name in sorted(packages - set(stairs))]
    if list(stairs) != [name for name in ORDER if name in stairs]:
        found.append("courseapp/__init__.py: ROOMS is not in the order of the staircase")
    return found


def _kind(part: str) -> str:
    return part if part in PLUMBING else "words"


def _place(root: Path, target: str) -> tuple[str, str]:
    """(room, part) of a dotted name; ("", "") outside rooms."""
    parts = target.split(".")
    if len(parts) < 2 or parts[0] != "courseapp" or parts[1] not in rooms(root):
        return "", ""
    return parts[1], parts[2] if len(parts) > 2 else ""


CHECKERS = (imports_that_go_up, imports_of_plumbing, imports_against_the_grain, rooms_out_of_order)


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_application_imports_only_what_it_may(checker):
    assert_clean(checker)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("journal/events.py", "from courseapp.learning.models import X", "stands above"),
        ("journal/events.py", "def f():\n    import courseapp.learning.progress", "stands above"),
        ("journal/events.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from courseapp import learning", "stands above"),
        ("journal/events.py", "from ..learning import progress", "stands above"),
        ("clock.py", "from courseapp.journal.models import Event", "root module"),
        ("learning/progress.py", "from courseapp import create_app", "door"),
        ("learning/views.py", "import worker", "door"),
        ("learning/progress.py", "from courseapp.journal.views import pages", "private"),
        ("learning/progress.py", "from courseapp.journal import privacy", "private"),
        ("learning/progress.py", "from courseapp.learning.forms import X", "may not import"),
        ("learning/progress.py", "from courseapp.learning import views", "may not import"),
        ("learning/tasks.py", "from courseapp.learning import views", "may not import"),
        ("learning/models.py", "from courseapp.learning.progress import x", "may not import"),
        ("stray/__init__.py", "", "not in ROOMS"),
        ("__init__.py", 'ROOMS = ("journal", "learning", "operations")', "order"),
        ("learning/progress.py", "from courseapp.journal.models import Event\nfrom courseapp import clock\nfrom . import models", None),
        ("learning/views.py", "from courseapp.learning import forms, loops, progress, tasks", None),
        ("operations/privacy_page.py", "from courseapp.journal import privacy", None),
        ("__init__.py", 'from courseapp.learning import views\nROOMS = ("operations", "learning", "journal")', None),
    ],
)
def test_a_planted_import_is_judged_rightly(tmp_path, name, text, words):
    parts = {f"courseapp/{room}/{part}.py": "" for room in ("learning", "journal") for part in (*PLUMBING, "progress")}
    root = plant(tmp_path, {**parts, "courseapp/clock.py": "", f"courseapp/{name}": text})
    expect([finding for checker in CHECKERS for finding in checker(root)], words)


def test_a_module_knows_its_room(tmp_path):
    assert Module(tmp_path, tmp_path / "courseapp" / "learning" / "views.py").room == "learning"
    assert Module(tmp_path, tmp_path / "courseapp" / "clock.py").room == ""
