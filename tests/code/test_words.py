"""Words for people go through gettext whole; whatever is switched off says why."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.code.source import Module, assert_clean, calls, expect, modules, plant

GETTEXT = {"_": 1, "_l": 1, "gettext": 1, "lazy_gettext": 1, "ngettext": 2, "lazy_ngettext": 2, "_n": 2}  # how many arguments are texts
SAYS_TO_PEOPLE = {"flash": 0, "Refusal": 0, "abort": 1}  # which argument people read
IGNORE = re.compile(
    r"#\s*(?P<kind>type:\s*ignore|noqa|nosec|pragma:)(?P<code>\[[\w, -]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\s*no cover)?(?P<rest>.*)"
)


def texts_not_whole(root: Path) -> list[str]:
    """gettext called with anything but one literal: no f-string, no sum, no format inside, or translators never see it."""
    found = []
    for module in modules(root, "courseapp"):
        for node, called in calls(module):
            for text in node.args[: GETTEXT.get(called, 0)]:
                if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                    found.append(module.at(node, f"{called}() takes one plain string, not {type(text).__name__}"))
    return found


def texts_past_gettext(root: Path) -> list[str]:
    """Literals said to people as they stand: in flash(), Refusal(), abort(), validators and labels of forms."""
    found = []
    for module in modules(root, "courseapp"):
        for node, called in calls(module):
            place = 0 if called.endswith("Field") and module.part == "forms" else SAYS_TO_PEOPLE.get(called)
            said = [*node.args[place : place + 1]] if place is not None else []
            said += [word.value for word in node.keywords if word.arg in {"label", "description", "message"} and module.part == "forms"]
            if any(isinstance(text, ast.Constant | ast.JoinedStr) and _has_letters(text) for text in said):
                found.append(module.at(node, f"{called}(): words for people go through gettext"))
    return found


def ignores_without_a_reason(root: Path) -> list[str]:
    """`# type: ignore`, `# noqa` and the like without a code, or without a reason behind a second `#`."""
    found = []
    for module in [*modules(root, "courseapp", "tests", "bench", "migrations"), *(Module(root, path) for path in root.glob("*.py"))]:
        for number, line in enumerate(module.text.splitlines(), 1):
            for hit in IGNORE.finditer(line):
                if _is_quoted(line, hit.start()):
                    continue
                if not hit["code"]:
                    found.append(module.at(number, f"{hit['kind']} without a code"))
                elif not re.match(r"\s*#\s*\w.{4,}", hit["rest"]):
                    found.append(module.at(number, f"{hit['kind']}{hit['code']} without a reason behind it"))
    return found


def ruff_rules_off_without_a_reason(root: Path) -> list[str]:
    """Rules switched off in pyproject.toml, each of which has a comment on its own line."""
    file = root / "pyproject.toml"
    if not file.exists():
        return []
    lint = tomllib.loads(file.read_text()).get("tool", {}).get("ruff", {}).get("lint", {})
    found, lines = [], file.read_text().splitlines()
    for name in [*lint.get("ignore", []), *lint.get("per-file-ignores", {})]:
        line = next(line for line in lines if f'"{name}"' in line)
        if not re.search(r"#\s*\S.{4,}", line) and not _follows_a_reason(lines, line):
            found.append(f"pyproject.toml: {name} is switched off without a reason beside it")
    return found


def _follows_a_reason(lines: list[str], line: str) -> bool:
    """One reason may stand for a run of rules of one family that follow it."""
    before = lines[lines.index(line) - 1]
    family = re.match(r'\s*"([A-Z]+)', line)
    return bool(family and re.match(rf'\s*"{family[1]}\d+",\s*#', before)) or (
        bool(family and re.match(rf'\s*"{family[1]}\d+",$', before)) and _follows_a_reason(lines, before)
    )


def _has_letters(text: ast.expr) -> bool:
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and re.search("[a-zA-Z]", part.value) for part in ast.walk(text)
    )


def _is_quoted(line: str, position: int) -> bool:
    return line[:position].count('"') % 2 == 1 or line[:position].count("`") % 2 == 1


CHECKERS = (texts_not_whole, texts_past_gettext, ignores_without_a_reason, ruff_rules_off_without_a_reason)


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_application_minds_its_words(checker):
    assert_clean(checker)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning/views.py", '_(f"Hello {name}")', "JoinedStr"),
        ("learning/views.py", '_("Hello " + name)', "BinOp"),
        ("learning/views.py", '_("Hello {}".format(name))', "Call"),
        ("learning/views.py", 'ngettext("one", many, 3)', "Name"),
        ("learning/views.py", 'flash("Saved.")', "flash()"),
        ("learning/progress.py", 'raise Refusal(f"Not {x}")', "Refusal()"),
        ("learning/forms.py", 'class F:\n    name = StringField("Name")', "StringField()"),
        (
            "learning/forms.py",
            'class F:\n    name = StringField(_l("Name"), validators=[DataRequired(message="Say it")])',
            "DataRequired()",
        ),
        ("learning/progress.py", "x = 1  # type" + ": ignore", "without a code"),
        ("learning/progress.py", "x = 1  # type" + ": ignore[misc]", "without a reason"),
        ("learning/progress.py", "x = 1  # no" + "qa: S101", "without a reason"),
        ("../pyproject.toml", '[tool.ruff.lint]\nignore = [\n    "E501",\n]', "E501"),
        ("learning/progress.py", "x = 1  # no" + "qa: S101  # the library says so itself", None),
        ("learning/views.py", '_("Hello %(name)s", name=name)\nflash(_("Saved."))\nabort(404)', None),
        ("learning/forms.py", 'class F:\n    name = StringField(_l("Name"))', None),
        ("../pyproject.toml", '[tool.ruff.lint]\nignore = [\n    "E501", # long words\n    "E502",\n]', None),
    ],
)
def test_planted_words_are_judged_rightly(tmp_path, name, text, words):
    root = plant(tmp_path, {f"courseapp/{name}": text})
    expect([finding for checker in CHECKERS for finding in checker(root)], words)
