"""What a broadcast tries out: two letters against each other, and a part of its people held out, who get none.

Who is in which arm says a hash of the broadcast and the person: nobody chooses it, it is another in each broadcast, and it stays. What
people did after each letter is counted in insights, which knows when it has counted; which letter is the better one is decided here.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import sqlalchemy as sa

from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Experiment, Measure
from courseapp.campaigns.references import targets_of
from courseapp.campaigns.translations import Translation, translation_in, translations_from
from courseapp.extensions import db
from courseapp.mailing import bulk
from courseapp.mailing.capping import AT_THEIR_PACE, CAPPED, ON_ITS_WAY
from courseapp.mailing.letters import publish_again
from courseapp.mailing.models import Stream
from courseapp.mailing.text import Text

BUCKETS = 10_000
TRIED = (10, 20, 30, 50, 100)  # per cent of whom it is for
HELD = (0, 5, 10, 20, 50)
WITHIN = (1, 7, 30)  # days; what people do after a mail is counted within these
CAPS = (CAPPED, AT_THEIR_PACE, ON_ITS_WAY)
WORDS = ("subject", "preheader", "body")


@dataclass(frozen=True)
class Words:
    """What a second letter says; empty is what is as in the first."""

    subject: str
    preheader: str
    body: str


@dataclass(frozen=True)
class Design:
    """What somebody wants to have tried out."""

    second: Words | None
    tried_percent: int
    held_percent: int
    measure: Measure
    within_days: int


@dataclass(frozen=True)
class Outcome:
    """What came of one letter: for how many people it was, and what is counted for it."""

    people: int
    count: int


def experiment_of(broadcast: Broadcast) -> Experiment | None:
    """What a broadcast tries out, if it does."""
    return db.session.get(Experiment, broadcast.id)


def is_judged_by_clicks(broadcast: Broadcast) -> bool:
    """Whether which of its letters is better is to be told by clicks."""
    experiment = experiment_of(broadcast)
    return experiment is not None and experiment.has_second and experiment.measure is Measure.CLICKS


def put_design(broadcast: Broadcast, design: Design | None) -> None:
    """Keep with a draft what it is to try out, or that it tries nothing. The caller holds the broadcast, which has its number."""
    experiment = experiment_of(broadcast)
    if design is None or (design.second is None and not design.held_percent):
        if experiment is not None:
            db.session.delete(experiment)
        return
    if experiment is None:
        experiment = Experiment(broadcast_id=broadcast.id, translations=[])
        db.session.add(experiment)
    second = design.second or Words("", "", "")
    experiment.has_second = design.second is not None
    experiment.translations = experiment.translations if design.second else []
    experiment.subject, experiment.preheader, experiment.body = second.subject, second.preheader, second.body
    experiment.tried_percent, experiment.held_percent = design.tried_percent if design.second else 100, design.held_percent
    experiment.measure, experiment.within_days = design.measure, design.within_days


def second_text(first: Text, experiment: Experiment) -> Text:
    """What the second letter says, in each language of the first.

    What it leaves empty is as in the first letter, in every language. What is other in it has to be said in each; until then it is empty.
    """
    kept = translations_from(experiment.translations)
    others = tuple(_second_in(other, experiment, translation_in(kept, other.language)) for other in first.others)
    return _saying(first, [getattr(experiment, name) or getattr(first, name) for name in WORDS], others)


def _second_in(first: Text, experiment: Experiment, kept: Translation | None) -> Text:
    return _saying(first, [getattr(kept, name, "") if getattr(experiment, name) else getattr(first, name) for name in WORDS], ())


def _saying(text: Text, words: Iterable[str], others: tuple[Text, ...]) -> Text:
    subject, preheader, body = words
    return replace(text, subject=subject, preheader=preheader, body=body, targets=targets_of(body), others=others)


def unsaid_in(first: Text, second: Text) -> list[str]:
    """The languages in which the second letter does not say what is other in it, or says no more than the first."""
    other = [name for name in WORDS if getattr(first, name) != getattr(second, name)]
    pairs = list(zip(first.others, second.others, strict=True))
    return [its.language for one, its in pairs if one == its or not all(getattr(its, name).strip() for name in other)]


def shares_of(experiment: Experiment) -> dict[Arm, int]:
    """How many of 10,000 buckets each arm has; empty arms have none."""
    held = experiment.held_percent * BUCKETS // 100
    if not experiment.has_second:
        return {Arm.HELD: held, Arm.FIRST: BUCKETS - held}
    half = (BUCKETS - held) * experiment.tried_percent // 200
    shares = {Arm.HELD: held, Arm.FIRST: half, Arm.SECOND: half, Arm.REST: BUCKETS - held - 2 * half}
    return {arm: share for arm, share in shares.items() if share}


def bucket_of(broadcast: Broadcast, contact_id: int) -> int:
    """The bucket of somebody in a broadcast, of 0 to 9,999."""
    digest = hashlib.blake2b(f"{broadcast.public_id}:{contact_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % BUCKETS


def pages_of(broadcast: Broadcast, experiment: Experiment, ids: Iterable[int], size: int) -> Iterator[tuple[Arm, list[int]]]:
    """People by their arms, in pages of `size` at most."""
    row = [arm for arm, share in shares_of(experiment).items() for _bucket in range(share)]
    pages: dict[Arm, array[int]] = {arm: array("q") for arm in Arm}
    for contact_id in ids:
        arm = row[bucket_of(broadcast, contact_id)]
        pages[arm].append(contact_id)
        if len(pages[arm]) == size:
            yield arm, pages[arm].tolist()
            pages[arm] = array("q")
    yield from ((arm, page.tolist()) for arm, page in pages.items() if page)


def letter_of(broadcast: Broadcast, arm: Arm) -> int:
    """The letter that an arm gets; those who are held out are written down with the first."""
    experiment = experiment_of(broadcast)
    found = broadcast.letter_id
    if experiment is not None and arm is Arm.SECOND:
        found = experiment.letter_id
    if experiment is not None and arm is Arm.REST:
        found = experiment.rest_letter_id
    assert found is not None
    return found


def letters_by_arm(broadcast: Broadcast, experiment: Experiment | None) -> dict[Arm, int]:
    """The letters of a broadcast by whom they are for, without those that nobody gets."""
    found = {Arm.FIRST: broadcast.letter_id}
    if experiment is not None and experiment.has_second:
        found |= {Arm.SECOND: experiment.letter_id, Arm.REST: experiment.rest_letter_id}
    return {arm: letter_id for arm, letter_id in found.items() if letter_id is not None}


def trials_leaving() -> sa.Select[Broadcast, Experiment]:
    """Broadcasts whose trial has not left yet, as far as anybody noted, with what they try; paused ones wait."""
    query = sa.select(Broadcast, Experiment).join(Experiment, Experiment.broadcast_id == Broadcast.id)
    query = query.join(Stream, Stream.id == Broadcast.stream_id)
    is_out = sa.and_(Broadcast.state.in_((BroadcastState.TRYING, BroadcastState.SENDING)), Stream.paused_at.is_(None))
    return query.where(sa.or_(is_out, Broadcast.state == BroadcastState.FINISHED), Experiment.judge_at.is_(None))


def note_tried(broadcast: Broadcast, experiment: Experiment, now: datetime) -> None:
    """Set the day of judgement, once the trial's mails have left, some of each letter at least; and from when people are followed.

    Who gets theirs later for the sake of a cap, the site's or their own, is not waited for: that may take weeks. By clicks it is judged
    when the day is over, for those of today are not told yet.
    """
    stream_id, letters = broadcast.stream_id or 0, letters_by_arm(broadcast, experiment).values()
    if bulk.is_under_way(stream_id, but_for=CAPS):
        return
    began = {letter_id: bulk.first_left(stream_id, letter_id) for letter_id in letters if bulk.has_any(stream_id, letter_id)}
    moments = [moment for moment in began.values() if moment is not None]
    if moments and len(moments) == len(began):
        experiment.since, experiment.judge_at = min(moments), now + timedelta(days=experiment.within_days)
        if experiment.measure is Measure.CLICKS:
            experiment.judge_at = datetime.combine(experiment.judge_at.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def better_of(first: Outcome, second: Outcome) -> Arm:
    """Whose share of their people is the larger; the first where they are alike."""
    return Arm.SECOND if second.count * first.people > first.count * second.people else Arm.FIRST


def settle(broadcast: Broadcast, better: Arm, outcomes: Mapping[Arm, Outcome], now: datetime) -> None:
    """Let the rest get the better letter, as a letter of its own; and keep what it was judged by."""
    experiment = experiment_of(broadcast)
    assert experiment is not None
    letter_id = letter_of(broadcast, better)
    experiment.better, experiment.rest_letter_id = better, publish_again(letter_id, now).id
    experiment.counts = {arm.value: [outcome.people, outcome.count] for arm, outcome in outcomes.items()}
