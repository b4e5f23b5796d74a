"""What came of each arm of a broadcast that tries something out; and which letter was the better one, once its day has come.

It is judged by the same figures that the page shows, which are counted from people in fives: so nobody can tell more from the choice
than from the page. How many got a letter is about mails, and exact.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.campaigns.experiments import Outcome, better_of, experiment_of, letters_by_arm
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Experiment, Measure
from courseapp.extensions import db
from courseapp.insights.after_mails import ARMS, HAVE_ARRIVED, kept, mails_of_broadcast
from courseapp.insights.clicks import link_figures
from courseapp.insights.models import MailFigures
from courseapp.mailing.models import Message, State

CHANCE = 0.05
"""How likely a difference may be that nothing but the lot has made, for it to be called more than chance."""


@dataclass(frozen=True)
class ArmFigures:
    """One arm as it was last counted: how many mails arrived, or how many were held out; how many of these people did what."""

    arm: Arm
    reached: int
    did: int
    finished: int

    @property
    def percent(self) -> int | None:
        """Who did something, in whole per cent; None where nobody was reached."""
        return 100 * self.did // self.reached if self.reached else None


def reached_by_arm(broadcast: Broadcast) -> dict[str, int]:
    """How many mails of each arm have arrived, as far as we know, or how many were held out; named as figures are."""
    mailed = mails_of_broadcast(broadcast)
    counts = sa.select(mailed.step.label("step"), sa.func.count()).where(mailed.which, Message.state.in_((*HAVE_ARRIVED, State.SKIPPED)))
    held = ARMS.index(Arm.HELD)
    is_told = sa.or_(Message.state != State.SKIPPED, mailed.step == held)
    rows = dict(db.session.execute(counts.where(is_told).group_by(sa.text("1"))).all())
    return {f"{step}:reached": int(rows.get(step, 0)) for step in range(len(ARMS))}


def arms_told(experiment: Experiment, figures: dict[str, int], days: int) -> list[ArmFigures]:
    """The arms as they were last counted; those that nobody is in are left out."""
    found = [
        ArmFigures(arm, figures.get(f"{step}:reached", 0), figures.get(f"{step}:did:{days}", 0), figures.get(f"{step}:goal:{days}", 0))
        for step, arm in enumerate(ARMS)
    ]
    return [row for row in found if row.reached]


def is_chance(one: ArmFigures, other: ArmFigures) -> bool:
    """Whether what people did in two arms may well differ by chance alone (test of two proportions, both sides)."""
    together = one.reached + other.reached
    share = (one.did + other.did) / together if together else 0.0
    spread = math.sqrt(share * (1 - share) * (1 / one.reached + 1 / other.reached)) if one.reached and other.reached else 0.0
    if not spread:
        return True
    distance = abs(one.did / one.reached - other.did / other.reached) / spread
    return math.erfc(distance / math.sqrt(2)) >= CHANCE


def trials_due(now: datetime) -> list[int]:
    """The broadcasts whose letters are to be judged, and whose readers were counted since their day came; their ids."""
    query = sa.select(Broadcast.id).join(Experiment, Experiment.broadcast_id == Broadcast.id)
    query = query.join(MailFigures, MailFigures.broadcast_id == Broadcast.id)
    is_due = sa.and_(Broadcast.state == BroadcastState.TRYING, Experiment.judge_at <= now, MailFigures.looked_at >= Experiment.judge_at)
    return list(db.session.scalars(query.where(is_due).order_by(Broadcast.id)))


def better_letter(broadcast: Broadcast, now: datetime) -> Arm:
    """Which letter did better, by the measure that was chosen; the first where nothing can be told."""
    experiment, last, reached = experiment_of(broadcast), kept(broadcast_id=broadcast.id), reached_by_arm(broadcast)
    assert experiment is not None
    letters, figures = letters_by_arm(broadcast), last.figures if last is not None else {}
    people = {arm: reached[f"{ARMS.index(arm)}:reached"] for arm in (Arm.FIRST, Arm.SECOND)}
    if experiment.measure is Measure.CLICKS:
        links = link_figures({letters[arm]: count for arm, count in people.items()}, now.date())
        counts = {arm: sum(row.total for row in links[letters[arm]]) for arm in people}
    else:
        what = "goal" if experiment.measure is Measure.FINISHED else "did"
        counts = {arm: figures.get(f"{ARMS.index(arm)}:{what}:{experiment.within_days}", 0) for arm in people}
    return better_of(*(Outcome(people[arm], counts[arm]) for arm in people))
