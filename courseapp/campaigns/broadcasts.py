"""Broadcasts: one mail to many. A draft is edited; scheduling publishes its letter and fixes whom it is for; then `expanding.py` works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.campaigns.experiment_sentences import unsaid_of
from courseapp.campaigns.experiments import (
    Design,
    Outcome,
    better_of,
    experiment_of,
    is_judged_by_clicks,
    put_design,
    second_text,
    settle,
)
from courseapp.campaigns.models import Arm, Broadcast, BroadcastPage, BroadcastState, Segment
from courseapp.campaigns.references import targets_of
from courseapp.campaigns.saved_segments import stamp_of
from courseapp.campaigns.segments import contacts_in
from courseapp.campaigns.translations import Translations, translations_from
from courseapp.contacts.consent import is_consented
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.suppression import is_suppressed
from courseapp.contacts.windows import Window
from courseapp.errors import Refusal
from courseapp.extensions import db, wake
from courseapp.journal import events
from courseapp.journal.models import Event
from courseapp.mailing import bulk, pausing
from courseapp.mailing.clicks import links_in
from courseapp.mailing.fields import ADDRESSES
from courseapp.mailing.letters import kept_letter, publish_letter
from courseapp.mailing.models import HAVE_LEFT, Letter, State
from courseapp.mailing.text import Text
from courseapp.site import present_site

if TYPE_CHECKING:  # what reads letters is large, and a web process reads none until somebody looks at one
    from courseapp.mailing.problems import Problem

EVERYBODY: dict[str, Any] = {"all": []}
OPEN = (BroadcastState.SCHEDULED, BroadcastState.EXPANDING, BroadcastState.TRYING, BroadcastState.SENDING)
FILLED = ADDRESSES - {"continue_url"}  # the merge fields that its mails have for everybody


@dataclass(frozen=True)
class Draft:
    """What somebody has written of a broadcast."""

    title: str
    purpose: Purpose
    segment: Segment | None
    language: str
    subject: str
    preheader: str
    body: str
    window: Window
    design: Design | None = None  # what is to be tried out


def new_broadcast(draft: Draft, by_user_id: int | None, now: datetime) -> Broadcast:
    """Begin one; the caller commits."""
    broadcast = Broadcast(tree=EVERYBODY, state=BroadcastState.DRAFT, created_at=now, changed_at=now, by_user_id=by_user_id)
    _put(broadcast, draft)
    db.session.add(broadcast)
    db.session.flush()
    put_design(broadcast, draft.design)
    _note(broadcast, "broadcast_made", by_user_id, now)
    return broadcast


def change_broadcast(broadcast: Broadcast, draft: Draft, version: int, by_user_id: int, now: datetime) -> None:
    """Change a draft; raises Refusal where it is none any more, or where somebody else changed it since `version`."""
    begin_change(broadcast, version)
    _put(broadcast, draft)
    put_design(broadcast, draft.design)
    end_change(broadcast, by_user_id, now)


def begin_change(broadcast: Broadcast, version: int, stale: str = "") -> None:
    """Hold a draft to change it; raises Refusal, `stale` in words of the caller, as `change_broadcast` does."""
    _lock(broadcast)
    if broadcast.state is not BroadcastState.DRAFT:
        raise Refusal(_("This broadcast is scheduled or sent. To change it, take it back first."))
    if broadcast.version != version:
        words = _("Somebody else has changed this broadcast meanwhile. Your words are below; look at theirs in another window.")
        raise Refusal(stale or words)


def end_change(broadcast: Broadcast, by_user_id: int, now: datetime) -> None:
    """Note who changed it; whoever looked at it before sees that it is another now."""
    broadcast.version, broadcast.changed_at, broadcast.by_user_id = broadcast.version + 1, now, by_user_id
    db.session.flush()


def translations_of(broadcast: Broadcast) -> Translations:
    """Its letter in other languages."""
    return translations_from(broadcast.translations)


def _put(broadcast: Broadcast, draft: Draft) -> None:
    for name in ("title", "purpose", "language", "subject", "preheader", "body"):
        setattr(broadcast, name, getattr(draft, name))
    broadcast.segment_id = draft.segment.id if draft.segment is not None else None
    broadcast.tree = draft.segment.tree if draft.segment is not None else EVERYBODY
    broadcast.window_start, broadcast.window_end = draft.window.start, draft.window.end


def segment_of_draft(broadcast: Broadcast) -> Segment | None:
    """The segment it was written for, put away or not; None for everybody."""
    return db.session.get(Segment, broadcast.segment_id) if broadcast.segment_id is not None else None


def window_of(broadcast: Broadcast) -> Window:
    """The hours of people's own day at which it may come."""
    return Window(broadcast.window_start, broadcast.window_end)


