"""What came of a broadcast or a sequence, for marketers and owners: exact about mails, in whole fives about people."""

from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from flask_babel import format_date, format_time
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_login import current_user

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns.broadcasts import broadcast_named
from courseapp.campaigns.experiment_sentences import ARM_WORDS, subjects_of, verdict_of
from courseapp.campaigns.experiments import WITHIN, experiment_of, letters_by_arm
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Experiment, Measure, Sequence, SequenceVersion
from courseapp.campaigns.sequence_drafts import sequence_named
from courseapp.campaigns.sequence_lists import steps_of, versions_of
from courseapp.campaigns.sequence_sentences import ends_of
from courseapp.contacts.windows import zone_of
from courseapp.insights.after_mails import ARMS, OPEN, kept, step_sums_told, sums_told
from courseapp.insights.arms import arms_told, is_chance
from courseapp.insights.clicks import LinkFigures, days_of, link_figures
from courseapp.insights.models import MailFigures
from courseapp.learning.enrolment import FEWEST
from courseapp.mailing.models import State
from courseapp.mailing.sums import LONGEST_HOURS, Hours, Sums, by_days
from courseapp.site import present_site

pages = Blueprint("results", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
USUAL = 7  # days
UNMADE = {BroadcastState.CANCELLED: _l("were never prepared"), BroadcastState.TRYING: _l("wait for the better letter")}


@dataclass(frozen=True)
class Step:
    """One step of a sequence: exact where it is about mails, once there are five."""

    number: int
    day: int
    subject: str
    sums: Sums
    did: int
    finished: int

    @property
    def is_told(self) -> bool:
        """Whether its mails may be told of."""
        return self.sums.made >= FEWEST

    @property
    def arrived(self) -> int:
        """How many mails did not come back."""
        return self.sums.left - self.sums.count(State.BOUNCED)

    @property
    def kept_back(self) -> int:
        """How many mails did not leave. Why is not told: it may be that somebody had reached the goal."""
        return self.sums.made - self.sums.left - self.sums.under_way


@dataclass(frozen=True)
class Stage:
    """One step of the way from whom it was for to who did something: `of` is what it is a share of."""

    words: str
    count: int
    of: int = 0
    is_about_people: bool = False

    @property
    def percent(self) -> int | None:
        """Whole per cent, rounded down; None where there is nothing to compare it with."""
        return 100 * self.count // self.of if self.of and self.count else None


@pages.get("/staff/mail/broadcasts/<id>/results")
def broadcast(id: str) -> str:
    """From whom it was for to who did something in a course within so many `days`; and who did not get it, by why."""
    found = broadcast_named(id) or abort(404)
    shown: dict[str, Any] = {"broadcast": found, "has_begun": found.snapshot_at is not None and found.stream_id is not None}
    if shown["has_begun"]:
        shown |= _results_of(found)
    return render_template("insights/broadcast.html", **shown)


def _results_of(found: Broadcast) -> dict[str, Any]:
    experiment, figures, now = experiment_of(found), kept(broadcast_id=found.id), clock.now()
    days = days_asked(experiment.within_days if experiment is not None else USUAL)
    sums, summed_at = sums_told(found, figures)
    hours = local(sums.hours)
    links = links_told({letter_id: ARM_WORDS[arm] for arm, letter_id in letters_by_arm(found, experiment).items()})
    return {
        "links": links,
        "clicks": days_of((row for _step, row in links or []), (found.snapshot_at or now).date(), now.date()),
        "sums": sums,
        "summed_at": summed_at,
        "account": account(found, sums),
        "stages": stages(found.candidates, sums, figures, days),
        "fates": fates(sums),
        "days": days,
        "choices": [(each, url_for("results.broadcast", id=found.public_id, days=each)) for each in WITHIN],
        "counted_at": figures.counted_at if figures is not None else None,
        "sending": sending(hours),
        "is_by_days": len(hours) > LONGEST_HOURS,
        **(_trial_of(found, experiment, figures, days) if experiment is not None else {}),
    }


def _trial_of(found: Broadcast, experiment: Experiment, figures: MailFigures | None, days: int) -> dict[str, Any]:
    """What came of each letter that was tried out, and of those held out."""
    subjects, measure = subjects_of(found, experiment), experiment.measure
    rows = arms_told(figures.figures if figures is not None else {}, days)
    what = _("in how many finished a course") if measure is Measure.FINISHED else _("in how many did something in a course")
    pairs = [
        (Arm.FIRST, Arm.SECOND, _("Between the two letters")),
        (Arm.FIRST, Arm.HELD, _("Between the first letter and none")),
        (Arm.SECOND, Arm.HELD, _("Between the second letter and none")),
    ]
    return {
        "arms": [(ARM_WORDS[arm], subjects.get(arm, ""), row) for arm, row in rows.items()],
        "verdict": verdict_of(found, experiment),
        "differences": [
            (words, what, is_chance(rows[one].outcome(measure), rows[other].outcome(measure)))
            for one, other, words in pairs
            if one in rows and other in rows
        ],
    }


@pages.get("/staff/mail/sequences/<id>/results")
def sequence(id: str) -> str:
    """The way through a `version` (the newest unless told otherwise), by step, within so many `days`; and how people left it."""
    found = sequence_named(id, current_user) or abort(404)
    versions = versions_of(found)
    asked = request.args.get("version", type=int)
    version = next((row for row in versions if row.number == asked), versions[0] if versions else None)
    return render_template("insights/sequence.html", sequence=found, **(_results_of_version(found, version, versions) if version else {}))


def _results_of_version(found: Sequence, version: SequenceVersion, versions: Rows[SequenceVersion]) -> dict[str, Any]:
    days, figures, rows = days_asked(), kept(version_id=version.id), steps_of(version.id)
    told = figures.figures if figures is not None else {}
    sums, summed_at = step_sums_told([row.letter_id for row in rows], figures)
    steps = [
        Step(
            number=place + 1,
            day=row.delay_days,
            subject=row.letter.subject,
            sums=sums[place],
            did=told.get(f"{place}:did:{days}", 0),
            finished=told.get(f"{place}:goal:{days}", 0),
        )
        for place, row in enumerate(rows)
    ]

    def address(**asked: Any) -> str:
        return url_for("results.sequence", id=found.public_id, **{"version": version.number, "days": days, **asked})

    return {
        "links": links_told({row.letter_id: place for place, row in enumerate(rows, 1)}),
        "version": version,
        "versions": [(row.number, address(version=row.number)) for row in versions],
        "steps": steps,
        "entered": told.get("entered", 0),
        "ways": [
            (words, told.get(f"way:{way}", 0))
            for way, words in ((OPEN, _("still on their way")), *ends_of(version.trigger, version.goal).items())
        ],
        "days": days,
        "choices": [(each, address(days=each)) for each in WITHIN],
        "counted_at": figures.counted_at if figures is not None else None,
        "summed_at": summed_at,
    }


def links_told(letters: Mapping[int, LazyString | str | int]) -> list[tuple[LazyString | str | int, LinkFigures]] | None:
    """The links of letters, each with where its letter stands; None where clicks are not counted.

    Args:
        letters: where each letter stands, by its id, in order.
    """
    if not present_site().counts_clicks:
        return None
    found = link_figures(letters, clock.now().date())
    return [(letters[letter_id], row) for letter_id, rows in found.items() for row in rows]


def days_asked(usual: int = USUAL) -> int:
    """Within how many days of a mail what people did is asked for."""
    asked = request.args.get("days", usual, type=int)
    return asked if asked in WITHIN else usual


def account(found: Broadcast, sums: Sums) -> list[tuple[str, int]]:
    """Everybody it is for, by where they stand: adds up to the candidates."""
    unsent = sums.made - sums.left - sums.under_way
    unmade = UNMADE.get(found.state, _l("are still to be prepared"))
    parts = [
        (_("have left"), sums.left),
        (_("are on their way"), sums.under_way),
        (_("did not leave"), unsent),
        (str(unmade), found.candidates - sums.made),
    ]
    return [(words, count) for words, count in parts if count]


def stages(candidates: int, sums: Sums, figures: MailFigures | None, days: int) -> list[Stage]:
    """The way of a broadcast."""
    told = figures.figures if figures is not None else {}
    steps = [step for step, arm in enumerate(ARMS) if arm is not Arm.HELD]  # who was held out has done nothing after a mail
    followed = sum(told.get(f"{step}:people", 0) for step in steps) or sums.left
    did, finished = (sum(told.get(f"{step}:{what}:{days}", 0) for step in steps) for what in ("did", "goal"))
    return [
        Stage(_("It is for"), candidates),
        Stage(_("Put into the outbox"), sums.made, candidates),
        Stage(_("Have left"), sums.left, sums.made),
        Stage(_("Did not come back"), sums.left - sums.count(State.BOUNCED), sums.left),
        Stage(_("Did something in a course"), did, followed, is_about_people=True),
        Stage(_("Finished a course"), finished, followed, is_about_people=True),
    ]


def fates(sums: Sums) -> list[tuple[str, int]]:
    """What is known of the mails that left."""
    return [
        (_("confirmed as delivered"), sums.count(State.DELIVERED)),
        (_("taken by the other side, and nothing more was said"), sums.count(State.ACCEPTED)),
        (_("came back"), sums.count(State.BOUNCED)),
        (_("reported as unwanted"), sums.count(State.COMPLAINED)),
    ]


def local(hours: Hours) -> Hours:
    """Hours by the clock of the house."""
    zone = zone_of(present_site().default_zone)
    return [(moment.astimezone(zone), count) for moment, count in hours]


def sending(hours: Hours) -> list[tuple[str, int]]:
    """When mails left, as a chart names it: by hours, or by days where there are many."""
    if len(hours) > LONGEST_HOURS:
        return [(format_date(day, "medium", rebase=False), count) for day, count in by_days(hours)]
    return [(words_of_hour(moment), count) for moment, count in hours]


def words_of_hour(moment: datetime) -> str:
    """An hour in words, by the clock of its own zone."""
    return f"{format_date(moment, 'medium', rebase=False)}, {format_time(moment, 'short', rebase=False)}"
