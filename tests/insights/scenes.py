"""A broadcast that was sent and a sequence that runs, with people who did things after their mails: for pictures and for axe."""

from datetime import datetime, timedelta

from courseapp.accounts.models import User
from courseapp.campaigns.models import Arm, Broadcast, BroadcastPage, BroadcastState, Experiment, Measure, RunEnd, SequenceVersion
from courseapp.campaigns.sequence_lists import steps_of
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.extensions import db
from courseapp.insights.loops import renew_mail_figures
from courseapp.mailing.clicks import links_of
from courseapp.mailing.loops import renew_deliverability
from courseapp.mailing.models import Letter, LinkClicks, State
from courseapp.mailing.sums import HELD_OUT
from courseapp.site import change_site, forget_site
from tests.factories import (
    make_broadcast,
    make_completion,
    make_contact,
    make_enrolment,
    make_event,
    make_letter,
    make_message,
    make_run,
    make_sequence,
    make_user,
)

STATES = [*[State.DELIVERED] * 9, *[State.ACCEPTED] * 28, State.BOUNCED, State.SKIPPED, State.FAILED]
REASONS = {State.BOUNCED: "bounced 5.1.1", State.SKIPPED: "unsubscribed", State.FAILED: "550 5.7.1 we do not take that"}
BODY = """Hello.

<lesson:introduction/one>

There is more: [read what comes next](course:introduction), or [ask us](page:ask). [Somewhere else](https://elsewhere.example/)
"""
ENDS = (None, None, RunEnd.FINISHED, RunEnd.GOAL, RunEnd.FINISHED, RunEnd.UNSUBSCRIBED)


def make_results(course: Course, now: datetime, people: int = 120) -> tuple[Broadcast, SequenceVersion]:
    """Both, counted as the worker counts them."""
    lessons = db.session.query(Lesson).filter_by(course_id=course.id, needs_check=Need.NONE).order_by(Lesson.position).all()
    broadcast = make_broadcast(title="What comes after the introduction", is_sent=True)
    version = make_sequence(delays=(0, 3, 7), title="Welcome and getting started")
    for place, (step, subject) in enumerate(
        zip(steps_of(version.id), ("Where to begin", "How it is going", "What comes next"), strict=True)
    ):
        step.letter.subject = subject
        assert step.position == place
    sent = now - timedelta(days=12)
    for number in range(people):
        user = reader(broadcast, course, number, sent)
        in_sequence(version, course, user, number, sent)
        for lesson in lessons[: number % 5 if number % 3 else 0]:
            make_completion(user, lesson, completed_at=sent + timedelta(days=(number % 11) / 2))
    broadcast.candidates, broadcast.snapshot_at = people, sent
    broadcast.state, broadcast.finished_at = BroadcastState.FINISHED, sent + timedelta(hours=9)
    make_event("broadcast_scheduled", f"broadcast:{broadcast.id}", data={"by_user_id": None})
    assert broadcast.letter_id is not None
    for letter in (db.session.get_one(Letter, broadcast.letter_id), steps_of(version.id)[0].letter):
        follow_links(letter, course, lessons[0], sent)
    change_site({"counts_clicks": "on"}, now)
    db.session.commit()
    forget_site()
    renew_mail_figures(lambda: now)
    renew_deliverability(now)
    return broadcast, version


def make_draft_that_tries() -> Broadcast:
    """A draft that is to try out two letters and to hold some people out."""
    broadcast = make_broadcast(title="What comes next, said in two ways", subject="The next course is here")
    tried = {"has_second": True, "subject": "What you could learn next", "tried_percent": 20, "measure": Measure.DID, "within_days": 7}
    db.session.add(Experiment(broadcast_id=broadcast.id, held_percent=5, preheader="", body="", **tried))
    db.session.commit()
    return broadcast


