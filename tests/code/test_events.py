"""Every type of event is either one of staff, and has words in the list of who did what; or it is one of learners, and is in no list."""

import ast
import re
from pathlib import Path

from courseapp.journal.models import OF_LEARNERS
from courseapp.operations.audit_words import MATTERS, WORDS
from courseapp.operations.support import ACTIONS
from tests.code.source import ROOT, expect, modules, plant

RECORDERS = {"record", "note", "note_change", "_note", "note_act", "_decide"}
NO_TYPES = {"settled_at"}
TYPE = re.compile(r"[a-z]+(_[a-z]+)+")
FORMATTED = {"consent_given", "consent_withdrawn", "mail_bounced", "mail_complained"}  # put together where they are recorded


def types_without_words(root: Path, known: set[str]) -> list[str]:
    """Types that something records and that nobody would ever read of, nor decided that nobody should."""
    found = []
    for module in modules(root, "courseapp"):
        for node in module.nodes:
            if isinstance(node, ast.Call) and _name(node.func) in RECORDERS:
                words = [part for argument in node.args[:3] for part in ast.walk(argument) if isinstance(part, ast.Constant)]
                types = [str(word.value) for word in words if TYPE.fullmatch(str(word.value)) and word.value not in NO_TYPES]
                found += [module.at(node, f"{name} has no words in audit_words.py") for name in types if name not in known]
    return found


def _name(function: ast.expr) -> str:
    """What is called; `report.note(…)` is no event."""
    if isinstance(function, ast.Attribute):
        return "" if isinstance(function.value, ast.Name) and function.value.id == "report" else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_every_type_of_event_has_words_or_is_of_learners():
    assert types_without_words(ROOT, {*WORDS, *OF_LEARNERS}) == []
    assert set(OF_LEARNERS) >= FORMATTED


def test_a_type_without_words_is_found(tmp_path):
    text = 'events.record("thing_done" if new else "thing_undone", "thing:1", now)\nreport.note("a_line", 1)\n_note(1, "thing_lost", by)'
    found = types_without_words(plant(tmp_path, {"courseapp/learning/things.py": text}), {"thing_done"})
    expect(found, "thing_undone")
    expect(found, "thing_lost")
    assert len(found) == 2


def test_no_type_stands_twice_and_none_of_learners_has_words():
    assert sum(len(words) for words in MATTERS.values()) == len(WORDS)
    assert not set(WORDS) & set(OF_LEARNERS)


def test_whatever_a_learner_reads_of_staff_stands_in_the_list_of_who_did_what():
    assert set(ACTIONS) <= set(WORDS)
