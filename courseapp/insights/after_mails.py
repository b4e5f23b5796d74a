"""What people did in courses after a mail: counted from people in fives alike, once a day at most, and shown as it was last counted.

Somebody did something where they enrolled, or did a lesson that needs no safety check, within so many days of their mail leaving; they
reached the goal where they finished a course. Courses marked as sensitive stand in none of it. Whether a mail was opened nobody knows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.campaigns.experiments import WITHIN, experiment_of, letters_by_arm
from courseapp.campaigns.models import Arm, Broadcast, Experiment, RunEnd, SequenceRun, SequenceVersion
from courseapp.campaigns.sequence_lists import steps_of
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.extensions import db, insert_into, snapshot
from courseapp.insights.figures import EVERY, days_between
from courseapp.insights.fives import Way, in_fives
from courseapp.insights.models import MailFigures
from courseapp.learning.enrolment import FEWEST
from courseapp.learning.models import Completion, Enrolment
from courseapp.mailing.models import Message, State
from courseapp.mailing.sums import HELD_OUT, Sums, as_kept, from_kept, of_steps, of_stream, sums_of, sums_of_steps

FOLLOWED = timedelta(days=40)  # after the last mail may have left: the longest of WITHIN, and some for a worker that stood still
COUNTED_LIVE = 100_000  # mails
SUMMED_EVERY = timedelta(minutes=9)
LIVELY = timedelta(days=2)  # after a broadcast has ended: so long much may come back
HAVE_ARRIVED = (State.ACCEPTED, State.DELIVERED, State.COMPLAINED)  # as far as we know
HAS_ARRIVED = sa.and_(Message.state.in_(HAVE_ARRIVED), Message.settled_at.is_not(None))
ARMS = tuple(Arm)
"""Of a broadcast that tries something out, in the order of its steps."""
OPEN = "open"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # who only summed mails up has looked at nobody
WAYS = (OPEN, *RunEnd)


@dataclass(frozen=True)
class Mailed:
    """Mails whose readers are followed: which, and which step of how many each is of.

    Arms of a broadcast are `compared`: whoever the lot put into one counts in it, whatever became of their mail, else those who get no
    mail would be other people than those who do; and all are followed from one moment, `since`, when the trial's first mail left. Before
    its last has left, and that is known, nothing is told of them.
    """

    which: sa.ColumnElement[bool]
    step: sa.ColumnElement[int]
    steps: int
    version_id: int | None = None
    compared: bool = False
    since: datetime | None = None


def mails_of_broadcast(broadcast: Broadcast) -> Mailed:
    """The mails of a broadcast, which is one step; where something is tried out each arm is one (`ARMS`)."""
    own, experiment = of_stream(broadcast.stream_id or 0), experiment_of(broadcast)
    if experiment is None:
        return Mailed(own, sa.literal_column("0", sa.Integer), 1)
    places: dict[Any, Any] = {
        letter_id: sa.literal_column(str(ARMS.index(arm))) for arm, letter_id in letters_by_arm(broadcast, experiment).items()
    }
    step = sa.case(
        (sa.and_(Message.state == State.SKIPPED, Message.reason == HELD_OUT), sa.literal_column(str(ARMS.index(Arm.HELD)))),
        else_=sa.case(places, value=Message.letter_id, else_=sa.literal_column(str(len(ARMS)))),  # a letter of no arm
    )
    return Mailed(own, step, len(ARMS), compared=True, since=experiment.since)


def mails_of_version(version_id: int) -> Mailed:
    """The mails of a version of a sequence, by the places of their steps; and the runs that are pinned to it."""
    letters = letters_of(version_id)
    places: dict[Any, Any] = {letter_id: sa.literal_column(str(place)) for place, letter_id in enumerate(letters)}
    step = sa.case(places, value=Message.letter_id, else_=sa.literal_column("0")) if places else sa.literal_column("0", sa.Integer)
    return Mailed(of_steps(letters), step, len(letters), version_id)


def letters_of(version_id: int) -> list[int]:
    """The letters of a version's steps, in their order."""
    return [step.letter_id for step in steps_of(version_id)]


