"""A crowd of which every field of segments chooses some and not others, and trees as hypothesis draws them."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from courseapp.campaigns.segment_fields import Field, Operator, fields_offered
from courseapp.campaigns.segment_values import Courses, Kind, Value
from courseapp.campaigns.segments import contacts_in
from courseapp.catalog.models import Course
from courseapp.contacts.models import ConsentAction, Contact, Purpose, SuppressionReason
from courseapp.extensions import db
from courseapp.mailing.models import State
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    make_completion,
    make_consent,
    make_contact,
    make_course,
    make_enrolment,
    make_message,
    make_suppression,
    make_user,
)

OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
"""For properties of one crowd, which all examples share."""
Tree = dict[str, Any]
EVERYBODY: Tree = {"all": []}


def is_(field: str, op: str = "is", **value: Any) -> Tree:
    """A condition."""
    return {"field": field, "op": op, "value": value}


def chosen(tree: Tree) -> set[str]:
    """Whom a tree chooses at the test's now, by the name before the @."""
    addresses = db.session.scalars(sa.select(Contact.address).where(Contact.id.in_(contacts_in(tree, NOW))))
    return {str(address).partition("@")[0] for address in addresses}


def person(name: str, **kw: Any) -> Contact:
    """Somebody with a confirmed address."""
    return make_contact(f"{name}@example.org", **{"created_at": days_ago(100), **kw})


def learner(name: str, course: Course, begun_days_ago: float, done: bool = False, finished: bool = False, **kw: Any) -> Contact:
    """Somebody who takes a course, and agreed to its mail when they began."""
    contact = person(name, **kw)
    user, began = make_user(contact=contact), days_ago(begun_days_ago)
    make_enrolment(user, course, started_at=began, finished_at=began + timedelta(days=5) if finished else None)
    if done:
        make_completion(user, lesson_that_needs(course, "none"))
    make_consent(contact, at=began, source="start")
    return contact


def make_crowd() -> tuple[Course, Course]:
    """Everybody, and the two courses there are; of the second one only `other` knows."""
    course, second = make_course(slug="introduction"), make_course(slug="second")
    learner("new", course, 2, language="de", zone="Europe/Berlin", created_at=days_ago(2))
    learner("idle", course, 45, first_name="Ida")
    learner("midway", course, 45, done=True)
    learner("finished", course, 45, done=True, finished=True)
    long_ago = learner("longago", course, 200, done=True)
    learner("other", second, 45, done=True)
    mailed = learner("mailed", course, 45, done=True)
    gone, back = learner("gone", course, 45, done=True), learner("back", course, 45, done=True)
    make_consent(gone, action=ConsentAction.WITHDRAWN, at=days_ago(3), source="unsubscribe")
    make_consent(back, action=ConsentAction.WITHDRAWN, at=days_ago(3), source="unsubscribe")
    make_consent(back, at=days_ago(1), source="preferences")
    make_consent(long_ago, Purpose.MARKETING, ConsentAction.ASKED, at=days_ago(200))
    make_consent(person("brought"), Purpose.MARKETING, at=days_ago(20), source="import")
    make_message(mailed, state=State.ACCEPTED, settled_at=days_ago(3))
    make_message(long_ago, state=State.ACCEPTED, settled_at=days_ago(30), stream="marketing")
    make_message(gone, state=State.SKIPPED, settled_at=days_ago(3))
    for name, reason in (("bouncing", SuppressionReason.BOUNCED), ("cross", SuppressionReason.COMPLAINED)):
        person(name)
        make_suppression(f"{name}@example.org", reason)
    person("unconfirmed", confirmed_at=None)
    erased = person("erased")
    erased.address = erased.address_key = erased.address_mac = None
    erased.erased_at = NOW
    db.session.commit()
    return course, second


def conditions(courses: Courses) -> st.SearchStrategy[Tree]:
    """Every condition that can be written."""
    return st.one_of([_condition(field, operator, courses) for field in fields_offered(courses) for operator in field.operators])


def _condition(field: Field, operator: Operator, courses: Courses) -> st.SearchStrategy[Tree]:
    given = st.fixed_dictionaries({value.name: _value(value, courses) for value in field.values_of(operator)})
    in_order = given.filter(lambda values: "from" not in values or values["from"] < values["to"])
    return in_order.map(lambda values: is_(field.key, operator.key, **values))


def _value(value: Value, courses: Courses) -> st.SearchStrategy[Any]:
    if value.kind is Kind.DAYS:
        return st.integers(0, 10) if value.name == "from" else st.one_of(st.integers(11, 100), st.integers(11, 3650))
    if value.kind is Kind.DATE:
        return st.integers(-30, 250).map(lambda days: days_ago(days).date().isoformat())
    assert value.choices is not None
    return st.sampled_from(sorted(value.choices(courses)))


def trees(courses: Courses) -> st.SearchStrategy[Tree]:
    """Trees within the bounds."""
    leaves, groups = conditions(courses), conditions(courses)
    for _depth in range(3):
        inner = st.lists(st.one_of(leaves, groups), min_size=1, max_size=3)
        groups = st.one_of(
            inner.map(lambda nodes: {"all": nodes}),
            inner.map(lambda nodes: {"any": nodes}),
            st.one_of(leaves, groups).map(lambda node: {"not": node}),
        )
    return st.one_of(leaves, groups)