def shown_of(broadcast: Broadcast) -> str:
    """What tells what a page showed of a draft from what it is now: the number of its words, and the state of its segment."""
    segment = segment_of_draft(broadcast)
    return f"{broadcast.version}:{stamp_of(segment) if segment is not None else ''}"


def _tree_of(broadcast: Broadcast) -> dict[str, Any]:
    """Whom it asks for: a draft by its segment as that is now; once it is scheduled this is fixed."""
    segment = segment_of_draft(broadcast) if broadcast.state is BroadcastState.DRAFT else None
    return segment.tree if segment is not None else broadcast.tree


def audience(broadcast: Broadcast, now: datetime) -> sa.Select[int]:
    """The ids of whom a broadcast is for at this moment: chosen, agreed to its purpose, reachable."""
    chosen = contacts_in(_tree_of(broadcast), now).subquery()
    may_get = (
        Contact.id.in_(sa.select(chosen)),
        is_consented(Contact.id, sa.literal(broadcast.purpose.value)),
        sa.not_(is_suppressed(Contact.address_mac)),
    )
    return sa.select(Contact.id).where(*may_get)


def count_of_audience(broadcast: Broadcast, now: datetime) -> int:
    """How many people it would go to now. Raises Refusal in words where its segment cannot be used any more."""
    return int(db.session.scalar(sa.select(sa.func.count()).select_from(audience(broadcast, now).subquery())) or 0)


def readers_by_language(broadcast: Broadcast, now: datetime) -> dict[str, int]:
    """The same by what they read."""
    count = audience(broadcast, now).with_only_columns(Contact.language, sa.func.count()).group_by(Contact.language)
    return dict(db.session.execute(count).all())


def texts_of(broadcast: Broadcast) -> dict[Arm, Text]:
    """Its letter as it would be published now; where two are tried out, both."""
    words = broadcast.language, broadcast.subject, broadcast.preheader, broadcast.body
    others = tuple(each.text(broadcast.purpose) for each in translations_of(broadcast))
    first = Text(*words, broadcast.purpose, targets_of(broadcast.body), others)
    experiment = experiment_of(broadcast)
    if experiment is None or not experiment.has_second:
        return {Arm.FIRST: first}
    return {Arm.FIRST: first, Arm.SECOND: second_text(first, experiment)}


def problems_in(text: Text) -> "list[Problem]":
    """What is wrong with a letter of a broadcast, which fills in nothing but who somebody is."""
    from courseapp.mailing.problems import problems_of_letter  # as above

    return problems_of_letter(text, FILLED)


def letter_to_try(broadcast: Broadcast, arm: Arm, now: datetime) -> Letter:
    """One of a draft's letters, to be tried out on staff. Raises Refusal in words; what is being sent keeps its letters."""
    _lock(broadcast)
    if broadcast.state is not BroadcastState.DRAFT:
        raise Refusal(_("This broadcast is scheduled or sent already."))
    return letter_for(broadcast, now, arm)


def letter_for(broadcast: Broadcast, now: datetime, arm: Arm = Arm.FIRST) -> Letter:
    """One of its letters as it is now, published where it was not yet. Raises Refusal in words."""
    text, holder = texts_of(broadcast)[arm], broadcast if arm is Arm.FIRST else experiment_of(broadcast)
    assert holder is not None
    if found := [problem for problem in problems_in(text) if not problem.is_warning]:
        raise Refusal(_("It cannot be sent yet. %(words)s", words=" ".join(str(problem) for problem in found)))
    if holder.letter_id is None or kept_letter(holder.letter_id) != text:
        holder.letter_id = publish_letter(text, now).id
    return db.session.get_one(Letter, holder.letter_id)


