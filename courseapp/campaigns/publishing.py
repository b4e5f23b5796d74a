"""Sequences in files: a folder is read into the same draft that pages write, and goes the same way. The same files again change nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from babel import Locale, UnknownLocaleError

from courseapp.campaigns.models import Condition, Goal, LatePolicy, Sequence, Trigger
from courseapp.campaigns.sequence_drafts import keep_draft, new_sequence, publish
from courseapp.campaigns.sequence_problems import SequenceProblem, problems_of
from courseapp.campaigns.sequence_shapes import ALL_DAY, SequenceDraft, StepDraft, latest_version, said_by
from courseapp.campaigns.translations import Translation, Translations, with_translation
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import EVERY_DAY, Window
from courseapp.errors import Refusal
from courseapp.extensions import db

HEAD = "sequence.md"


def publish_sequence(folder: Path, now: datetime) -> tuple[Sequence, bool]:
    """Publish the sequence of a folder (`sequence.md`, `1.md`, …); True where this made a new version.

    Raises ValueError naming the file and what is wrong in it.
    """
    _key, draft = read_sequence(folder)
    if words := list(_said_of_files(folder, draft)):
        raise ValueError("\n".join(words))
    sequence = draft_sequence(folder, now)
    latest = latest_version(sequence)
    if latest is not None and said_by(latest) == draft:
        return sequence, False
    try:
        version = publish(sequence, None, now)
    except Refusal as refusal:
        raise ValueError(f"{folder.name}/{HEAD}: {refusal.words}") from refusal
    return sequence, latest is None or version.id != latest.id


def bring_in(folder: Path, now: datetime) -> None:
    """What a new installation does with a folder: course mail is published, what offers something waits for staff as a draft.

    One that is there may have been changed by page, and stays as it is.
    """
    key, draft = read_sequence(folder)
    if sequence_of_key(key) is None:
        if draft.purpose is Purpose.COURSE:
            publish_sequence(folder, now)
        else:
            draft_sequence(folder, now)


def draft_sequence(folder: Path, now: datetime) -> Sequence:
    """Bring the sequence of a folder in as a draft, over what was the draft; staff publish it. Raises ValueError in words."""
    key, draft = read_sequence(folder)
    sequence = sequence_of_key(key)
    if sequence is None:
        return new_sequence(draft, None, now, key)
    try:
        keep_draft(sequence, draft, sequence.draft_version, None, now)
    except Refusal as refusal:
        raise ValueError(f"{folder.name}/{HEAD}: {refusal.words}") from refusal
    return sequence


def sequence_of_key(key: str) -> Sequence | None:
    """The sequence that files call by this name, or None."""
    return db.session.scalar(sa.select(Sequence).where(Sequence.key == key))


def read_sequence(folder: Path) -> tuple[str, SequenceDraft]:
    """What the files of a folder say: the sequence's key, and the draft. Raises ValueError naming the file and what is wrong in it."""
    head, _body = _read(folder / HEAD)
    steps = [(path, *_read(path)) for path in _files_of(folder)]
    translations = _translations_of(folder, str(head.get("language", "en")))
    place = f"{folder.name}/{HEAD}"
    if not steps:
        raise ValueError(f"{folder.name}: there is no step; the first is 1.md")
    for name, kind in (("trigger", Trigger), ("goal", Goal)):
        if head.get(name) not in {*kind} | ({None} if name == "goal" else set()):
            raise ValueError(f"{place}: {name} must be one of {sorted(kind)}{' or none' if name == 'goal' else ''}")
    try:
        return str(head["key"]), SequenceDraft(
            title=str(head["title"]),
            purpose=Purpose(head["purpose"]),
            language=str(head.get("language", "en")),
            trigger=Trigger(head["trigger"]),
            trigger_days=int(head["trigger_days"]) if "trigger_days" in head else None,
            course_slug=str(head["course"]) if head.get("course") else None,
            lesson_key=str(head["lesson"]) if head.get("lesson") else None,
            goal=Goal(head["goal"]) if head.get("goal") else None,
            tier_key=str(head["tier"]) if head.get("tier") else None,
            goal_tier_key=str(head["goal_tier"]) if head.get("goal_tier") else None,
            window=_window(head["window"]) if "window" in head else ALL_DAY,
            weekdays="".join(sorted(str(head.get("weekdays", EVERY_DAY)))),
            minimum_gap_hours=int(head.get("minimum_gap_hours", 20)),
            late=LatePolicy(head.get("late", "send")),
            steps=tuple(replace(_step(*step), translations=translations.get(_number(step[0]), ())) for step in steps),
        )
    except KeyError as error:
        raise ValueError(f"{place}: {error.args[0]} is missing") from error
    except _InStep as error:
        raise ValueError(str(error)) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error


