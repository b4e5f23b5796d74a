"""Rooms say what they are, files have business names, everything is of a readable size."""

import ast
import re
from pathlib import Path

import pytest

from tests.code.source import PLUMBING, Module, assert_clean, calls, expect, modules, plant, rooms

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONGEST_TASK = 10
VAGUE_FILES = re.compile(r"(^|_)(services?|utils?|helpers?|managers?|common|misc|tools?)$")
VAGUE_NAMES = re.compile(r"^_?(get|handle|process)_|(^|_)(manager|utils?|helpers?)$|Manager$")
GIVEN_NAMES = {
    "get_id": "flask-login calls it",
    "process_bind_param": "SQLAlchemy's TypeDecorator",
    "process_result_value": "as above",
    "process_formdata": "WTForms' Field",
    "process_data": "as above",
    "get_command": "click's Group",
    "get_expiry": "the Storage of limits",
    "get_bind": "SQLAlchemy's Session",
}


def rooms_that_do_not_say_what_they_are(root: Path) -> list[str]:
    """Every room's `__init__.py` is a docstring alone: owns …, may ask …, never …."""
    found = []
    for room in rooms(root):
        module = Module(root, root / "courseapp" / room / "__init__.py")
        said = (ast.get_docstring(module.tree) or "").lower()
        found += [module.at(1, f'does not say "{words}"') for words in ("owns", "may ask", "never") if words not in said]
        if len(module.tree.body) > 1:
            found.append(module.at(module.tree.body[1], "holds more than its docstring"))
    return found


def vague_names(root: Path) -> list[str]:
    """Files and functions named for nothing in particular."""
    found = []
    for module in modules(root):
        if VAGUE_FILES.search(module.part):
            found.append(module.at(1, f"{module.part}.py is no business word"))
        for node in module.nodes:
            is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name not in GIVEN_NAMES
            if is_named and VAGUE_NAMES.search(node.name):
                found.append(module.at(node, f"{node.name}: say what it decides or changes"))
    return found


def too_long(root: Path) -> list[str]:
    """Files, functions and tasks beyond their bounds; docstrings and decorators do not count."""
    found = []
    for module in modules(root):
        lines = module.text.count("\n")
        if lines > LONGEST_FILE:
            found.append(module.at(1, f"{lines} lines; a file has at most {LONGEST_FILE}"))
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                bound = LONGEST_TASK if module.room and module.part == "tasks" else LONGEST_FUNCTION
                if (length := _length(node)) > bound:
                    found.append(module.at(node, f"{node.name} has {length} lines; at most {bound}"))
    return found


def keys_that_point_up(root: Path) -> list[str]:
    """Foreign keys and relationships to higher rooms, and the lower side of a relationship named at all."""
    stairs = rooms(root)
    models = [module for module in modules(root) if module.part == "models" and module.room in stairs]
    tables = {table: module.room for module in models for table in _tables(module)}
    classes = {node.name: module.room for module in models for node in module.tree.body if isinstance(node, ast.ClassDef)}
    found = []
    for module in models:
        own = stairs.index(module.room)
        for node in module.nodes:
            for room in _rooms_pointed_at(node, tables, classes):
                if stairs.index(room) < own:
                    found.append(module.at(node, f"points up, to {room}"))
                elif room != module.room and "back_populates" in ast.unparse(node):
                    found.append(module.at(node, f"back_populates into the lower room {room}"))
        for node, called in calls(module):
            if called == "relationship" and any(word.arg == "backref" for word in node.keywords):
                found.append(module.at(node, "backref writes into the other class"))
    return found


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1


def _tables(module: Module) -> list[str]:
    return re.findall(r'^    __tablename__ = "(\w+)"', module.text, re.MULTILINE)


def _rooms_pointed_at(node: ast.AST, tables: dict[str, str], classes: dict[str, str]) -> set[str]:
    """The rooms of the table of a ForeignKey("table.column") and of the class of `x: Mapped[Class] = relationship(…)`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ForeignKey") and isinstance(node.args[0], ast.Constant):
        return {tables[table] for table in [str(node.args[0].value).partition(".")[0]] if table in tables}
    if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith("relationship"):
        words = re.findall(r"\w+", ast.unparse(node.annotation) + " " + " ".join(ast.unparse(part) for part in node.value.args))
        return {classes[word] for word in words if word in classes}
    return set()


CHECKERS = (rooms_that_do_not_say_what_they_are, vague_names, too_long, keys_that_point_up)
MODEL = """class {name}(Model):
    __tablename__ = "{table}"
    other_id = sa.ForeignKey("{key}.id")
    other: Mapped["{other} | None"] = relationship({more})
"""


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_application_is_in_good_order(checker):
    assert_clean(checker)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning/__init__.py", '"""Owns lessons. May ask journal."""', '"never"'),
        ("learning/__init__.py", '"""Owns it, may ask one, never two."""\nfrom x import y', "more than its docstring"),
        ("learning/progress_utils.py", "", "no business word"),
        ("learning/services.py", "", "no business word"),
        ("learning/progress.py", "def get_progress(): pass", "say what it decides"),
        ("learning/progress.py", "class ProgressManager: pass", "say what it decides"),
        ("learning/progress.py", "x = 1\n" * 401, "401 lines"),
        ("learning/progress.py", "def f():\n" + "    x = 1\n" * 41, "41 lines"),
        ("learning/tasks.py", "def f():\n" + "    x = 1\n" * 11, "11 lines"),
        ("journal/models.py", MODEL.format(name="Event", table="events", key="lessons", other="Event", more=""), "points up"),
        ("journal/models.py", MODEL.format(name="Event", table="events", key="events", other="Lesson", more=""), "points up"),
        (
            "learning/models.py",
            MODEL.format(name="Lesson", table="lessons", key="events", other="Event", more='back_populates="x"'),
            "lower room",
        ),
        ("learning/models.py", MODEL.format(name="Lesson", table="lessons", key="events", other="Event", more='backref="x"'), "backref"),
        ("learning/models.py", MODEL.format(name="Lesson", table="lessons", key="events", other="Event", more=""), None),
        ("learning/tasks.py", 'def f():\n    """Long.\n' + "    words\n" * 30 + '    """\n' + "    x = 1\n" * 10, None),
        ("learning/progress.py", "def target_of(): pass\ndef processed(): pass", None),
    ],
)
def test_a_planted_room_is_judged_rightly(tmp_path, name, text, words):
    lesson = MODEL.format(name="Lesson", table="lessons", key="lessons", other="Lesson", more="")
    event = MODEL.format(name="Event", table="events", key="events", other="Event", more="")
    root = plant(tmp_path, {"courseapp/learning/models.py": lesson, "courseapp/journal/models.py": event, f"courseapp/{name}": text})
    expect([finding for checker in CHECKERS for finding in checker(root)], words)


def test_plumbing_has_the_seven_names():
    assert len(PLUMBING) == 7