def schedule(broadcast: Broadcast, send_at: datetime, by_user_id: int | None, now: datetime, seen: str | None = None) -> None:
    """Publish its letter and have it sent from a moment on. Raises Refusal in words.

    Args:
        seen: `shown_of` it as whoever sends it saw it; None where nobody looked at a page.
    """
    _lock(broadcast)
    if broadcast.state is not BroadcastState.DRAFT:
        raise Refusal(_("This broadcast is scheduled or sent already."))
    if seen is not None and seen != shown_of(broadcast):
        raise Refusal(_("Its words or its segment have been changed meanwhile. Look at it again; nothing was sent."))
    texts = texts_of(broadcast)
    if len(set(texts.values())) < len(texts):
        raise Refusal(_("Its two letters say the same. Write a second one that differs, or have none."))
    if unsaid := unsaid_of(texts):
        raise Refusal(unsaid)
    if is_judged_by_clicks(broadcast) and not present_site().counts_clicks:
        raise Refusal(_("Its better letter is to be told by clicks, which are not counted any more. Choose another measure."))
    if is_judged_by_clicks(broadcast) and not all(links_in(text) for text in texts.values()):
        raise Refusal(_("Its better letter is to be told by clicks, and one of the letters has no link to a page of this site."))
    for arm in texts:
        letter_for(broadcast, now, arm)
    broadcast.tree = _tree_of(broadcast)
    audience(broadcast, now)  # refuses what cannot be used any more
    if broadcast.stream_id is None:
        broadcast.stream_id = bulk.new_stream(f"broadcast-{broadcast.id}", broadcast.purpose).id
    broadcast.send_at, broadcast.state = max(send_at, now), BroadcastState.SCHEDULED
    _note(broadcast, "broadcast_scheduled", by_user_id, now)
    wake("broadcasts")


def take_back(broadcast: Broadcast, by_user_id: int, now: datetime) -> None:
    """Make a scheduled one a draft again; raises Refusal once it has begun."""
    _lock(broadcast)
    if broadcast.state is not BroadcastState.SCHEDULED:
        raise Refusal(_("It has begun already. You can pause it, or cancel what has not left."))
    broadcast.state, broadcast.send_at = BroadcastState.DRAFT, None
    _note(broadcast, "broadcast_taken_back", by_user_id, now)


def give_back(broadcast: Broadcast, why: str, now: datetime) -> None:
    """Make one a draft again that could not begin; its page says why. The caller holds it."""
    broadcast.state, broadcast.send_at = BroadcastState.DRAFT, None
    if (experiment := experiment_of(broadcast)) is not None:
        experiment.is_by_hand = False
    events.record("broadcast_given_back", f"broadcast:{broadcast.id}", now, by_user_id=None, why=why)


def why_given_back(broadcast: Broadcast) -> str | None:
    """Why a draft could not begin when its time had come; None where it did not come to that, or was written on or scheduled since."""
    last = sa.select(Event).where(Event.subject == f"broadcast:{broadcast.id}").order_by(Event.id.desc()).limit(1)
    event = db.session.scalar(last)
    if event is None or event.type != "broadcast_given_back" or event.at < broadcast.changed_at:
        return None
    return str(event.facts.get("why", ""))


def pause(broadcast: Broadcast, by_user_id: int, now: datetime) -> None:
    """Hold back what has not left: each worker finishes the mail it is at."""
    stream = _running(broadcast).stream
    assert stream is not None
    if stream.paused_at is None:
        stream.paused_at, stream.paused_why = now, _("Somebody of the staff paused it.")
        _note(broadcast, "broadcast_paused", by_user_id, now)


def resume(broadcast: Broadcast, by_user_id: int, now: datetime) -> None:
    """Let the rest leave."""
    stream = _running(broadcast).stream
    assert stream is not None
    if pausing.holds_overdue(stream):
        raise Refusal(_("It came from a backup, and its mails may have been sent already. Say under “Outbox” what is to become of them."))
    if stream.paused_at is not None:
        pausing.resume([stream], now, by_user_id)
        _note(broadcast, "broadcast_resumed", by_user_id, now)
        wake("broadcasts")
        wake("outbox")


def cancel(broadcast: Broadcast, by_user_id: int, now: datetime) -> None:
    """Let nothing more of it leave, for good; what has left has left."""
    stream = _running(broadcast).stream
    assert stream is not None
    stream.paused_at, stream.paused_why = now, bulk.CANCELLED  # what workers hold is given back, and cancelled with the next tick
    broadcast.state, broadcast.finished_at = BroadcastState.CANCELLED, now
    db.session.execute(sa.delete(BroadcastPage).where(BroadcastPage.broadcast_id == broadcast.id))
    bulk.cancel_pending(stream.id, bulk.CANCELLED, now)  # behind the pages: one that was just being put in has its mails there now
    _note(broadcast, "broadcast_cancelled", by_user_id, now)
    wake("broadcasts")


