"""What came of each arm of a broadcast that tries something out; and which letter was the better one, once its day has come.

It is judged by the figures that the page shows, which are counted from people in fives: so nobody can tell more from the choice than from
the page. For how many people an arm was is about mails, and exact.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.campaigns.experiments import Outcome, experiment_of, letters_by_arm
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Experiment, Measure
from courseapp.extensions import db
from courseapp.insights.after_mails import ARMS, HAS_ARRIVED, kept, mails_of_broadcast
from courseapp.insights.clicks import link_figures
from courseapp.insights.models import MailFigures
from courseapp.learning.enrolment import FEWEST
from courseapp.site import present_site

CHANCE = 0.05
"""How likely a difference may be that nothing but the lot has made, for it to be called more than chance."""
UNTOLD = FEWEST - 1  # people who did something and stand in no five, at least


@dataclass(frozen=True)
class ArmFigures:
    """One arm as it was last counted: for how many people it was, and how many of them did what."""

    arm: Arm
    people: int
    did: int
    finished: int

    @property
    def percent(self) -> int | None:
        """Who did something, in whole per cent; None for an arm without people."""
        return 100 * self.did // self.people if self.people else None

    def outcome(self, measure: Measure) -> Outcome:
        """What counts by a measure, as far as it is about people."""
        return Outcome(self.people, self.finished if measure is Measure.FINISHED else self.did)


def people_by_arm(broadcast: Broadcast) -> dict[str, int]:
    """How many people the lot has put into each arm, named as figures are; of the rest those whose mail has arrived, as far as we know."""
    mailed = mails_of_broadcast(broadcast)
    is_told = sa.or_(mailed.step < ARMS.index(Arm.REST), HAS_ARRIVED)
    counts = sa.select(mailed.step.label("step"), sa.func.count()).where(mailed.which, is_told).group_by(sa.text("1"))
    rows = dict(db.session.execute(counts).all())
    return {f"{step}:people": int(rows.get(step, 0)) for step in range(len(ARMS))}


def arms_told(figures: dict[str, int], days: int) -> dict[Arm, ArmFigures]:
    """The arms as they were last counted; those that nobody is in are left out."""
    found = [
        ArmFigures(arm, figures.get(f"{step}:people", 0), figures.get(f"{step}:did:{days}", 0), figures.get(f"{step}:goal:{days}", 0))
        for step, arm in enumerate(ARMS)
    ]
    return {row.arm: row for row in found if row.people}


def is_chance(one: Outcome, other: Outcome) -> bool:
    """Whether what two arms came to may well differ by chance alone (test of two proportions, both sides).

    What is counted in fives leaves people out, in each arm others. So it is tested as if the arm with the smaller share had all of them.
    """
    if not one.people or not other.people:
        return True
    low, high = sorted((one, other), key=lambda arm: arm.count / arm.people)
    shares = min(low.people, low.count + UNTOLD) / low.people, high.count / high.people
    together = (shares[0] * low.people + shares[1] * high.people) / (low.people + high.people)
    spread = math.sqrt(together * (1 - together) * (1 / low.people + 1 / high.people))
    return shares[1] <= shares[0] or math.erfc((shares[1] - shares[0]) / spread / math.sqrt(2)) >= CHANCE


def trials_due(now: datetime) -> list[int]:
    """The broadcasts whose letters are to be judged, and whose readers were counted since their day came; their ids."""
    query = sa.select(Broadcast.id).join(Experiment, Experiment.broadcast_id == Broadcast.id)
    query = query.join(MailFigures, MailFigures.broadcast_id == Broadcast.id)
    is_counted = sa.and_(Experiment.judge_at <= now, MailFigures.looked_at >= Experiment.judge_at)
    is_due = sa.and_(Broadcast.state == BroadcastState.TRYING, Experiment.is_by_hand.is_(False), is_counted)
    if not present_site().counts_clicks:  # any more: somebody must choose
        is_due = sa.and_(is_due, Experiment.measure != Measure.CLICKS)
    return list(db.session.scalars(query.where(is_due).order_by(Broadcast.id)))


def outcomes_of(broadcast: Broadcast, now: datetime) -> dict[Arm, Outcome]:
    """What came of both letters, by the measure that was chosen."""
    experiment, last, counted = experiment_of(broadcast), kept(broadcast_id=broadcast.id), people_by_arm(broadcast)
    assert experiment is not None
    figures, letters = (last.figures if last is not None else {}) | counted, letters_by_arm(broadcast, experiment)
    told = arms_told(figures, experiment.within_days)
    found = {arm: told[arm].outcome(experiment.measure) if arm in told else Outcome(0, 0) for arm in (Arm.FIRST, Arm.SECOND)}
    if experiment.measure is Measure.CLICKS:
        links = link_figures([letters[arm] for arm in found], now.date())
        found = {arm: Outcome(outcome.people, sum(row.total for row in links[letters[arm]])) for arm, outcome in found.items()}
    return found
