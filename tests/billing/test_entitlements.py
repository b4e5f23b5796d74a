"""What holding a tier opens, and what is closed to those who hold none."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.billing.entitlements import closed_modules, courses_opened_to, holds_tier, modules_in, tiers_opening
from courseapp.billing.models import Closed
from courseapp.catalog.models import Course, Module
from courseapp.extensions import db
from tests.conftest import NOW
from tests.factories import make_course, make_entitlement, make_module, make_tier, make_user, modules_of

DAY = timedelta(days=1)


def closed_to(user: User, course: Course, now=NOW) -> set[int]:
    """The modules that are closed to somebody."""
    return set(modules_in(db.session.scalar(sa.select(closed_modules(sa.literal(course.id), sa.literal(user.id), sa.literal(now))))))


def ids_of(*modules: Module) -> set[int]:
    return {module.id for module in modules}


def test_a_course_that_nothing_grants_is_open(app: Flask) -> None:
    assert closed_to(make_user(), make_course()) == set()


def test_a_granted_course_is_closed_but_to_who_holds_the_tier(app: Flask) -> None:
    course, free = make_course(), make_course()
    tier, holder = make_tier(opens=course), make_user()
    make_entitlement(holder, tier)
    assert closed_to(make_user(), course) == ids_of(*modules_of(course))
    assert closed_to(holder, course) == closed_to(make_user(), free) == set()


def test_a_course_that_is_not_for_everybody_is_closed_though_no_tier_grants_it(app: Flask) -> None:
    course = make_course(paid_at=NOW)
    assert closed_to(make_user(), course) == ids_of(*modules_of(course))
    holder = make_user()
    make_entitlement(holder, make_tier(opens=course))
    assert closed_to(holder, course) == set()


def test_a_granted_module_leaves_the_others_open(app: Flask) -> None:
    course = make_course()
    extra = make_module(course)
    tier, holder = make_tier(opens=extra), make_user()
    make_entitlement(holder, tier)
    assert closed_to(make_user(), course) == {extra.id}
    assert closed_to(holder, course) == set()


def test_another_tier_does_not_open_it(app: Flask) -> None:
    course, holder = make_course(), make_user()
    make_tier(opens=course)
    make_entitlement(holder, make_tier(opens=make_course()))
    assert closed_to(holder, course) == ids_of(*modules_of(course))


@pytest.mark.parametrize(
    ("kw", "is_open"),
    [
        ({}, True),
        ({"ends_at": NOW + DAY}, True),
        ({"ends_at": NOW}, False),
        ({"begins_at": NOW + DAY}, False),
        ({"closed_at": NOW - DAY, "closed_why": Closed.REFUNDED}, False),
    ],
)
def test_what_is_held_opens_from_its_beginning_to_its_end(app: Flask, kw, is_open: bool) -> None:
    course, holder = make_course(), make_user()
    tier = make_tier(opens=course)
    make_entitlement(holder, tier, **kw)
    assert (closed_to(holder, course) == set()) is holds_tier(holder.id, tier.id, NOW) is is_open
    assert [found.id for found in courses_opened_to(holder.id, NOW)] == [course.id] * is_open


def test_an_archived_tier_still_closes_and_still_opens_but_is_not_offered(app: Flask) -> None:
    course, holder = make_course(), make_user()
    tier = make_tier(opens=course, archived_at=NOW)
    make_entitlement(holder, tier)
    assert closed_to(make_user(), course)
    assert not closed_to(holder, course)
    assert tiers_opening(course.id) == []


def test_tiers_that_open_a_module_are_those_of_its_course_too(app: Flask) -> None:
    course = make_course()
    extra = make_module(course)
    of_course, of_module = make_tier(opens=course), make_tier(opens=extra)
    assert tiers_opening(course.id, extra.id) == [of_course, of_module]
    assert tiers_opening(course.id) == [of_course]