def broadcasts_due(now: datetime) -> list[int]:
    """Broadcasts whose day has come and whose readers may yet do something in time; their ids."""
    is_followed = sa.or_(Broadcast.finished_at.is_(None), Broadcast.finished_at > now - FOLLOWED, MailFigures.looked_at.is_(None))
    # on the day before a trial is judged it is not looked at: it is counted once a day at most, and to be counted at that very moment
    soon = sa.and_(Experiment.better.is_(None), Experiment.judge_at > now, Experiment.judge_at < now + EVERY)
    is_saved_for = sa.and_(MailFigures.looked_at.is_not(None), sa.func.coalesce(soon, sa.false()))
    query = sa.select(Broadcast.id).outerjoin(MailFigures, MailFigures.broadcast_id == Broadcast.id)
    query = query.outerjoin(Experiment, Experiment.broadcast_id == Broadcast.id)
    begun = query.where(Broadcast.snapshot_at.is_not(None), _is_due(now), is_followed, sa.not_(is_saved_for))
    return list(db.session.scalars(begun.order_by(Broadcast.id)))


def versions_due(now: datetime) -> list[int]:
    """Versions of sequences, likewise."""
    is_alive = sa.or_(SequenceRun.ended_at.is_(None), SequenceRun.ended_at > now - FOLLOWED)
    has_runs = sa.select(SequenceRun.id).where(SequenceRun.version_id == SequenceVersion.id, is_alive).exists()
    query = sa.select(SequenceVersion.id).outerjoin(MailFigures, MailFigures.version_id == SequenceVersion.id)
    return list(db.session.scalars(query.where(_is_due(now), has_runs).order_by(SequenceVersion.id)))


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(MailFigures.looked_at.is_(None), MailFigures.looked_at <= now - EVERY)


def recount(mailed: Mailed, counted_at: datetime | None) -> dict[str, int] | None:
    """What they add up to now; None where that is nothing, or fewer than five people have moved since they were last counted.

    Like the figures of a course, it reads beside the session, so that nobody who writes waits for it meanwhile.
    """
    with snapshot() as seen:
        if counted_at is not None and not _have_moved(mailed, counted_at, seen):
            return None
        groups = in_fives(people_of(mailed, seen), lambda way: -way.done)  # the same end first, then the same steps
    names = enumerate(names_of(mailed.steps))
    figures = {name: sum(count for way, count in groups.items() if way.done >> bit & 1) for bit, name in names}
    return figures if any(figures.values()) else None


def names_of(steps: int) -> list[str]:
    """What is told of each person, in the order of the bits of a `Way`."""
    told = [f"{step}:{what}:{days}" for step in range(steps) for what in ("did", "goal") for days in WITHIN]
    return ["entered", *told, *(f"way:{way}" for way in WAYS)]


def people_of(mailed: Mailed, seen: sa.Connection) -> Counter[Way]:
    """What everybody did who did something, as numbers of people alike; one statement: what comes are as many rows as there are kinds."""
    found = _facts(mailed).subquery()
    rungs = {len(WITHIN) - place: days for place, days in enumerate(WITHIN)}  # 3 within a day, 2 within a week, 1 within a month
    marks: list[tuple[str, sa.ColumnElement[int]]] = []
    for step in range(mailed.steps):
        own = found.c.step == step
        for what in ("did", "goal"):
            marks.append((f"{step}:{what}", sa.func.max(sa.case((own, found.c[what]), else_=0))))
    marks.append(("way", sa.func.max(sa.case((found.c.step < 0, found.c.did), else_=0))))
    person = sa.select(*(mark.label(name) for name, mark in marks)).group_by(found.c.contact_id).subquery()
    people: Counter[Way] = Counter()
    bits = {name: 1 << bit for bit, name in enumerate(names_of(mailed.steps))}
    for count, *values in seen.execute(sa.select(sa.func.count(), *person.c).group_by(*person.c)):
        done = 0
        for (name, _mark), value in zip(marks, values, strict=True):
            done |= _bits_of(name, int(value), bits, rungs)
        people[Way(done, 0)] += count
    return people


