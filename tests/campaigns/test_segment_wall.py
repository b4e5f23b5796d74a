"""The wall of segments: what can never be asked, held by every field's SQL and by twins who differ in it alone."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from sqlalchemy.sql import visitors

from courseapp.accounts.models import User
from courseapp.campaigns.segment_fields import FIELDS, Field, Operator
from courseapp.campaigns.segment_values import Kind, Value, known_courses
from courseapp.campaigns.segments import contacts_in
from courseapp.catalog.models import Course
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.learning.models import Outcome
from tests.campaigns.crowd import Tree, conditions, is_, learner
from tests.factories import (
    NOW,
    lesson_that_needs,
    lessons_of,
    make_asset,
    make_completion,
    make_course,
    make_outcome,
    make_position,
)

TOUCHED = {
    "contacts": {"id", "language", "zone", "first_name", "created_at", "confirmed_at", "erased_at", "address_mac"},
    "consents": {"id", "contact_id", "purpose", "action", "source", "at"},
    "suppressions": {"id", "address_mac", "reason"},
    "messages": {"id", "contact_id", "stream_id", "state", "settled_at"},
    "streams": {"id", "purpose"},
    "users": {"id", "contact_id"},
    "enrolments": {"id", "user_id", "course_id", "started_at", "finished_at"},
}
"""What segments may look at. A column more is a decision: see “The wall” in mailing.md."""
TO_HAVE_BEGUN = {"completions": {"id", "user_id", "lesson_id"}, "lessons": {"id", "course_id", "needs_check"}}
"""Whether any lesson at all is done; `is_standing` alone looks at that, and names no lesson."""


def every_condition() -> list[Tree]:
    """One condition for each field, operator and choice."""
    return [tree for field in FIELDS for operator in field.operators for tree in _written(field, operator)]


def _written(field: Field, operator: Operator) -> list[Tree]:
    values = field.values_of(operator)
    most = max((len(_some(value)) for value in values), default=1)
    return [
        is_(field.key, operator.key, **{value.name: _some(value)[number % len(_some(value))] for value in values}) for number in range(most)
    ]


def _some(value: Value) -> list[object]:
    if value.kind is Kind.DAYS:
        return [30 if value.name == "from" else 60]
    if value.kind is Kind.DATE:
        return ["2026-10-01"]
    assert value.choices is not None
    return list(value.choices(known_courses()))[:5]


def columns_of(query: sa.Select[int]) -> dict[str, set[str]]:
    """Every column that a statement names, wherever in it, by table; words of SQL's own, which could name any, are refused."""
    found: dict[str, set[str]] = {}
    for part in visitors.iterate(query):
        assert not isinstance(part, sa.TextClause)
        if isinstance(part, sa.ColumnClause):
            assert not part.is_literal
            table = part.table.element if isinstance(part.table, sa.Alias) else part.table
            found.setdefault(str(table), set()).add(part.name)
    return found


@pytest.mark.one_database
def test_every_field_looks_at_what_it_may_and_at_nothing_else(app):
    make_course()
    for tree in every_condition():
        allowed = TOUCHED | (TO_HAVE_BEGUN if tree["field"] == "progress" else {})
        for table, columns in columns_of(contacts_in(tree, NOW)).items():
            assert columns <= allowed.get(table, set()), f"{tree} looks at {table}: {columns - allowed.get(table, set())}"


@pytest.mark.one_database
def test_the_list_names_what_is_looked_at_and_no_more(app):
    make_course()
    touched: dict[str, set[str]] = {}
    for tree in every_condition():
        for table, columns in columns_of(contacts_in(tree, NOW)).items():
            touched.setdefault(table, set()).update(columns)
    assert touched == TOUCHED | TO_HAVE_BEGUN


@pytest.mark.one_database
def test_a_column_beyond_the_wall_would_be_found(app):
    course = make_course()
    beyond = contacts_in(is_("name", "known"), NOW).where(
        sa.select(User.id).where(User.contact_id == Contact.id, Course.headline == course.title).correlate(Contact).exists()
    )
    assert "headline" in columns_of(beyond)["courses"]


@pytest.fixture
def twins(app):
    """Two who differ in nothing but what lies beyond the wall, one pair begun and one not."""
    course = make_course()
    for name, done in (("one", True), ("two", False)):
        learner(f"{name}-open", course, 45, done=done)
        hidden = learner(f"{name}-hidden", course, 45)
        user = db.session.scalars(sa.select(User).where(User.contact_id == hidden.id)).one()
        make_outcome(user, Outcome.PROFESSIONAL)
        make_completion(user, lesson_that_needs(course, "touch"))
        make_position(user, make_asset(course))
        if done:
            make_completion(user, [lesson for lesson in lessons_of(course) if lesson.needs_check == "none"][1])
    db.session.commit()


def test_nobody_is_chosen_for_what_lies_beyond_the_wall(twins):
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
    @given(conditions(known_courses()))
    def hold(tree: Tree) -> None:
        names = set(db.session.scalars(sa.select(Contact.address).where(Contact.id.in_(contacts_in(tree, NOW)))))
        for name in ("one", "two"):
            assert (f"{name}-open@example.org" in names) == (f"{name}-hidden@example.org" in names)

    hold()
