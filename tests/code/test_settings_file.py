"""`.env.example` names every setting, explains it, and gives its default; and names nothing else."""

import re
from pathlib import Path

import pytest

from courseapp.config import Settings
from courseapp.typed_values import defaults_of
from tests.code.source import ROOT

LINE = re.compile(r"^#? ?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")


def example_findings(text: str, fields: dict[str, str]) -> list[str]:
    """Where an example file and `fields` (name in lower case → default as text) are not equal."""
    found, seen = [], set[str]()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if (hit := LINE.match(line)) is None:
            continue
        name = hit["name"].lower()
        if name in seen:
            found.append(f".env.example:{number}: {hit['name']} stands twice")
        seen.add(name)
        if name not in fields:
            found.append(f".env.example:{number}: {hit['name']} is no setting")
        elif hit["value"].strip("\"'") != fields[name]:
            found.append(f".env.example:{number}: the default of {hit['name']} is {fields[name]!r}, not {hit['value']!r}")
        if not _is_explained(lines, number - 2):
            found.append(f".env.example:{number}: {hit['name']} has no comment above it")
    return found + [f".env.example: {name.upper()} is missing" for name in fields if name not in seen]


def defaults() -> dict[str, str]:
    """Every setting with its default as an environment variable has it."""
    values = defaults_of(Settings)
    return {name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def _is_explained(lines: list[str], above: int) -> bool:
    """Whether the line above is a comment in words; several settings may share one."""
    if above < 0 or not lines[above].strip():
        return False
    return _is_explained(lines, above - 1) if LINE.match(lines[above]) else lines[above].startswith("#") and len(lines[above]) > 8


def test_the_example_file_equals_the_settings():
    file: Path = ROOT / ".env.example"
    assert file.exists(), ".env.example is missing"
    if found := example_findings(file.read_text(), defaults()):
        pytest.fail("\n".join(found), pytrace=False)


FIELDS = {"port": "8000", "redis_url": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# The port to listen on.\nPORT=8000", "REDIS_URL is missing"),
        ("# The port to listen on.\nPORT=80\nREDIS_URL=", "default of PORT"),
        ("# The port to listen on.\nPORT=8000\nREDIS_URL=\nMORE=1", "MORE is no setting"),
        ("PORT=8000\n# Where Redis is.\nREDIS_URL=", "PORT has no comment"),
        ("# The port to listen on.\n#PORT=8000\n\n# Where Redis is.\n# REDIS_URL=", None),
    ],
)
def test_a_planted_example_is_judged_rightly(text, words):
    found = example_findings(text, FIELDS)
    assert any(words in finding for finding in found) if words else found == []