def _bits_of(name: str, value: int, bits: dict[str, int], rungs: dict[int, int]) -> int:
    """A value of the statement as what is told of the person: within a day is within a week as well."""
    if not value:
        return 0
    if name == "way":
        return bits["entered"] | bits[f"way:{WAYS[value - 1]}"]
    return reduce(int.__or__, (bits[f"{name}:{days}"] for rung, days in rungs.items() if value >= rung))


def _facts(mailed: Mailed) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """SQL: a row for each thing done in time after a mail, and for each run (step -1, `did` says how it stands)."""
    acts, none = _acts(mailed), sa.literal_column("0", sa.Integer)
    days = days_between(acts.c.left_at, acts.c.moment)
    rungs: list[Any] = [(days <= within, sa.literal_column(str(len(WITHIN) - place))) for place, within in enumerate(WITHIN[:-1])]
    rung = sa.case(*rungs, else_=sa.literal_column("1"))
    goal = sa.case((acts.c.is_goal == 1, rung), else_=none)
    in_time = days <= WITHIN[-1]
    done = sa.select(acts.c.contact_id, acts.c.step, rung.label("did"), goal.label("goal")).where(in_time)
    if mailed.version_id is None:
        return done
    ends: list[Any] = [(SequenceRun.end == end, sa.literal_column(str(WAYS.index(end) + 1))) for end in RunEnd]
    way = sa.case((SequenceRun.end.is_(None), sa.literal_column("1")), *ends)
    own = SequenceRun.version_id == mailed.version_id
    return done.union_all(sa.select(SequenceRun.contact_id, sa.literal_column("-1"), way, none).where(own))


def _acts(mailed: Mailed) -> sa.Subquery:
    """SQL: what the readers of the mails that arrived, as far as we know, did since theirs left; of arms, what everybody in them did."""
    no, yes = sa.literal_column("0", sa.Integer), sa.literal_column("1", sa.Integer)
    left_at = _followed_from(mailed)

    def done(moment: Any, is_goal: Any, *tables: tuple[Any, Any]) -> sa.Select[Any]:
        columns = Message.contact_id, mailed.step.label("step"), left_at.label("left_at")
        query = sa.select(*columns, moment.label("moment"), is_goal.label("is_goal")).join(User, User.contact_id == Message.contact_id)
        for table, link in tables:
            query = query.join(table, link)
        return query.where(mailed.which, left_at.is_not(None), Course.sensitive_at.is_(None), moment >= left_at)

    takes = (Enrolment, Enrolment.user_id == User.id), (Course, Course.id == Enrolment.course_id)
    lesson = sa.and_(Lesson.id == Completion.lesson_id, Lesson.needs_check == Need.NONE)
    lessons = (Completion, Completion.user_id == User.id), (Lesson, lesson), (Course, Course.id == Lesson.course_id)
    acts = done(Completion.completed_at, no, *lessons), done(Enrolment.started_at, no, *takes), done(Enrolment.finished_at, yes, *takes)
    return sa.union_all(*acts).subquery("acts")


def _followed_from(mailed: Mailed) -> sa.ColumnElement[Any]:
    """SQL: from when on what somebody does is counted; NULL where it is not."""
    since = sa.literal(mailed.since, Message.settled_at.type) if mailed.since is not None else sa.null()
    arms = [(mailed.step < ARMS.index(Arm.REST), since)] if mailed.compared else []
    return sa.case(*arms, (HAS_ARRIVED, Message.settled_at), else_=sa.null())


