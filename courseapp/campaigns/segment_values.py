"""What the conditions of a segment are compared with: each value has a type, and says in words what is wrong with what was given."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.billing.models import Tier
from courseapp.billing.selling import is_selling
from courseapp.billing.sensitivity import all_tiers, courses_behind
from courseapp.catalog.models import Course
from courseapp.catalog.sensitivity import all_courses
from courseapp.contacts.consent import PURPOSE_NAMES
from courseapp.contacts.models import Purpose
from courseapp.learning.enrolment import Standing

ANY = "any"
MOST_DAYS = 3650
EARLIEST, LATEST = date(2000, 1, 1), date(2099, 12, 31)


class Kind(enum.StrEnum):
    """What a value is, and how a page asks for it."""

    CHOICE = "choice"
    DAYS = "days"
    DATE = "date"


@dataclass(frozen=True)
class Courses:
    """The courses by which people may be chosen, by slug, and the tiers, by key; `is_walled` where there are others, marked sensitive."""

    by_slug: Mapping[str, Course]
    is_walled: bool = False
    tiers: Mapping[str, Tier] = field(default_factory=dict)


def known_courses() -> Courses:
    """What there is. A course of which a marked tier opens something is as good as marked: whoever takes it may hold that tier.

    Tiers are chosen by while the site sells anything; what they hide stays hidden afterwards.
    """
    courses, tiers = all_courses(), all_tiers()
    behind = courses_behind([tier for tier in tiers if tier.sensitive_at is not None])
    open_ones = {course.slug: course for course in courses if course.sensitive_at is None and course.id not in behind}
    open_tiers = {tier.key: tier for tier in tiers if tier.sensitive_at is None}
    is_walled = len(open_ones) < len(courses) or len(open_tiers) < len(tiers)
    return Courses(open_ones, is_walled=is_walled, tiers=open_tiers if is_selling() else {})


@dataclass(frozen=True)
class Present:
    """What conditions are held against: the moment, the zone in which a day begins, and the courses by which people may be chosen."""

    now: datetime
    zone: str
    courses: Courses

    def days_ago(self, days: int) -> datetime:
        """So many times 24 hours before now."""
        return self.now - timedelta(days=days)

    def beginning_of(self, day: str) -> datetime:
        """When a day began, in the site's zone."""
        return datetime.combine(date.fromisoformat(day), time(), ZoneInfo(self.zone)).astimezone(UTC)

    @property
    def today(self) -> date:
        """The day it is in the site's zone."""
        return self.now.astimezone(ZoneInfo(self.zone)).date()

    def course_ids(self, slug: str) -> list[int]:
        """The courses that a value names; those marked sensitive are never among them."""
        return [course.id for key, course in self.courses.by_slug.items() if slug in {ANY, key}]

    def tier_ids(self, key: str) -> list[int]:
        """The tiers that a value names; likewise."""
        return [tier.id for each, tier in self.courses.tiers.items() if key in {ANY, each}]


@dataclass(frozen=True)
class Value:
    """One value of a condition, by its name in the tree."""

    name: str
    label: LazyString
    kind: Kind
    choices: Callable[[Courses], Mapping[str, Any]] | None = None
    """Of a choice: what may be chosen → its words."""

    def usual(self, courses: Courses, today: date) -> Any:
        """What stands here until somebody chooses."""
        if self.kind is Kind.DAYS:
            return 60 if self.name == "to" else 30
        if self.kind is Kind.DATE or self.choices is None:
            return today.isoformat()
        return next(iter(self.choices(courses)), "")

    def problem_with(self, given: object, courses: Courses) -> str | None:
        """What is wrong with a value, in words; None where it will do."""
        if self.kind is Kind.DAYS:
            if type(given) is not int or not 0 <= given <= MOST_DAYS:
                return str(_("Please give a whole number of days, %(most)s at the most.", most=MOST_DAYS))
        elif self.kind is Kind.DATE:
            if not _is_day(given):
                return str(_("Please give a day as year, month, day, such as 2026-11-02."))
        elif self.choices is not None and (not isinstance(given, str) or given not in self.choices(courses)):
            is_behind_the_wall = courses.is_walled and self.name in {"purpose", "source"}
            return str(WALLED if is_behind_the_wall else _("“%(given)s” cannot be chosen here.", given=str(given)[:80]))
        return None


def _is_day(given: object) -> bool:
    try:
        return isinstance(given, str) and len(given) == 10 and EARLIEST <= date.fromisoformat(given) <= LATEST
    except ValueError:
        return False


PURPOSES = {purpose.value: PURPOSE_NAMES[purpose] for purpose in (Purpose.COURSE, Purpose.MARKETING)}
WALLED = _l(
    "A course or a tier is marked as sensitive. So that nobody finds out who takes or holds it, people cannot be chosen by how they came "
    "to us, nor by mail about their course. Please choose something else, or remove this condition."
)
SOURCES = {
    "start": _l("starting a course here"),
    "preferences": _l("their own mail settings"),
    "form": _l("a form on another site"),
    "import": _l("a list that was brought in"),
}
STANDINGS = {
    Standing.NOT_BEGUN.value: _l("enrolled, no lesson done"),
    Standing.BEGUN.value: _l("begun, not finished"),
    Standing.FINISHED.value: _l("finished"),
}


def _courses(courses: Courses) -> dict[str, Any]:
    return {ANY: _l("any course"), **{slug: course.title for slug, course in courses.by_slug.items()}}


def _tiers(courses: Courses) -> dict[str, Any]:
    return {ANY: _l("any tier"), **{key: tier.name for key, tier in courses.tiers.items()}} if courses.tiers else {}


def _purposes(courses: Courses) -> dict[str, Any]:
    """Whoever agreed to course mail, or had some, and takes no course that may be told, takes one that may not."""
    return {key: words for key, words in PURPOSES.items() if key == Purpose.MARKETING or not courses.is_walled}


def _any_purpose(courses: Courses) -> dict[str, Any]:
    return _purposes(courses) if courses.is_walled else {ANY: _l("any of them"), **PURPOSES}


def _sources(courses: Courses) -> dict[str, Any]:
    """None of them where there is a wall: whoever came by no other way started a course here."""
    return {} if courses.is_walled else SOURCES


def languages() -> dict[str, str]:
    """The languages of the site, each by what it calls itself."""
    return {tag: Locale.parse(tag, sep="-").display_name or tag for tag in current_app.config["SETTINGS"].language_list}


@cache
def _zones() -> dict[str, str]:
    return {name: name for name in sorted(available_timezones()) if "/" in name or name == "UTC"}


LANGUAGE = Value("language", _l("Language"), Kind.CHOICE, lambda _courses: languages())
ZONE = Value("zone", _l("Time zone"), Kind.CHOICE, lambda _courses: _zones())
COURSE = Value("course", _l("Course"), Kind.CHOICE, _courses)
TIER = Value("tier", _l("Tier"), Kind.CHOICE, _tiers)
PURPOSE = Value("purpose", _l("Which mail"), Kind.CHOICE, _purposes)
ANY_PURPOSE = Value("purpose", _l("Which mail"), Kind.CHOICE, _any_purpose)
SOURCE = Value("source", _l("How"), Kind.CHOICE, _sources)
STANDING = Value("standing", _l("How far"), Kind.CHOICE, lambda _courses: STANDINGS)
DAYS = Value("days", _l("Days"), Kind.DAYS)
FROM = Value("from", _l("From (days)"), Kind.DAYS)
TO = Value("to", _l("To (days)"), Kind.DAYS)
DAY = Value("day", _l("Day"), Kind.DATE)
