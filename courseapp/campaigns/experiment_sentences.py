"""What a broadcast tries out, in sentences: what will happen, as its pages say before it does, and how it stands."""

from flask_babel import format_decimal, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp.campaigns.experiments import BUCKETS, shares_of
from courseapp.campaigns.models import Arm, Broadcast, Experiment, Measure

MEASURES = {
    Measure.DID: _l("more people did something in a course"),
    Measure.FINISHED: _l("more people finished a course"),
    Measure.CLICKS: _l("more links were followed"),
}
ARM_WORDS = {
    Arm.FIRST: _l("The first letter"),
    Arm.SECOND: _l("The second letter"),
    Arm.HELD: _l("Held out, without a letter"),
    Arm.REST: _l("The rest, with the better letter"),
}


def plan_of(experiment: Experiment, count: int) -> list[str]:
    """What will happen to `count` people, one sentence after the other. Who falls where is drawn by lot, so the numbers are about right."""
    people = {arm: round(count * share / BUCKETS) for arm, share in shares_of(experiment).items()}
    said = []
    if Arm.HELD in people:
        held = format_decimal(people[Arm.HELD])
        said.append(_("About %(held)s people, drawn by lot, get none, so that you see what people do without it.", held=held))
    if Arm.SECOND in people:
        each = format_decimal(people[Arm.FIRST])
        said.append(_("About %(each)s people get the first letter and as many the second, drawn by lot.", each=each))
    if Arm.REST in people:
        said.append(_("About %(count)s people wait.", count=format_decimal(people[Arm.REST])) + " " + rule_of(experiment))
    return said


def rule_of(experiment: Experiment) -> str:
    """How the better letter is told, and when."""
    words = ngettext(
        "A day after the trial’s last mail has left, the rest gets the letter after which %(measure)s; the first, if alike.",
        "%(num)d days after the trial’s last mail has left, the rest gets the letter after which %(measure)s; the first, if alike.",
        experiment.within_days,
        measure=MEASURES[experiment.measure],
    )
    return str(words)


def subjects_of(broadcast: Broadcast, experiment: Experiment) -> dict[Arm, str]:
    """The subjects of its letters."""
    first = {Arm.FIRST: broadcast.subject}
    return first | {Arm.SECOND: experiment.subject or broadcast.subject} if experiment.has_second else first


def verdict_of(broadcast: Broadcast, experiment: Experiment) -> str:
    """Which letter the rest got; empty while that is not known."""
    if experiment.better is None:
        return ""
    subject = subjects_of(broadcast, experiment)[experiment.better]
    if experiment.better is Arm.SECOND:
        return str(_("The second letter, “%(subject)s”, went to the rest.", subject=subject))
    return str(_("The first letter, “%(subject)s”, went to the rest.", subject=subject))
