"""The wall of segments: what can never be asked, held by every field's SQL and by twins who differ in it alone."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from sqlalchemy.sql import visitors

from courseapp.accounts.models import User
from courseapp.billing.sensitivity import all_tiers
from courseapp.campaigns.segment_fields import FIELDS, Field, Operator, fields_offered
from courseapp.campaigns.segment_values import Courses, Kind, Value, known_courses
from courseapp.campaigns.segments import contacts_in
from courseapp.catalog.models import Course
from courseapp.catalog.sensitivity import all_courses
from courseapp.contacts.models import ConsentAction, Contact, Purpose
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.learning.models import Outcome
from courseapp.mailing.models import State
from tests.campaigns.crowd import EVERYBODY, OFTEN, Tree, chosen, conditions, is_, learner, person, trees
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    lessons_of,
    make_asset,
    make_completion,
    make_consent,
    make_course,
    make_enrolment,
    make_entitlement,
    make_message,
    make_outcome,
    make_position,
    make_tier,
    make_user,
)

SELLS = pytest.mark.settings(stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")  # nobody answers there
TOUCHED = {
    "contacts": {"id", "language", "zone", "first_name", "created_at", "confirmed_at", "erased_at", "address_mac"},
    "consents": {"id", "contact_id", "purpose", "action", "source", "at"},
    "suppressions": {"id", "address_mac", "reason"},
    "messages": {"id", "contact_id", "stream_id", "state", "settled_at"},
    "streams": {"id", "purpose"},
    "users": {"id", "contact_id"},
    "enrolments": {"id", "user_id", "course_id", "started_at", "finished_at"},
    "entitlements": {"id", "user_id", "tier_id", "begins_at", "ends_at", "closed_at"},  # not why: a gift is told of nobody
}
"""What segments may look at. A column more is a decision: see “The wall” in mailing.md."""
TO_HAVE_BEGUN = {"completions": {"id", "user_id", "lesson_id"}, "lessons": {"id", "course_id", "needs_check"}}
"""Whether any lesson at all is done; `is_standing` alone looks at that, and names no lesson."""


def every_condition(courses: Courses, days: int = 60) -> list[Tree]:
    """One condition for each field, operator and choice; what counts days counts so many, and `from` half of them."""
    return [tree for field in FIELDS for operator in field.operators for tree in _written(field, operator, courses, days)]


def _written(field: Field, operator: Operator, courses: Courses, days: int) -> list[Tree]:
    some = {value.name: _some(value, courses, days) for value in field.values_of(operator)}
    most = max(map(len, some.values()), default=1)
    return [is_(field.key, operator.key, **{name: given[number % len(given)] for name, given in some.items()}) for number in range(most)]


def _some(value: Value, courses: Courses, days: int) -> list[object]:
    if value.kind is Kind.DAYS:
        return [days // 2 if value.name == "from" else days]
    if value.kind is Kind.DATE:
        return [days_ago(days).date().isoformat()]
    assert value.choices is not None
    return list(value.choices(courses))[:5]


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


@SELLS
@pytest.mark.one_database
def test_every_field_looks_at_what_it_may_and_at_nothing_else(app):
    make_tier(opens=make_course())
    for tree in every_condition(known_courses()):
        allowed = TOUCHED | (TO_HAVE_BEGUN if tree["field"] == "progress" else {})
        for table, columns in columns_of(contacts_in(tree, NOW)).items():
            assert columns <= allowed.get(table, set()), f"{tree} looks at {table}: {columns - allowed.get(table, set())}"


@SELLS
@pytest.mark.one_database
def test_the_list_names_what_is_looked_at_and_no_more(app):
    make_tier(opens=make_course())
    touched: dict[str, set[str]] = {}
    for tree in every_condition(known_courses()):
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
    @OFTEN
    @given(conditions(known_courses()))
    def hold(tree: Tree) -> None:
        names = set(db.session.scalars(sa.select(Contact.address).where(Contact.id.in_(contacts_in(tree, NOW)))))
        for name in ("one", "two"):
            assert (f"{name}-open@example.org" in names) == (f"{name}-hidden@example.org" in names)

    hold()


# Courses marked as sensitive

KINDS = ("stranger", "silent", "withdrawn", "agreed", "listed", "learner")
EXPECTED_TO_STAY = {"agreed", "listed", "learner"}


@pytest.fixture
def marked(app):
    """A marked course and an open one, and twins: `…-told` takes the marked one with all that follows from it, `…-plain` takes it not."""
    open_one, marked = make_course(slug="open"), make_course(slug="marked", sensitive_at=NOW)
    for kind in KINDS:
        told, plain = person(f"{kind}-told"), person(f"{kind}-plain")
        users = make_user(contact=told), make_user(contact=plain)
        make_enrolment(users[0], marked, started_at=days_ago(20), finished_at=days_ago(4) if kind == "learner" else None)
        make_completion(users[0], lesson_that_needs(marked, "none"))
        if kind != "silent":
            make_consent(told, at=days_ago(20), source="start")
            make_message(told, state=State.ACCEPTED, settled_at=days_ago(3))
        if kind == "withdrawn":
            make_consent(told, action=ConsentAction.WITHDRAWN, at=days_ago(2), source="unsubscribe")
        if kind == "agreed":  # when they started, or in a form on another site
            make_consent(told, Purpose.MARKETING, at=days_ago(20), source="start")
            make_consent(plain, Purpose.MARKETING, at=days_ago(20), source="form:blog")
        for contact, user in zip((told, plain), users, strict=True):
            if kind == "listed":
                make_consent(contact, Purpose.MARKETING, at=days_ago(60), source="import:1")
                make_message(contact, state=State.ACCEPTED, settled_at=days_ago(9), stream="marketing")
            if kind == "learner":
                make_enrolment(user, open_one, started_at=days_ago(60))
    db.session.commit()
    return marked


def assert_twins_are_alike(tree: Tree) -> None:
    """Whatever a segment chooses, it chooses both of them or neither."""
    names = chosen(tree)
    apart = [kind for kind in KINDS if (f"{kind}-told" in names) != (f"{kind}-plain" in names)]
    assert not apart, f"{tree} tells who takes a marked course: {apart}"


@pytest.mark.parametrize("days", [2, 5, 15, 30, 80])
@pytest.mark.one_database
def test_no_condition_tells_who_takes_a_marked_course(marked, days):
    without_a_wall = Courses({course.slug: course for course in all_courses()})  # what could be written before it was marked
    assert_twins_are_alike(EVERYBODY)
    for tree in every_condition(without_a_wall, days):
        value = tree["value"]
        if tree["field"] == "source" or value.get("purpose") in {"course", "any"} or value.get("course") == "marked":
            with pytest.raises(Refusal):
                contacts_in(tree, NOW)
        else:
            assert_twins_are_alike(tree)
            assert_twins_are_alike({"not": tree})


def test_no_two_conditions_nor_any_tree_tells_who_takes_a_marked_course(marked):
    courses = known_courses()

    @OFTEN
    @given(conditions(courses), conditions(courses), trees(courses))
    def hold(one: Tree, other: Tree, tree: Tree) -> None:
        for pair in ({"all": [one, other]}, {"any": [one, other]}, {"all": [one, {"not": other}]}, {"all": [tree]}):
            assert_twins_are_alike(pair)

    hold()


@pytest.mark.one_database
def test_beside_a_marked_course_segments_choose_whom_they_did_for_marketing(marked):
    assert chosen(EVERYBODY) == {f"{kind}-{twin}" for kind in EXPECTED_TO_STAY for twin in ("told", "plain")}
    assert chosen(is_("enrolled", "yes", course="open")) == {"learner-told", "learner-plain"}
    marked.sensitive_at = None
    db.session.flush()
    assert {"stranger-plain", "silent-told"} <= chosen(EVERYBODY), "nothing is left out where no course is marked"
    assert chosen({"all": [is_("source", source="start"), is_("mailed", "within_days", purpose="course", days=5)]}) == {
        *("stranger-told", "withdrawn-told", "agreed-told", "listed-told", "learner-told")
    }


# Tiers marked as sensitive


@pytest.fixture
def marked_tier(app):
    """The same twins, but what is marked is a tier that opens the course, and `…-told` holds it; all hold the open one now and then."""
    open_one, behind = make_course(slug="open"), make_course(slug="marked")
    marked, offered = make_tier(key="marked-tier", opens=behind, sensitive_at=NOW), make_tier(key="open-tier", opens=open_one)
    for kind in ("agreed", "learner", "stranger"):
        told, plain = person(f"{kind}-told"), person(f"{kind}-plain")
        users = make_user(contact=told), make_user(contact=plain)
        make_enrolment(users[0], behind, started_at=days_ago(20))
        make_entitlement(users[0], marked, "purchase", begins_at=days_ago(20))
        make_consent(told, at=days_ago(20), source="start")
        make_message(told, state=State.ACCEPTED, settled_at=days_ago(3))
        for contact, user in zip((told, plain), users, strict=True):
            if kind == "agreed":
                make_consent(contact, Purpose.MARKETING, at=days_ago(60), source="form:blog")
            if kind == "learner":
                make_enrolment(user, open_one, started_at=days_ago(60))
                make_entitlement(user, offered, "purchase", begins_at=days_ago(50))
    db.session.commit()
    return marked


@SELLS
@pytest.mark.one_database
def test_no_condition_tells_who_holds_a_marked_tier(marked_tier):
    everything = Courses({course.slug: course for course in all_courses()}, tiers={tier.key: tier for tier in all_tiers()})
    assert chosen(EVERYBODY) == {f"{kind}-{twin}" for kind in ("agreed", "learner") for twin in ("told", "plain")}
    for tree in every_condition(everything):
        value = tree["value"]
        is_behind = {value.get("course"), value.get("tier")} & {"marked", "marked-tier"}
        if tree["field"] == "source" or value.get("purpose") in {"course", "any"} or is_behind:
            with pytest.raises(Refusal):
                contacts_in(tree, NOW)
        else:
            for asked in (tree, {"not": tree}):
                names = chosen(asked)
                assert {name.partition("-")[0] for name in names if name.endswith("told")} == {
                    name.partition("-")[0] for name in names if name.endswith("plain")
                }, asked


@SELLS
@pytest.mark.one_database
def test_a_saved_segment_that_names_a_tier_is_refused_once_that_is_marked(marked_tier):
    marked_tier.sensitive_at = None
    db.session.flush()
    tree = is_("tier", "holds", tier="marked-tier")
    assert chosen(tree) == {"agreed-told", "learner-told", "stranger-told"}
    marked_tier.sensitive_at = NOW
    db.session.flush()
    with pytest.raises(Refusal):
        contacts_in(tree, NOW)
    assert chosen(is_("tier", "held", tier="any")) == {"learner-told", "learner-plain"}


@SELLS
def test_a_tier_is_held_now_was_held_once_or_is_not_held(app):
    tier, other = make_tier(key="gold"), make_tier(key="silver")
    now, ended, closed, never = (person(name) for name in ("now", "ended", "closed", "never"))
    make_entitlement(make_user(contact=now), tier)
    make_entitlement(make_user(contact=ended), tier, begins_at=days_ago(20), ends_at=days_ago(2))
    make_entitlement(make_user(contact=closed), tier, begins_at=days_ago(20), closed_at=days_ago(2), closed_why="lapsed")
    make_entitlement(make_user(contact=never), other, begins_at=days_ago(-2))
    db.session.commit()
    assert chosen(is_("tier", "holds", tier="gold")) == {"now"}
    assert chosen(is_("tier", "held", tier="gold")) == {"now", "ended", "closed"}
    assert chosen(is_("tier", "holds_none", tier="gold")) == {"ended", "closed", "never"}
    assert chosen(is_("tier", "held", tier="any")) == {"now", "ended", "closed"}
    assert chosen(is_("tier", "holds_none", tier="any")) == {"ended", "closed", "never"}


@pytest.mark.one_database
def test_without_a_key_nobody_is_chosen_by_a_tier(app):
    make_tier(key="gold")
    assert "tier" not in {field.key for field in fields_offered(known_courses())}
    with pytest.raises(Refusal):
        contacts_in(is_("tier", "holds", tier="gold"), NOW)
