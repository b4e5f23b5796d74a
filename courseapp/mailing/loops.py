"""Working through the outbox: claim → check at the last moment → send → note, a commit each, no transaction open while sending."""

import contextlib
import mmap
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from courseapp.contacts.address import address_mac
from courseapp.contacts.models import SuppressionReason
from courseapp.contacts.suppression import suppress
from courseapp.extensions import commit_each, db
from courseapp.mailing import bounces, breaker, deliverability, leases, outbox, pacing, pausing, watching
from courseapp.mailing.mailboxes import MailboxAway, mailbox_of
from courseapp.mailing.message import Outgoing, outgoing
from courseapp.mailing.models import ReturnKind, ReturnSource
from courseapp.mailing.reports import read_report
from courseapp.mailing.smtp import Door, NotSent, Trouble, door_for

log = structlog.get_logger()


class Stop:
    """Told to end: finish the message in hand, give the rest back. Seen by every process forked since, too.

    Celery tells only its main process of a SIGTERM; who sends are its children. So the flag is a byte of shared memory
    (not multiprocessing.Event: a child killed inside its lock would stop all others for ever).
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)
        self._event = threading.Event()

    def set(self) -> None:
        """From now on."""
        self._shared[0] = 1
        self._event.set()

    def clear(self) -> None:
        """No more; for tests."""
        self._shared[0] = 0
        self._event.clear()

    def is_set(self) -> bool:
        """Whether this process or the one it was forked from was told to end."""
        return bool(self._shared[0])

    def wait(self, seconds: float) -> None:
        """Sleep, unless told to end meanwhile."""
        self._event.wait(seconds)


stopping = Stop()
Found = dict[int, outbox.Sendable]
"""What their mails are made of, by id."""

BATCH = 100
RETURNED_AT_ONCE = 500
SENDER_REST = breaker.REST.total_seconds()  # seconds without a try after the mail server itself was in trouble
LOOK_UP = 0.5  # seconds that waiting for a token may last before it is seen that the process is to end
_own = threading.local()  # a connection belongs to one thread of one process, opened after fork


def drain(clock: Callable[[], datetime], seconds: float = 20.0, service_only: bool = False) -> Counter[str]:
    """Send what is due for at most `seconds`; returns how many messages ended in each way."""
    sums: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    limits = pacing.limits_of(current_app.config["SETTINGS"])
    outage, lets_go = _rest_with_others(clock()), not service_only
    while not stopping.is_set() and (left := ends - time.monotonic()) > 0 and not is_resting():
        lets_go = lets_go and _let_go_more(clock()) > 0  # before anything is claimed: what was put off may be the more urgent
        lot = pacing.claim(clock(), BATCH, service_only, limits)
        db.session.commit()
        if lot.paused:
            sums["held back"] += len(lot.paused)
            _hold_or_let_go(lot.paused, clock())
        if lot.claimed:
            sums += _send_batch(lot.claimed, lot.found, clock, ends)
        elif lot.wait is None:
            if not lets_go:
                break
        else:
            stopping.wait(min(lot.wait, left, LOOK_UP))
    if outage is not None and sums["accepted"] and not is_resting():
        breaker.close(_server())
        db.session.commit()
    return sums


def _rest_with_others(now: datetime) -> breaker.Outage | None:
    """The trouble the mail server is in, as far as any process noted; while it rests, so does this one."""
    outage = breaker.outage_of(_server())
    if outage is not None and (left := outage.rest_left(now)):
        _own.rests_until = max(float(getattr(_own, "rests_until", 0.0)), time.monotonic() + left.total_seconds())
    db.session.commit()
    return outage


def _server() -> str:
    return breaker.server_of(current_app.config["SETTINGS"])


@dataclass(frozen=True)
class _Ready:
    """A message that stands at `submitting`, committed, and its mail."""

    message_id: int
    epoch: int
    mail: Outgoing
    fields_kept: dict[str, Any]


def _send_batch(claimed: outbox.Claimed, found: Found, clock: Callable[[], datetime], ends: float) -> Counter[str]:
    """Send claimed messages in turn. The statement that notes one as accepted moves the next to `submitting`."""
    sums: Counter[str] = Counter()
    waiting, accepted, held_back = list(claimed), None, list[int]()
    commit = db.session.flush if commit_each() else db.session.commit
    while (ready := _next_ready(waiting, found, accepted, clock, sums, held_back)) is not None:
        commit()
        outcome, accepted = _send(ready, clock)
        sums[outcome] += 1
        if outcome == Trouble.SENDER.value or stopping.is_set() or time.monotonic() >= ends:
            outbox.note_accepted(accepted)
            leases.release(waiting)
            break
    db.session.commit()
    if held_back:
        _hold_or_let_go(held_back, clock())
    return sums


def _let_go_more(now: datetime) -> int:
    """Make due the next of what was put off while its stream was paused, and commit; how many mails."""
    count = pausing.let_go(now)
    db.session.commit()
    return count


def _hold_or_let_go(held_back: Sequence[int], now: datetime) -> None:
    """Have all that is due of a paused stream wait with what was just held back of it, and commit."""
    pausing.hold_or_let_go(held_back, now)
    db.session.commit()


def _next_ready(
    waiting: outbox.Claimed,
    found: Found,
    accepted: outbox.Accepted | None,
    clock: Callable[[], datetime],
    sums: Counter[str],
    held_back: list[int],
) -> _Ready | None:
    """Move the next message that may go to `submitting`, and build its mail; note the one `accepted` before it. The caller commits."""
    while waiting:
        message_id, epoch = waiting.pop(0)
        may_go, accepted = outbox.begin_submitting(message_id, epoch, clock(), accepted), None
        if not may_go:
            sums["held back"] += 1
            held_back.append(message_id)
            continue
        message = found[message_id]
        try:
            return _Ready(message_id, epoch, outgoing(message, clock()), outbox.fields_to_keep(message.fields))
        except SQLAlchemyError:
            raise
        except Exception as error:  # whatever building raises is a fact about this message, and must not stop the others
            log.exception("mail_not_built", message=message_id)
            outbox.note_failed(message_id, epoch, clock(), f"cannot be built: {type(error).__name__}: {error}")
            sums["failed"] += 1
    outbox.note_accepted(accepted)
    return None


def _send(ready: _Ready, clock: Callable[[], datetime]) -> tuple[str, outbox.Accepted | None]:
    """Send one message, with no transaction open. That it was accepted is noted with the next, or when the batch ends."""
    try:
        _door().send(ready.mail)
    except NotSent as error:
        _note_failure(ready, clock(), error)
        return error.trouble.value, None
    return "accepted", outbox.Accepted(ready.message_id, ready.epoch, clock(), ready.fields_kept)


def _note_failure(ready: _Ready, now: datetime, error: NotSent) -> None:
    message_id, epoch, words = ready.message_id, ready.epoch, str(error)
    if error.trouble is Trouble.PERMANENT:
        outbox.note_failed(message_id, epoch, now, words)
    elif error.trouble is Trouble.BOUNCED:
        outbox.note_bounced(message_id, epoch, now, words)
        suppress(address_mac(ready.mail.recipient), SuppressionReason.BOUNCED, now)
    elif error.trouble is Trouble.UNCERTAIN:
        outbox.note_uncertain(message_id, epoch, now, words)
    else:
        outbox.note_transient(message_id, epoch, now, words, spend_attempt=error.is_of_mail)
    if error.trouble is Trouble.SENDER:
        _own.rests_until = time.monotonic() + SENDER_REST
        breaker.trip(_server(), words, now, timedelta(seconds=SENDER_REST))
        log.warning("mail_server_in_trouble", why=words)


def reap(now: datetime) -> tuple[int, int]:
    """Put right what killed workers left, and commit."""
    sums = leases.reap(now)
    db.session.commit()
    if any(sums):
        log.warning("outbox_reaped", returned=sums[0], uncertain=sums[1])
    return sums


def watch(now: datetime) -> list[str]:
    """Pause the streams in which too much goes wrong, and commit; their keys."""
    paused = watching.watch(now)
    db.session.commit()
    for key in paused:
        log.warning("stream_paused_itself", stream=key)
    return paused


def read_returned(clock: Callable[[], datetime], seconds: float = 20.0) -> Counter[str]:
    """Read the mailbox in which mail comes back, a commit for each mail, and look again for what waits; how much of each kind there was.

    A mail is removed after the commit. Killed in between, it is read again, and known. What is nothing we know stays, marked as seen.
    Raises MailboxAway.
    """
    bounces.try_again(clock(), RETURNED_AT_ONCE)
    db.session.commit()
    try:
        kinds = _read_mailbox(clock, time.monotonic() + seconds)
    except MailboxAway as error:
        log.warning("mailbox_away", why=str(error))
        raise
    if kinds:
        log.info("mail_came_back", **{kind.replace("-", "_"): count for kind, count in sorted(kinds.items())})
    return kinds


def _read_mailbox(clock: Callable[[], datetime], ends: float) -> Counter[str]:
    kinds: Counter[str] = Counter()
    mailbox = mailbox_of(current_app.config["SETTINGS"])
    if mailbox is None:
        return kinds
    with contextlib.closing(mailbox):
        for mail in mailbox.unread(RETURNED_AT_ONCE):
            report = read_report(mail.content)
            bounces.take(report, ReturnSource.MAILBOX, bounces.key_of(ReturnSource.MAILBOX, mail.content), clock())
            db.session.commit()
            mailbox.finish(mail, is_done_with=report.kind is not ReturnKind.OTHER)
            kinds[report.kind.value] += 1
            if stopping.is_set() or time.monotonic() >= ends:
                break
    return kinds


def close_door() -> None:
    """End this thread's connection to the mail server."""
    door: Door | None = getattr(_own, "door", None)
    if door is not None:
        door.close()
        _own.door = None
    _own.rests_until = 0.0


def _door() -> Door:
    settings = current_app.config["SETTINGS"]
    if getattr(_own, "door", None) is None or _own.settings is not settings:
        close_door()
        _own.door, _own.settings = door_for(settings), settings
    door: Door = _own.door
    return door


def is_held_back(now: datetime) -> bool:
    """Whether mail is due that only the sender's own limit holds back."""
    limits = pacing.limits_of(current_app.config["SETTINGS"])
    found = limits.sender is not None and pacing.is_due(now)
    db.session.commit()
    return found


def is_resting() -> bool:
    """Whether the mail server itself was in trouble a moment ago, so that this thread waits before it tries again."""
    return time.monotonic() < float(getattr(_own, "rests_until", 0.0))


def renew_deliverability(now: datetime) -> bool:
    """Count how mail arrives by domain, where it is time to; False where it is not."""
    is_due = deliverability.is_due(now)
    db.session.commit()  # it is counted beside the session, which may take a while
    if is_due:
        deliverability.keep(deliverability.counted(now), now)
        db.session.commit()
    return is_due
