"""Publishing a sequence from its folder: an immutable version with its letters. The same files again change nothing."""

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from courseapp.campaigns.models import LatePolicy, Sequence, SequenceStep, SequenceVersion
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.letters import publish_letter

TRIGGERS = {"enrolled"}
GOALS = {"course_completed"}


def publish_sequence(folder: Path, now: datetime, language: str = "en") -> tuple[Sequence, bool]:
    """Publish the sequence of a folder (`sequence.md`, `1.md`, …); True where this made a new version.

    Raises ValueError naming the file and what is wrong in it.
    """
    head, _body = _read(folder / "sequence.md")
    steps = [(path, *_read(path)) for path in sorted(folder.glob("[0-9]*.md"), key=lambda path: int(path.stem))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.md")))).hexdigest()
    sequence = _sequence_of(head, folder, now)
    latest = latest_version(sequence)
    if latest is not None and latest.content_hash == digest:
        return sequence, False
    version = SequenceVersion(
        sequence_id=sequence.id,
        number=(latest.number if latest else 0) + 1,
        content_hash=digest,
        minimum_gap_hours=int(head.get("minimum_gap_hours", 20)),
        late=LatePolicy(head.get("late", "send")),
        published_at=now,
    )
    db.session.add(version)
    db.session.flush()
    for position, (path, front, body) in enumerate(steps):
        try:
            letter = publish_letter(language, str(front["subject"]), str(front.get("preheader", "")), body, now)
            db.session.add(SequenceStep(version_id=version.id, position=position, delay_days=int(front["delay_days"]), letter_id=letter.id))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path.name}: {error}") from error
    return sequence, True


def latest_version(sequence: Sequence) -> SequenceVersion | None:
    """The version new runs begin with."""
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id == sequence.id)
    return db.session.scalar(query.order_by(SequenceVersion.number.desc()).limit(1))


def _sequence_of(head: dict[str, Any], folder: Path, now: datetime) -> Sequence:
    if head.get("trigger") not in TRIGGERS or head.get("goal") not in GOALS | {None}:
        raise ValueError(f"{folder.name}/sequence.md: trigger must be one of {sorted(TRIGGERS)}, goal one of {sorted(GOALS)} or none")
    sequence = db.session.scalar(sa.select(Sequence).where(Sequence.key == head["key"]))
    if sequence is None:
        sequence = Sequence(key=head["key"], title=head["title"], purpose=Purpose(head["purpose"]), trigger=head["trigger"], created_at=now)
        db.session.add(sequence)
    sequence.title, sequence.purpose, sequence.trigger, sequence.goal = (
        head["title"],
        Purpose(head["purpose"]),
        head["trigger"],
        head.get("goal"),
    )
    db.session.flush()
    return sequence


def _read(path: Path) -> tuple[dict[str, Any], str]:
    found = re.match(r"---\n(.*?\n)---\n(.*)", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name}: it does not begin with front matter between two lines of ---")
    return dict(yaml.safe_load(found.group(1))), found.group(2).strip()