def judge(broadcast: Broadcast, outcomes: Mapping[Arm, Outcome], now: datetime) -> None:
    """Send the better of two letters to the rest, told by what came of both. Raises Refusal where somebody was first."""
    _choose(broadcast, better_of(outcomes[Arm.FIRST], outcomes[Arm.SECOND]), outcomes, "broadcast_judged", None, now)


def choose_letter(broadcast: Broadcast, better: Arm, by_user_id: int, now: datetime) -> None:
    """Send one of two letters to the rest by somebody's choice. Raises Refusal."""
    _choose(broadcast, better, {}, "broadcast_letter_chosen", by_user_id, now)


def _choose(broadcast: Broadcast, better: Arm, by: Mapping[Arm, Outcome], what: str, by_user_id: int | None, now: datetime) -> None:
    _lock(broadcast)
    if broadcast.state is not BroadcastState.TRYING:
        raise Refusal(_("No letter of this broadcast is being tried out."))
    settle(broadcast, better, by, now)
    broadcast.state = BroadcastState.EXPANDING
    events.record(what, f"broadcast:{broadcast.id}", now, by_user_id=by_user_id, better=better.value)
    wake("broadcasts")


def try_failed_again(broadcast: Broadcast, by_user_id: int, now: datetime) -> int:
    """Let those mails leave that could not; how many."""
    _lock(broadcast)
    sent = {BroadcastState.TRYING, BroadcastState.SENDING, BroadcastState.FINISHED}
    if broadcast.state not in sent or broadcast.stream_id is None:
        raise Refusal(_("Only what was sent can be tried again."))
    count = bulk.retry_failed(broadcast.stream_id, now)
    if count:
        experiment = experiment_of(broadcast)
        if broadcast.state is not BroadcastState.TRYING:
            broadcast.state, broadcast.finished_at = BroadcastState.SENDING, None
        elif experiment is not None:
            experiment.judge_at = None  # their readers are to have the whole time too
        _note(broadcast, "broadcast_retried", by_user_id, now)
    return count


def _running(broadcast: Broadcast) -> Broadcast:
    _lock(broadcast)
    if broadcast.state not in OPEN or broadcast.stream_id is None:
        raise Refusal(_("This broadcast is not being sent."))
    return broadcast


def _lock(broadcast: Broadcast) -> None:
    """Nobody else changes it until the commit; what it is now is read anew."""
    db.session.refresh(broadcast, with_for_update={"key_share": True})


def _note(broadcast: Broadcast, what: str, by_user_id: int | None, now: datetime) -> None:
    events.record(what, f"broadcast:{broadcast.id}", now, by_user_id=by_user_id)


@dataclass(frozen=True)
class Account:
    """What became of everybody a broadcast is for: it adds up."""

    candidates: int
    states: dict[tuple[State, str | None], int]

    @property
    def waiting(self) -> int:
        """Whose mail is not in the outbox yet."""
        return self.candidates - sum(self.states.values())

    def count(self, *states: State) -> int:
        """How many stand in these states, for whatever reason."""
        return sum(count for (state, _reason), count in self.states.items() if state in states)

    @property
    def left(self) -> int:
        """How many mails have left."""
        return self.count(*HAVE_LEFT)


def account_of(broadcast: Broadcast) -> Account:
    """Sums over the outbox."""
    states = bulk.states_of_stream(broadcast.stream_id) if broadcast.stream_id is not None and broadcast.snapshot_at else {}
    return Account(broadcast.candidates, states)


def broadcasts_before(before: int | None, limit: int) -> Sequence[Broadcast]:
    """The newest, or those before one."""
    query = sa.select(Broadcast).order_by(Broadcast.id.desc()).limit(limit)
    return db.session.scalars(query if before is None else query.where(Broadcast.id < before)).all()


def broadcast_named(public_id: str) -> Broadcast | None:
    """One by its public id."""
    return db.session.scalar(sa.select(Broadcast).where(Broadcast.public_id == public_id))
