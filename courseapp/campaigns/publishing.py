"""Publishing a sequence from its folder: an immutable version with its letters. The same files again change nothing."""

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from courseapp.campaigns.models import LatePolicy, Sequence, SequenceStep, SequenceVersion
from courseapp.campaigns.references import targets_of
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.letters import publish_letter
from courseapp.mailing.text import Text

TRIGGERS = {"enrolled"}
GOALS = {"course_completed"}


def publish_sequence(folder: Path, now: datetime, language: str = "en") -> tuple[Sequence, bool]:
    """Publish the sequence of a folder (`sequence.md`, `1.md`, …); True where this made a new version.

    Raises ValueError naming the file and what is wrong in it.
    """
    head, _body = _read(folder / "sequence.md")
    steps = [(path, *_read(path)) for path in sorted(folder.glob("[0-9]*.md"), key=_number)]
    if not steps:
        raise ValueError(f"{folder.name}: there is no step; the first is 1.md")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.md")))).hexdigest()
    sequence = _sequence_of(head, folder, now)
    latest = latest_version(sequence)
    if latest is not None and latest.content_hash == digest:
        return sequence, False
    try:
        gap, late = int(head.get("minimum_gap_hours", 20)), LatePolicy(head.get("late", "send"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.name}/sequence.md: {error}") from error
    number = (latest.number if latest else 0) + 1
    version = SequenceVersion(
        sequence_id=sequence.id, number=number, content_hash=digest, minimum_gap_hours=gap, late=late, published_at=now
    )
    db.session.add(version)
    db.session.flush()
    for position, (path, front, body) in enumerate(steps):
        try:
            words = str(front["subject"]), str(front.get("preheader", "")), body
            letter = publish_letter(Text(language, *words, sequence.purpose, targets_of(body)), now)
            days = int(front["delay_days"])
            if days < 0:
                raise ValueError("delay_days counts from the beginning, and cannot be below 0")
            db.session.add(SequenceStep(version_id=version.id, position=position, delay_days=days, letter_id=letter.id))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}: {error}") from error
    return sequence, True


def latest_version(sequence: Sequence) -> SequenceVersion | None:
    """The version new runs begin with."""
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id == sequence.id)
    return db.session.scalar(query.order_by(SequenceVersion.number.desc()).limit(1))


def _sequence_of(head: dict[str, Any], folder: Path, now: datetime) -> Sequence:
    if head.get("trigger") not in TRIGGERS or head.get("goal") not in GOALS | {None}:
        raise ValueError(f"{folder.name}/sequence.md: trigger must be one of {sorted(TRIGGERS)}, goal one of {sorted(GOALS)} or none")
    try:
        key, title, purpose = str(head["key"]), str(head["title"]), Purpose(head["purpose"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{folder.name}/sequence.md: {error}") from error
    sequence = db.session.scalar(sa.select(Sequence).where(Sequence.key == key))
    if sequence is None:
        sequence = Sequence(key=key, title=title, purpose=purpose, trigger=head["trigger"], created_at=now)
        db.session.add(sequence)
    sequence.title, sequence.purpose, sequence.trigger, sequence.goal = title, purpose, head["trigger"], head.get("goal")
    db.session.flush()
    return sequence


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
