"""The fields by which people may be chosen, and what each is in SQL. What is not in this table cannot be asked for.

The wall: quiz answers, notes, searches, the safety check and what follows from it, single lessons, guests' trails, and courses and
tiers that the owner marks sensitive have no field. A test compiles every field and holds the columns it touches against a list, so a field
more is a decision there. Where one is marked, what would tell by subtraction who takes or holds it has none either (decisions 0015, 0022).
Each expression is true or false, never NULL: a condition and its opposite share everybody out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.accounts.models import User
from courseapp.billing.entitlements import is_live
from courseapp.billing.models import Entitlement
from courseapp.campaigns.segment_values import (
    ANY,
    ANY_PURPOSE,
    COURSE,
    DAY,
    DAYS,
    FROM,
    LANGUAGE,
    PURPOSE,
    SOURCE,
    STANDING,
    TIER,
    TO,
    ZONE,
    Courses,
    Present,
    Value,
)
from courseapp.contacts.consent import has_last_said
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose, Suppression, SuppressionReason
from courseapp.learning.enrolment import Standing, is_standing
from courseapp.learning.models import Enrolment
from courseapp.mailing.models import Message, State, Stream

Given = Mapping[str, Any]
Expression = Callable[[str, Given, Present], sa.ColumnElement[bool]]


@dataclass(frozen=True)
class Operator:
    """One way to compare a field, and the values it takes."""

    key: str
    label: LazyString
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Field:
    """One thing that can be known of a contact. `about` are values that every operator takes, before its own.

    Some ask something of an enrolment in the course they are about: `of_enrolment` is that alone.
    """

    key: str
    group: LazyString
    label: LazyString
    operators: tuple[Operator, ...]
    expression: Expression
    about: tuple[Value, ...] = ()
    of_enrolment: Expression | None = None

    def operator(self, key: object) -> Operator | None:
        """The operator of a key."""
        return next((each for each in self.operators if each.key == key), None)

    def values_of(self, operator: Operator) -> tuple[Value, ...]:
        """Every value a condition with this operator holds."""
        return (*self.about, *operator.values)


MOMENTS = (
    Operator("within_days", _l("in the last … days"), (DAYS,)),
    Operator("before_days", _l("more than … days ago"), (DAYS,)),
    Operator("between_days", _l("between … and … days ago"), (FROM, TO)),
    Operator("since_day", _l("on this day or later"), (DAY,)),
    Operator("before_day", _l("before this day"), (DAY,)),
)


def _at(moment: sa.SQLColumnExpression[Any], operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    """A moment that is never NULL, compared by one of `MOMENTS`."""
    if operator == "within_days":
        return moment > present.days_ago(given["days"])
    if operator == "before_days":
        return moment <= present.days_ago(given["days"])
    if operator == "between_days":
        return sa.and_(moment > present.days_ago(given["to"]), moment <= present.days_ago(given["from"]))
    day = present.beginning_of(given["day"])
    return moment >= day if operator == "since_day" else moment < day


def _is(column: sa.SQLColumnExpression[Any], name: str) -> Expression:
    return lambda operator, given, _present: column == given[name] if operator == "is" else column != given[name]


def _has_name(operator: str, _given: Given, _present: Present) -> sa.ColumnElement[bool]:
    return Contact.first_name.is_not(None) if operator == "known" else Contact.first_name.is_(None)


def _is_here_since(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    return _at(Contact.created_at, operator, given, present)


def _consent(operator: str, given: Given, _present: Present) -> sa.ColumnElement[bool]:
    purpose = Purpose(given["purpose"])
    has_given, has_withdrawn = (has_last_said(Contact.id, purpose, action) for action in (ConsentAction.GIVEN, ConsentAction.WITHDRAWN))
    return {"given": has_given, "withdrawn": has_withdrawn, "neither": sa.and_(~has_given, ~has_withdrawn)}[operator]


def _said_at(action: ConsentAction) -> Expression:
    return lambda operator, given, present: has_last_said(
        Contact.id, Purpose(given["purpose"]), action, _at(Consent.at, operator, given, present)
    )


def _source(operator: str, given: Given, _present: Present) -> sa.ColumnElement[bool]:
    is_so = sa.or_(Consent.source == given["source"], Consent.source.startswith(f"{given['source']}:"))  # `form:blog`, `import:…`
    has_come = _of_contact(Consent, Consent.contact_id, is_so, Consent.action != ConsentAction.WITHDRAWN)
    return has_come if operator == "is" else ~has_come


def _enrolled(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    takes = learner_who(given["course"], present)
    return takes if operator == "yes" else ~takes


def _started_at(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    return _at(Enrolment.started_at, operator, given, present)


def _stands(_operator: str, given: Given, _present: Present) -> sa.ColumnElement[bool]:
    return is_standing(Standing(given["standing"]))


def _finished_at(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    return sa.and_(Enrolment.finished_at.is_not(None), _at(Enrolment.finished_at, operator, given, present))


def _tier(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    """Why somebody holds it is not asked: a gift is told of nobody."""
    held = sa.select(Entitlement.id).join(User, User.id == Entitlement.user_id)
    held = held.where(User.contact_id == Contact.id, Entitlement.tier_id.in_(present.tier_ids(given["tier"])))
    has_held = held.where(Entitlement.begins_at <= present.now) if operator == "held" else held.where(is_live(present.now))
    is_so = has_held.correlate(Contact).exists()
    return ~is_so if operator == "holds_none" else is_so


HAD = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED, State.UNCERTAIN)
"""States of a mail that has left, as far as we know: what is in doubt counts, so that nobody hears from us too often."""


def _mailed(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
    purposes = [Purpose.COURSE, Purpose.MARKETING] if given["purpose"] == ANY else [Purpose(given["purpose"])]
    streams = sa.select(Stream.id).where(Stream.purpose.in_(purposes))
    has_left = (Message.state.in_(HAD), Message.settled_at > present.days_ago(given["days"]))
    had = _of_contact(Message, Message.contact_id, Message.stream_id.in_(streams), *has_left)
    return had if operator == "within_days" else ~had


def _reach(operator: str, _given: Given, _present: Present) -> sa.ColumnElement[bool]:
    which = {"bounced": SuppressionReason.BOUNCED, "complained": SuppressionReason.COMPLAINED}.get(operator)
    row = sa.select(Suppression.id).where(Suppression.address_mac == Contact.address_mac)
    is_suppressed = (row if which is None else row.where(Suppression.reason == which)).correlate_except(Suppression).exists()
    return ~is_suppressed if operator == "reachable" else is_suppressed


def _of_contact(model: Any, contact_id: sa.SQLColumnExpression[int], *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.select(model.id).where(contact_id == Contact.id, *conditions).correlate(Contact).exists()


def learner_who(course: str, present: Present, *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    """Whoever has this address takes one of the courses that `course` stands for, and the conditions hold of that enrolment."""
    takes = sa.select(Enrolment.id).join(User, User.id == Enrolment.user_id)
    own = (User.contact_id == Contact.id, Enrolment.course_id.in_(present.course_ids(course)))
    return takes.where(*own, *conditions).correlate(Contact).exists()


CONTACT, CONSENT, COURSES, TIERS, MAIL = _l("The person"), _l("What they agreed to"), _l("Courses"), _l("Paid tiers"), _l("Mail")
IS = (Operator("is", _l("is")), Operator("is_not", _l("is not")))


def _of_learner(key: str, label: LazyString, operators: tuple[Operator, ...], asked: Expression) -> Field:
    def expression(operator: str, given: Given, present: Present) -> sa.ColumnElement[bool]:
        return learner_who(given["course"], present, asked(operator, given, present))

    return Field(key, COURSES, label, operators, expression, (COURSE,), asked)


FIELDS: tuple[Field, ...] = (
    Field("language", CONTACT, _l("Language"), IS, _is(Contact.language, "language"), (LANGUAGE,)),
    Field("zone", CONTACT, _l("Time zone"), IS, _is(Contact.zone, "zone"), (ZONE,)),
    Field("name", CONTACT, _l("First name"), (Operator("known", _l("is known")), Operator("unknown", _l("is not known"))), _has_name),
    Field("since", CONTACT, _l("Known to us since"), MOMENTS, _is_here_since),
    Field("source", CONTACT, _l("Came by"), IS, _source, (SOURCE,)),
    Field(
        "consent",
        CONSENT,
        _l("Agreement"),
        (
            Operator("given", _l("is given")),
            Operator("withdrawn", _l("was withdrawn")),
            Operator("neither", _l("was neither given nor withdrawn")),
        ),
        _consent,
        (PURPOSE,),
    ),
    Field("consent_given", CONSENT, _l("Agreement given"), MOMENTS, _said_at(ConsentAction.GIVEN), (PURPOSE,)),
    Field("consent_withdrawn", CONSENT, _l("Agreement withdrawn"), MOMENTS, _said_at(ConsentAction.WITHDRAWN), (PURPOSE,)),
    Field(
        "enrolled",
        COURSES,
        _l("Enrolled"),
        (Operator("yes", _l("in this course")), Operator("no", _l("not in this course"))),
        _enrolled,
        (COURSE,),
    ),
    _of_learner("enrolled_at", _l("Day of enrolment"), MOMENTS, _started_at),
    _of_learner("progress", _l("How far they are"), (Operator("is", _l("is"), (STANDING,)),), _stands),
    _of_learner("finished_at", _l("Day of finishing"), MOMENTS, _finished_at),
    Field(
        "tier",
        TIERS,
        _l("Paid tier"),
        (Operator("holds", _l("is held now")), Operator("held", _l("was ever held")), Operator("holds_none", _l("is not held now"))),
        _tier,
        (TIER,),
    ),
    Field(
        "mailed",
        MAIL,
        _l("Mail from us"),
        (
            Operator("within_days", _l("came in the last … days"), (DAYS,)),
            Operator("not_within_days", _l("none in the last … days"), (DAYS,)),
        ),
        _mailed,
        (ANY_PURPOSE,),
    ),
    Field(
        "reach",
        MAIL,
        _l("Their address"),
        (
            Operator("reachable", _l("gets mail from us")),
            Operator("suppressed", _l("gets no mail, for whatever reason")),
            Operator("bounced", _l("gets none because mail came back")),
            Operator("complained", _l("gets none because of a complaint")),
        ),
        _reach,
    ),
)

BY_KEY = {field.key: field for field in FIELDS}


def fields_offered(courses: Courses) -> list[Field]:
    """Those of which something can be chosen now."""
    return [field for field in FIELDS if all(value.choices is None or value.choices(courses) for value in field.about)]