class _InStep(ValueError):
    """Something wrong in a step's file, which the message names."""


def _step(path: Path, front: dict[str, Any], body: str) -> StepDraft:
    try:
        condition = Condition(front["condition"]) if front.get("condition") else None
        return StepDraft(int(front["delay_days"]), condition, str(front["subject"]), str(front.get("preheader", "")), body)
    except KeyError as error:
        raise _InStep(f"{path.name}: {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise _InStep(f"{path.name}: {error}") from error


def _translations_of(folder: Path, original: str) -> dict[int, Translations]:
    """What the letters say in other languages, by their numbers: of `1.de.md` and the like.

    Languages that the site does not offer come in too: a folder that was written for many sites stays one folder, and whoever reads
    such a language gets it. Raises ValueError naming the file.
    """
    found: dict[int, Translations] = {}
    numbers = {_number(path) for path in _files_of(folder)}
    for path in sorted(folder.glob("[0-9]*.*.md")):
        number, _dot, tag = path.stem.partition(".")
        if not number.isdecimal() or not _is_language(tag):
            raise ValueError(f"{path.name}: a letter in another language is named by its number and the language, such as 1.de.md")
        if int(number) not in numbers:
            raise ValueError(f"{path.name}: there is no {number}.md which it translates")
        if tag == original:
            raise ValueError(f"{path.name}: the sequence is written in “{tag}” already; put these words into {number}.md")
        found[int(number)] = with_translation(found.get(int(number), ()), _translation(path, tag))
    return found


def _is_language(tag: str) -> bool:
    try:
        return str(Locale.parse(tag, sep="-")).replace("_", "-") == tag
    except (ValueError, UnknownLocaleError):
        return False


def _translation(path: Path, tag: str) -> Translation:
    front, body = _read(path)
    if more := sorted(str(name) for name in front.keys() - {"subject", "preheader"}):
        raise ValueError(f"{path.name}: {more[0]} belongs to the letter itself; a translation has subject, preheader and its text")
    if "subject" not in front:
        raise ValueError(f"{path.name}: subject is missing")
    return Translation(tag, str(front["subject"]), str(front.get("preheader", "")), body)


def _window(words: Any) -> Window:
    """`09:00-18:00`"""
    start, _dash, end = str(words).replace("–", "-").partition("-")
    return Window(time.fromisoformat(start.strip()), time.fromisoformat(end.strip()))


def _said_of_files(folder: Path, draft: SequenceDraft) -> Iterator[str]:
    """What keeps a draft from being published, file by file, with the lines that an editor shows."""
    found = [problem for problem in problems_of(draft) if not problem.is_warning]
    yield from (f"{folder.name}/{HEAD}: {problem.words}" for problem in found if problem.step is None)
    for number, path in enumerate(_files_of(folder), 1):
        step = draft.steps[number - 1]
        files = {"": (path, step.body)} | {each.language: (_in_language(path, each.language), each.body) for each in step.translations}
        for language, (file, body) in files.items():
            before = _lines_before(file, body)
            own = (problem for problem in found if problem.step == number and _language_of(problem) == language)
            if said := [_words_in_file(problem, before) for problem in own]:
                yield f"{file.name}: {'; '.join(said)}"


def _language_of(problem: SequenceProblem) -> str:
    return problem.letter.language if problem.letter else ""


def _in_language(path: Path, language: str) -> Path:
    return path.with_name(f"{path.stem}.{language}.md")


def _words_in_file(problem: SequenceProblem, before: int) -> str:
    return str(replace(problem.letter, line=problem.letter.line + before, language="")) if problem.letter else problem.words


def _lines_before(path: Path, body: str) -> int:
    """How many lines of a file stand before its text, so that problems name the line that an editor shows."""
    whole = path.read_text(encoding="utf-8")
    return whole.count("\n", 0, max(0, whole.find(body)))


def _files_of(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("[0-9]*.md") if "." not in path.stem), key=_number)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    found = re.match(r"---\n(.*?\n)---\n(.*)", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name}: it does not begin with front matter between two lines of ---")
    try:
        front = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(front, dict):
        raise ValueError(f"{path.name}: its front matter is no list of fields")
    return front, found.group(2).strip()


def _number(path: Path) -> int:
    if not path.stem.isdecimal():
        raise ValueError(f"{path.name}: a step's file is named by its number alone, such as 1.md")
    return int(path.stem)