def _have_moved(mailed: Mailed, since: datetime, seen: sa.Connection) -> bool:
    """Whether five people have done something since then, or begun or ended a run."""
    acts = _acts(mailed)
    did = sa.select(acts.c.contact_id).where(acts.c.moment > since).distinct()
    moved: sa.Select[Any] | sa.CompoundSelect[Any] = did
    if mailed.version_id is not None:
        is_new = sa.or_(SequenceRun.started_at > since, SequenceRun.ended_at > since)
        moved = did.union(sa.select(SequenceRun.contact_id).where(SequenceRun.version_id == mailed.version_id, is_new))
    return len(seen.scalars(moved.limit(FEWEST)).all()) == FEWEST


def keep(subject: dict[str, int], figures: dict[str, int] | None, now: datetime) -> None:
    """Note that somebody looked, and what there is to tell, if there is. `subject`: `broadcast_id` or `version_id`."""
    values: dict[str, Any] = {"looked_at": now} | ({"figures": figures, "counted_at": now} if figures else {})
    _write(subject, values, {"figures": {}, "sums": {}, **values})


def keep_sums(subject: dict[str, int], sums: dict[str, Any], now: datetime) -> None:
    """Keep sums of mails that no page may count."""
    values = {"sums": sums, "summed_at": now}
    _write(subject, values, {"figures": {}, "looked_at": NEVER, **values})


def _write(subject: dict[str, int], news: dict[str, Any], first: dict[str, Any]) -> None:
    statement = insert_into(MailFigures).values(**subject, **first)
    db.session.execute(statement.on_conflict_do_update(index_elements=list(subject), set_=news))


def kept(**subject: int) -> MailFigures | None:
    """What was last counted of a broadcast (`broadcast_id`) or a version (`version_id`)."""
    return db.session.scalars(sa.select(MailFigures).filter_by(**subject)).one_or_none()


def sums_due(now: datetime) -> list[tuple[int, int]]:
    """Large broadcasts whose sums may have changed: (id, stream). Those that ended long ago change once a day at most."""
    is_lively = sa.or_(Broadcast.finished_at.is_(None), Broadcast.finished_at > now - LIVELY)
    is_old = sa.or_(MailFigures.summed_at.is_(None), sa.and_(is_lively, MailFigures.summed_at <= now - SUMMED_EVERY))
    is_stale = sa.and_(Broadcast.finished_at > now - FOLLOWED, MailFigures.summed_at <= now - EVERY)
    query = sa.select(Broadcast.id, Broadcast.stream_id).outerjoin(MailFigures, MailFigures.broadcast_id == Broadcast.id)
    large = query.where(Broadcast.candidates > COUNTED_LIVE, Broadcast.snapshot_at.is_not(None), sa.or_(is_old, is_stale))
    return [(number, stream_id or 0) for number, stream_id in db.session.execute(large.order_by(Broadcast.id))]


def sums_told(broadcast: Broadcast, last: MailFigures | None) -> tuple[Sums, datetime | None]:
    """The sums of a broadcast's mails: of this moment; or, of a large one, as the worker counted them, and when."""
    if broadcast.candidates > COUNTED_LIVE and last is not None and last.summed_at is not None:
        return from_kept(last.sums), last.summed_at
    return sums_of(of_stream(broadcast.stream_id or 0)), None


def large_sums_of(version_id: int) -> dict[str, Any] | None:
    """The sums of a version's mails by step, as they are kept; None where they are few, and a page counts them itself."""
    letters = letters_of(version_id)
    enough = sa.select(Message.id).where(of_steps(letters)).limit(COUNTED_LIVE + 1).subquery()
    if (db.session.scalar(sa.select(sa.func.count()).select_from(enough)) or 0) <= COUNTED_LIVE:
        return None
    return {str(letter_id): as_kept(sums) for letter_id, sums in sums_of_steps(letters).items()}


def step_sums_told(letters: Sequence[int], last: MailFigures | None) -> tuple[list[Sums], datetime | None]:
    """The sums of a version's mails by step: of this moment; or, of very many, as the worker counted them, and when."""
    if last is not None and last.summed_at is not None:
        return [from_kept(last.sums[str(letter_id)]) for letter_id in letters], last.summed_at
    found = sums_of_steps(letters)
    return [found[letter_id] for letter_id in letters], None
