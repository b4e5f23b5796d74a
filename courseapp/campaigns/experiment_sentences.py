"""What a broadcast tries out, in sentences: what will happen, as its pages say before it does, and how it stands."""

from collections.abc import Mapping

from babel.lists import format_list
from flask_babel import format_decimal, get_locale, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp.campaigns.experiments import BUCKETS, shares_of, unsaid_in
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Experiment, Measure
from courseapp.mailing.text import Text, name_of_language

MEASURES = {
    Measure.DID: _l("more people did something in a course"),
    Measure.FINISHED: _l("more people finished a course"),
    Measure.CLICKS: _l("more links were followed"),
}
FEW = 100  # people for a letter
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
        waiting = _("About %(count)s people wait; also of them it is fixed now who they are.", count=format_decimal(people[Arm.REST]))
        said.append(f"{waiting} {rule_of(experiment)}")
    if Arm.SECOND in people and people[Arm.FIRST] < FEW:
        said.append(_("With so few for each letter, nearly any difference between them may be chance."))
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


def unsaid_of(texts: Mapping[Arm, Text]) -> str:
    """In which languages the second letter is not what it is meant to be, and how to mend that; empty where all is well."""
    tags = unsaid_in(texts[Arm.FIRST], texts[Arm.SECOND]) if Arm.SECOND in texts else []
    if not tags:
        return ""
    names = format_list([name_of_language(tag) for tag in tags], locale=get_locale())
    words = _("In %(languages)s the second letter does not say what is other in it than in the first.", languages=names)
    return f"{words} {_('Write it on the page of that language, or take that language out.')}"


def subjects_of(broadcast: Broadcast, experiment: Experiment) -> dict[Arm, str]:
    """The subjects of its letters."""
    first = {Arm.FIRST: broadcast.subject}
    return first | {Arm.SECOND: experiment.subject or broadcast.subject} if experiment.has_second else first


def verdict_of(broadcast: Broadcast, experiment: Experiment) -> str:
    """Which letter the rest gets, and by what that was judged; or that it was not, or that there was nobody to wait for it."""
    if broadcast.state is BroadcastState.TRYING:
        return str(_("Which letter is better is not judged yet."))
    if experiment.better is None:
        has_ended = broadcast.state in {BroadcastState.SENDING, BroadcastState.FINISHED}
        nobody_waits = has_ended and experiment.has_second and experiment.tried_percent < 100
        return str(_("They were too few for anybody to wait, so nothing was judged.")) if nobody_waits else ""
    subject = subjects_of(broadcast, experiment)[experiment.better]
    if experiment.better is Arm.SECOND:
        chosen = _("For the rest the second letter was chosen, “%(subject)s”.", subject=subject)
    else:
        chosen = _("For the rest the first letter was chosen, “%(subject)s”.", subject=subject)
    return f"{chosen} {_judged_by(experiment)}".strip()


def _judged_by(experiment: Experiment) -> str:
    """The numbers that a verdict rests on; empty where somebody chose."""
    if not experiment.counts:
        return ""
    said = []
    for arm, words in ((Arm.FIRST, _("after the first")), (Arm.SECOND, _("after the second"))):
        people, count = experiment.counts[arm.value]
        facts = {"count": format_decimal(count) if count else _("fewer than five"), "people": format_decimal(people), "words": words}
        is_clicks = experiment.measure is Measure.CLICKS
        about_clicks = _("%(count)s clicks %(words)s, for %(people)s people", **facts)
        said.append(about_clicks if is_clicks else _("%(count)s of %(people)s people %(words)s", **facts))
    return str(_("Judged by: %(first)s; %(second)s.", first=said[0], second=said[1]))
