"""Segments: whom each condition chooses, that trees are sets, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.campaigns.segment_values import known_courses
from courseapp.campaigns.segments import MOST_NODES, contacts_in, count_of, look_at, problems_of, sample_of
from courseapp.catalog.sensitivity import mark_sensitive
from courseapp.errors import Refusal
from courseapp.extensions import db
from tests.campaigns.crowd import EVERYBODY, OFTEN, Tree, chosen, is_, make_crowd, person, trees
from tests.factories import NOW

IN_COURSE = {"new", "idle", "midway", "finished", "longago", "mailed", "gone", "back"}
ALL = IN_COURSE | {"other", "brought", "bouncing", "cross"}
COURSE = {"course": "introduction"}


@pytest.fixture
def crowd(app):
    """Everybody."""
    return make_crowd()


def test_only_confirmed_people_who_are_still_known_are_chosen(crowd):
    assert chosen(EVERYBODY) == ALL
    assert count_of(EVERYBODY, NOW) == len(ALL)


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (is_("language", language="en"), ALL - {"new"}),
        (is_("zone", zone="Europe/Berlin"), {"new"}),
        (is_("zone", "is_not", zone="Europe/Berlin"), ALL - {"new"}),
        (is_("name", "known"), {"idle"}),
        (is_("name", "unknown"), ALL - {"idle"}),
        (is_("since", "within_days", days=7), {"new"}),
        (is_("since", "before_day", day="2026-10-01"), ALL - {"new"}),
        (is_("source", source="import"), {"brought"}),
        (is_("source", "is_not", source="start"), {"brought", "bouncing", "cross"}),
        (is_("source", source="preferences"), {"back"}),
        (is_("consent", "given", purpose="course"), (IN_COURSE | {"other"}) - {"gone"}),
        (is_("consent", "withdrawn", purpose="course"), {"gone"}),
        (is_("consent", "neither", purpose="course"), {"brought", "bouncing", "cross"}),
        (is_("consent", "given", purpose="marketing"), {"brought"}),
        (is_("consent_given", "within_days", purpose="course", days=10), {"new", "back"}),
        (is_("consent_withdrawn", "within_days", purpose="course", days=10), {"gone"}),
        (is_("enrolled", "yes", **COURSE), IN_COURSE),
        (is_("enrolled", "yes", course="any"), IN_COURSE | {"other"}),
        (is_("enrolled", "no", **COURSE), ALL - IN_COURSE),
        (is_("enrolled_at", "between_days", **COURSE, **{"from": 30, "to": 60}), IN_COURSE - {"new", "longago"}),
        (is_("enrolled_at", "before_days", **COURSE, days=60), {"longago"}),
        (is_("enrolled_at", "since_day", course="any", day="2026-10-31"), {"new"}),
        (is_("progress", **COURSE, standing="not begun"), {"new", "idle"}),
        (is_("progress", **COURSE, standing="begun"), {"midway", "longago", "mailed", "gone", "back"}),
        (is_("progress", course="any", standing="finished"), {"finished"}),
        (is_("finished_at", "within_days", **COURSE, days=41), {"finished"}),
        (is_("mailed", "within_days", purpose="course", days=7), {"mailed"}),
        (is_("mailed", "within_days", purpose="any", days=40), {"mailed", "longago"}),
        (is_("mailed", "not_within_days", purpose="marketing", days=40), ALL - {"longago"}),
        (is_("reach", "bounced"), {"bouncing"}),
        (is_("reach", "complained"), {"cross"}),
        (is_("reach", "suppressed"), {"bouncing", "cross"}),
        (is_("reach", "reachable"), ALL - {"bouncing", "cross"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
@pytest.mark.one_database
def test_each_condition_chooses_whom_it_says(crowd, tree, names):
    assert chosen(tree) == names


def test_any_tree_runs_and_shares_everybody_out_with_its_opposite(crowd):
    everybody = chosen(EVERYBODY)

    @OFTEN
    @given(trees(known_courses()))
    def hold(tree: Tree) -> None:
        assert problems_of(tree) == []
        within, without = chosen(tree), chosen({"not": tree})
        assert not within & without
        assert within | without == everybody
        assert within == expected(tree, everybody)

    hold()


def expected(node: Tree, everybody: set[str]) -> set[str]:
    """What a tree must choose, put together from what its conditions choose alone."""
    if "field" in node:
        return chosen(node)
    key, inner = next(iter(node.items()))
    if key == "not":
        return everybody - expected(inner, everybody)
    parts = [expected(child, everybody) for child in inner]
    return set.intersection(everybody, *parts) if key == "all" else set().union(*parts)


def test_what_is_asked_of_one_enrolment_is_asked_of_it_at_once(crowd):
    day, stands = is_("enrolled_at", "before_days", **COURSE, days=60), is_("progress", **COURSE, standing="begun")
    both = chosen(day) & chosen(stands)
    assert both
    assert both < chosen(stands)
    for tree, looks in (({"all": [day, stands]}, 1), ({"all": [day, {"all": [stands]}]}, 2)):
        assert chosen(tree) == both
        assert str(contacts_in(tree, NOW)).count("JOIN users") == looks
    assert chosen({"not": {"all": [day, stands]}}) == ALL - both
    assert chosen({"all": [day, is_("progress", course="second", standing="begun")]}) == set(), "two courses are two enrolments"
    of_any = [is_("enrolled_at", "before_days", course="any", days=20), is_("progress", course="any", standing="begun")]
    assert chosen({"all": of_any}) == chosen(of_any[0]) & chosen(of_any[1]), "of several courses each may hold of another"


@pytest.mark.one_database
def test_a_sample_is_the_newest_few_and_the_count_is_of_all(crowd):
    found = look_at(is_("enrolled", "yes", course="any"), NOW, 3)
    assert (found.count, [contact.address for contact in found.sample]) == (
        9,
        [f"{name}@example.org" for name in ("back", "gone", "mailed")],
    )
    assert len(sample_of(EVERYBODY, NOW)) == 5
    nobody = look_at(is_("since", "before_day", day="2000-01-02"), NOW)
    assert (nobody.count, nobody.sample) == (0, [])


@pytest.mark.one_database
def test_a_day_begins_in_the_zone_of_the_site(make_app):
    app = make_app(default_zone="Pacific/Auckland")  # 13 hours ahead in November
    with app.app_context():
        person("before", created_at=NOW.replace(hour=10, minute=59))
        person("after", created_at=NOW.replace(hour=11, minute=0))
        assert chosen(is_("since", "since_day", day="2026-11-03")) == {"after"}


def nested(node: Any, times: int) -> Any:
    """A node within so many groups."""
    for _time in range(times):
        node = {"all": [node]}
    return node


GOOD = is_("name", "known")


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        ({"all": [], "any": []}, ""),
        ({"any": []}, "/any"),
        ({"all": {}}, "/all"),
        ({"all": [{"any": []}]}, "/all/0/any"),
        ({"all": [GOOD, "name"]}, "/all/1"),
        ({"not": None}, "/not"),
        ({"none": [GOOD]}, ""),
        (nested(GOOD, 5), "/all/0/all/0/all/0/all/0"),
        (is_("outcome"), "/field"),
        ({**GOOD, "field": ["name"]}, "/field"),
        (is_("name", "drop table"), "/op"),
        ({**GOOD, "sql": "1 = 1"}, "/op"),
        ({**GOOD, "value": "known"}, "/value"),
        ({**GOOD, "value": {"name": "Ada"}}, "/value"),
        (is_("language"), "/value/language"),
        (is_("language", language="tlh"), "/value/language"),
        (is_("zone", zone="Mars/Olympus"), "/value/zone"),
        (is_("consent", "given", purpose="service"), "/value/purpose"),
        (is_("enrolled", "yes", course="no-such"), "/value/course"),
        (is_("since", "within_days", days="7"), "/value/days"),
        (is_("since", "within_days", days=True), "/value/days"),
        (is_("since", "within_days", days=-1), "/value/days"),
        (is_("since", "within_days", days=10**30), "/value/days"),
        (is_("since", "between_days", **{"from": 60, "to": 30}), "/value/to"),
        (is_("since", "since_day", day="2026-02-30"), "/value/day"),
        (is_("since", "since_day", day="20260201"), "/value/day"),
        (is_("since", "since_day", day="0001-01-01"), "/value/day"),
    ],
    ids=str,
)
@pytest.mark.one_database
def test_what_is_no_tree_is_refused_with_its_place(app, tree, path):
    problems = problems_of(tree)
    assert [problem.path for problem in problems] == [path]
    assert problems[0].words
    with pytest.raises(Refusal):
        contacts_in(tree, NOW)


@pytest.mark.one_database
def test_everything_that_is_wrong_is_said_at_once(app):
    assert [problem.path for problem in problems_of({"all": [is_("zone"), GOOD, {"any": [is_("x")]}]})] == [
        "/all/0/value/zone",
        "/all/2/any/0/field",
    ]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "tree", [{"all": [GOOD] * MOST_NODES}, nested(GOOD, 500), {"all": [{"all": [GOOD] * 50}] * 50}], ids=["wide", "deep", "both"]
)
def test_a_tree_is_of_a_bounded_size(app, tree):
    assert [problem.path for problem in problems_of(tree)] == [""]


JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["all", "any", "not", "name", "since", "within_days"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["all", "any", "not", "field", "op", "value", "days"]), inner, max_size=3),
    ),
)


@pytest.mark.one_database
def test_whatever_is_sent_is_judged_and_never_breaks(app):
    @OFTEN
    @given(JSONS)
    def hold(tree: Any) -> None:
        if not problems_of(tree):
            count_of(tree, NOW)

    hold()


@pytest.mark.one_database
def test_a_course_that_the_owner_marks_sensitive_chooses_nobody(crowd):
    _course, second = crowd
    assert chosen(is_("enrolled", "yes", course="second")) == {"other"}
    mark_sensitive(second, True, NOW)
    db.session.flush()
    for tree in (is_("enrolled", "yes", course="second"), {"not": is_("progress", course="second", standing="begun")}):
        assert [problem.path.rpartition("/")[2] for problem in problems_of(tree)] == ["course"]
        with pytest.raises(Refusal):
            contacts_in(tree, NOW)
    assert chosen(is_("enrolled", "yes", course="any")) == IN_COURSE
