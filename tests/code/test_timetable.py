"""Every task that a wake-up or the timetable names exists, and every lock file says one thing."""

import ast
import re
from pathlib import Path

import pytest

from courseapp import load_parts
from courseapp.extensions import celery
from tests.code.source import ROOT, expect


def unknown_tasks(root: Path, known: set[str]) -> list[str]:
    """Task names in WAKES and in worker.py's timetable that no task answers to."""
    found = []
    for name in ("courseapp/__init__.py", "worker.py"):
        for node in ast.walk(ast.parse((root / name).read_text())):
            texts = (
                [value for key, value in zip(node.keys, node.values, strict=True) if _is_task_place(name, key)]
                if isinstance(node, ast.Dict)
                else []
            )
            found += [
                f"{name}:{text.lineno}: no task {text.value!r}"
                for text in texts
                if isinstance(text, ast.Constant) and _is_name(text.value) and text.value not in known
            ]
    return found


def locks_at_odds(running: str, testing: str) -> list[str]:
    """Pins that differ between the two lock files, lines without a hash, and any registry's address."""
    found = []
    pins = [dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE)) for text in (running, testing)]
    found += [f"{name}: {version} to run, {pins[1].get(name)} to test" for name, version in pins[0].items() if pins[1].get(name) != version]
    for text in (running, testing):
        found += [
            f"no hash: {block.splitlines()[0]}"
            for block in re.split(r"\n(?=[A-Za-z])", text)
            if "==" in block and "--hash=sha256:" not in block
        ]
        found += [f"names a registry: {line}" for line in text.splitlines() if re.match(r"\s*(-i |--.*(index|find-links)|.*@ http)", line)]
    return found


def _is_task_place(file: str, key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and (key.value == "task" or file != "worker.py")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", value) is not None


@pytest.mark.one_database
def test_every_task_that_is_named_exists(app):
    load_parts("tasks")
    assert unknown_tasks(ROOT, set(celery.tasks)) == []


def test_the_lock_files_agree():
    assert locks_at_odds((ROOT / "requirements.txt").read_text(), (ROOT / "requirements-dev.txt").read_text()) == []


@pytest.mark.parametrize(("known", "words"), [({"mailing.send_due"}, None), ({"mailing.send"}, "no task 'mailing.send_due'")])
def test_a_planted_timetable_is_judged_rightly(tmp_path, known, words):
    (tmp_path / "courseapp").mkdir()
    (tmp_path / "courseapp" / "__init__.py").write_text('WAKES = {"outbox": "mailing.send_due"}')
    (tmp_path / "worker.py").write_text('schedule = {"all mail": {"task": "mailing.send_due", "schedule": 5.0}}')
    expect(unknown_tasks(tmp_path, known), words)


PIN = "flask=={} \\\n    --hash=sha256:00\n"


@pytest.mark.parametrize(
    ("running", "testing", "words"),
    [
        (PIN.format("3.1"), PIN.format("3.1"), None),
        (PIN.format("3.1"), PIN.format("3.2"), "3.1 to run, 3.2 to test"),
        ("flask==3.1\n", PIN.format("3.1"), "no hash"),
        (PIN.format("3.1"), "--extra-index-url https://packages.test/simple\n" + PIN.format("3.1"), "registry"),
    ],
)
def test_planted_locks_are_judged_rightly(running, testing, words):
    expect(locks_at_odds(running, testing), words)