def make_trial(course: Course, now: datetime, people: int = 150, rest: int = 640) -> Broadcast:
    """A broadcast of which two letters are being tried out, and some are held out; counted as the worker counts it."""
    lesson, sent = db.session.query(Lesson).filter_by(course_id=course.id, needs_check=Need.NONE).first(), now - timedelta(days=5)
    broadcast = make_broadcast(title="Two ways to say it", subject="The next course is here", is_sent=True)
    second = make_letter(subject="What you could learn next")
    tried = {"has_second": True, "subject": second.subject, "tried_percent": 20, "measure": Measure.DID, "within_days": 7}
    tried |= {"since": sent, "judge_at": sent + timedelta(days=7, hours=3)}
    db.session.add(Experiment(broadcast_id=broadcast.id, held_percent=5, letter_id=second.id, **tried))
    for number in range(people):
        user = make_user(contact=make_contact(f"trial{number}@example.org"))
        make_enrolment(user, course, started_at=sent - timedelta(days=9))
        arm = (Arm.FIRST, Arm.SECOND, Arm.FIRST, Arm.SECOND, Arm.HELD)[number % 5]
        mail = {"state": State.SKIPPED, "reason": HELD_OUT} if arm is Arm.HELD else {"state": State.ACCEPTED}
        letter_id = second.id if arm is Arm.SECOND else broadcast.letter_id
        message = make_message(user.contact, stream="marketing", due_at=sent, settled_at=sent + timedelta(hours=number % 3), **mail)
        message.stream_id, message.letter_id = broadcast.stream_id or 0, letter_id
        if number % 10 < {Arm.FIRST: 3, Arm.SECOND: 9, Arm.HELD: 5}[arm]:
            make_completion(user, lesson, completed_at=sent + timedelta(days=1))
    db.session.add(BroadcastPage(broadcast_id=broadcast.id, number=0, arm=Arm.REST, contact_ids=[], people=rest))
    broadcast.candidates, broadcast.snapshot_at, broadcast.state = people + rest, sent, BroadcastState.TRYING
    db.session.commit()
    renew_mail_figures(lambda: now)
    return broadcast


def reader(broadcast: Broadcast, course: Course, number: int, sent: datetime) -> User:
    """Somebody and the mail to them, at one of three places."""
    user = make_user(contact=make_contact(f"scene{number}@{('large', 'large', 'middle')[number % 3]}.example"))
    enrolment = make_enrolment(user, course, started_at=sent - timedelta(days=9))
    if number % 6 == 0:
        enrolment.finished_at = sent + timedelta(days=number % 9)
    state = STATES[number % len(STATES)]
    left_at = sent + timedelta(hours=number % 7, minutes=number % 60)
    message = make_message(user.contact, stream="marketing", state=state, reason=REASONS.get(state), settled_at=left_at)
    message.stream_id, message.dedupe_key = broadcast.stream_id or 0, f"broadcast:{broadcast.id}:{user.contact_id}"
    return user


def in_sequence(version: SequenceVersion, course: Course, user: User, number: int, sent: datetime) -> None:
    """Their way through a sequence, so many of its mails far."""
    assert user.contact is not None
    end = ENDS[number % len(ENDS)]
    facts = {"started_at": sent, "end": end, "ended_at": sent + timedelta(days=8) if end else None, "next_run_at": None}
    run = make_run(version, user.contact, course, **facts)
    for step in steps_of(version.id)[: 3 if end is RunEnd.FINISHED else 1 + number % 3]:
        at = sent + timedelta(days=step.delay_days)
        key = f"sequence:{run.id}:{step.position}"
        make_message(user.contact, letter=step.letter, state=State.ACCEPTED, dedupe_key=key, settled_at=at)


def follow_links(letter: Letter, course: Course, lesson: Lesson, sent: datetime) -> None:
    """Links in a letter, followed the more often the earlier they stand, and less with each day; the last so seldom that it is not told."""
    letter.body = BODY
    letter.targets = {
        "lesson:introduction/one": {"title": lesson.title, "words": lesson.shows, "path": f"/lessons/{lesson.public_id}"},
        "course:introduction": {"title": course.title, "words": "", "path": "/courses/introduction"},
        "page:ask": {"title": "Ask us", "words": "", "path": "/ask"},
    }
    db.session.flush()
    for link in links_of(letter.id)[:2]:
        for days in range(11):
            db.session.add(
                LinkClicks(
                    letter_id=letter.id,
                    link=link.number,
                    day=(sent + timedelta(days=days)).date(),
                    count=1 + 48 // (link.number + days) ** 2,
                )
            )
    db.session.add(LinkClicks(letter_id=letter.id, link=3, day=sent.date(), count=4))
