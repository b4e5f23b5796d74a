"""What a printed copy holds: the course's lessons, with the safety check on paper before them."""

from typing import Any

from flask import current_app
from flask_babel import force_locale
from flask_babel import gettext as _

from courseapp.catalog.copies import lessons_of_copy
from courseapp.catalog.markdown import box_titles, parse, variant_of
from courseapp.catalog.models import CopyKind, Course, Lesson, Module, Revision
from courseapp.catalog.typeset import PrintedCourse, PrintedLesson, PrintedModule, PrintedScreen
from courseapp.learning.models import Outcome
from courseapp.learning.safety_questions import QUESTIONS, SENTENCES, Question
from courseapp.site import present_site


def printed_course(course: Course, kind: CopyKind) -> PrintedCourse:
    """A course as one kind of copy shows it, in the course's language."""
    with force_locale(course.language.replace("-", "_")):
        return PrintedCourse(
            title=_("Your course"),
            subtitle=course.title,
            edition=course.edition,
            version=course.version,
            language=course.language,
            day=course.changed_at.date(),
            site_name=present_site().name,
            site_url=current_app.config["PUBLIC_URL"],
            notice=_(
                "This is education, not medical advice. It does not replace a doctor, a physiotherapist or anyone who can see and hear you."
            ),
            check=[screen_of(question) for question in QUESTIONS],
            modules=_modules(course, kind),
            words=words_on_paper(),
            left_out_words=_(
                "Lessons that need the safety check are not in this copy. "
                "Take the check on our site, and the copy there holds what is right for you."
            )
            if kind is CopyKind.OPEN
            else None,
        )


def screen_of(question: Question) -> PrintedScreen:
    """One screen of the check, with what a tick in it means."""
    least = next(choice.leads_to for choice in question.choices if choice.leads_to is not None)
    signs = [str(sign) for sign in question.signs] or [str(choice.label) for choice in question.choices if choice.leads_to is not None]
    return PrintedScreen(str(question.title), str(question.intro), signs, _on_paper(question, least))


def _on_paper(question: Question, outcome: Outcome) -> str:
    if question.key == "soon":
        return str(_("If you ticked any: see your own doctor, today or within days, and leave the practical lessons until then."))
    if question.key == "pregnancy":  # its two answers do not mean the same
        return str(
            _(
                "If you ticked the first: see a professional first, and leave the practical lessons until they have cleared you. "
                "If you ticked the second: %(sentence)s Call your emergency number, or go to an emergency department.",
                sentence=SENTENCES[Outcome.NOW],
            )
        )
    words: dict[Outcome, str] = {
        Outcome.NOW: _(
            "If you ticked any: %(sentence)s Call your emergency number or a crisis line, or go to an emergency department.",
            sentence=SENTENCES[outcome],
        ),
        Outcome.PROFESSIONAL: _(
            "If you ticked any: see a professional first, and leave the practical lessons until they have cleared you."
        ),
        Outcome.GENTLY: _("If you ticked any: go gently. Where a lesson has a gentle version, take that one."),
    }
    return words[outcome]


def _modules(course: Course, kind: CopyKind) -> list[PrintedModule]:
    numbers = {lesson.id: number for number, (lesson, _module, _revision) in enumerate(lessons_of_copy(course, CopyKind.FULL), start=1)}
    grouped: dict[int, tuple[Module, list[PrintedLesson]]] = {}
    for lesson, module, revision in lessons_of_copy(course, kind):
        grouped.setdefault(module.id, (module, []))[1].append(_lesson(lesson, revision, kind, numbers[lesson.id]))
    return [PrintedModule(module.position, module.title, module.summary, lessons) for module, lessons in grouped.values()]


def _lesson(lesson: Lesson, revision: Revision, kind: CopyKind, number: int) -> PrintedLesson:
    tokens = variant_of(parse(revision.source), "standard" if kind is CopyKind.FULL else "adapted")
    return PrintedLesson(
        number, lesson.title, lesson.minutes, lesson.shows, tokens, revision.sources, review_words(revision), revision.folder, lesson.key
    )


def review_words(revision: Revision) -> str:
    """Who reviewed a lesson, or that nobody has."""
    if revision.reviewed_by is None:
        return str(_("Not yet clinically reviewed."))
    return str(_("Reviewed by %(name)s on %(day)s.", name=revision.reviewed_by, day=revision.reviewed_on))


def words_on_paper() -> dict[str, Any]:
    """The fixed words of the printed copy; a number is put in for those in braces."""
    return {
        **box_titles(),
        "contents": _("Contents"),
        "check": _("The safety check, on paper"),
        "check_intro": _(
            "Take this check before the practical lessons, and again whenever something has changed. "
            "Tick what is true for you. If you are not sure, tick it."
        ),
        "check_step": _("Step {number} of {total}"),
        "check_clear": _(
            "If you ticked nothing at all, you can go ahead with the practical lessons. Stop whenever something hurts or feels wrong."
        ),
        "module": _("Module {number}"),
        "lesson": _("Lesson {number}"),
        "minutes": _("about {number} minutes"),
        "page": _("page {number}"),
        "elsewhere": _("not in this copy"),
        "shows": _("What this shows"),
        "sources": _("Sources"),
        "picture": _("Picture"),
        "recording": _("Recording, on our site"),
        "version": _("Version {number}"),
    }
