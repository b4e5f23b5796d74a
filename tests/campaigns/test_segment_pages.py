"""The pages of segments: made without JavaScript, counted, saved, put away; and sensitive courses."""

import io
import re
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from courseapp.campaigns import contact_imports
from courseapp.campaigns.models import Segment
from courseapp.campaigns.segment_drafts import Row, changed, drafted, rows_of
from courseapp.campaigns.segment_values import Present, known_courses
from courseapp.campaigns.segments import MOST_NODES, problems_of
from courseapp.catalog.models import Course
from courseapp.catalog.sensitivity import mark_sensitive
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.campaigns.crowd import OFTEN, Tree, chosen, is_, make_crowd, person, trees
from tests.client import forms_of
from tests.factories import NOW, make_course, make_segment, make_user


@pytest.fixture
def marketer(app, client):
    """A marketer who is signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=["marketer"]))


def send(client: Any, where: str, doing: str, *rows: tuple[str, dict[str, str]], **more: str) -> Any:
    """Press a button of the page, with these rows in its form."""
    form = MultiDict({"csrf_token": client.csrf_token(), "do": doing, **more})
    for path, fields in rows:
        form.add("node", path)
        form.update({f"{path}:{name}": value for name, value in fields.items()})
    return client.post(where, data=form)


def form_of(row: Row) -> MultiDict[str, str]:
    """What a browser sends of a page with these rows."""
    form: MultiDict[str, str] = MultiDict([("node", row.path)])
    if row.field is None or row.operator is None:
        form[f"{row.path}:mode"] = row.mode
        for child in row.rows:
            form.update(form_of(child))
    else:
        form.update({f"{row.path}:field": row.field.key, f"{row.path}:op": row.operator.key})
        form.update({f"{row.path}:{entry.value.name}": entry.given for entry in (*row.about, *row.entries)})
    return form


@pytest.mark.one_database
def test_every_tree_comes_back_from_its_form_with_the_same_meaning(app):
    make_crowd()
    present = Present(NOW, "UTC", known_courses())

    @OFTEN
    @given(trees(present.courses))
    def hold(tree: Tree) -> None:
        again = drafted(form_of(rows_of(tree, [], present)), present)
        assert problems_of(again) == []
        assert chosen(again) == chosen(tree)
        assert drafted(form_of(rows_of(again, [], present)), present) == again

    hold()


PATHS = st.one_of(st.sampled_from(["r", "r.0", "r.1", "r.0.0", "r.0.1", "r.x", "", "q", "r..", "r.99"]), st.text(max_size=5))
SENT = st.lists(
    st.tuples(
        st.one_of(
            st.just("node"), PATHS.flatmap(lambda path: st.sampled_from([f"{path}:{name}" for name in ("mode", "field", "op", "days")]))
        ),
        st.one_of(PATHS, st.sampled_from(["all", "none", "since", "within_days", "enrolled", "007", "-1"]), st.text(max_size=8)),
    ),
    max_size=30,
)


@pytest.mark.one_database
def test_whatever_a_form_holds_becomes_rows_that_can_be_shown(app):
    present = Present(NOW, "UTC", known_courses())

    @OFTEN
    @given(SENT, st.sampled_from(["condition", "group", "remove", "look", ""]), PATHS)
    def hold(sent: list[tuple[str, str]], what: str, path: str) -> None:
        tree = changed(drafted(MultiDict(sent), present), f"{what}:{path}", present)
        rows_of(tree, problems_of(tree), present)

    hold()


@pytest.mark.one_database
def test_buttons_add_and_remove_without_saving(marketer, client):
    root = ("r", {"mode": "all"})
    page = send(client, "/staff/mail/segments/new", "condition:r", root).text
    assert 'name="r.0:field"' in page
    page = send(client, "/staff/mail/segments/new", "group:r", root, ("r.0", {"field": "name", "op": "known"})).text
    assert 'name="r.1:mode"' in page
    assert 'name="r.1.0:field"' in page
    page = send(client, "/staff/mail/segments/new", "remove:r.0", root, ("r.0", {"field": "name", "op": "known"})).text
    assert 'name="r.0:field"' not in page
    assert db.session.scalars(sa.select(Segment)).all() == []


@pytest.mark.one_database
def test_a_row_fits_what_was_chosen_for_it(marketer, client):
    make_course(title="Breathing")
    left_over = {"field": "enrolled_at", "op": "known", "course": "introduction"}
    page = send(client, "/staff/mail/segments/new", "look", ("r", {"mode": "all"}), ("r.0", left_over)).text
    assert "Breathing" in page
    assert 'name="r.0:days"' in page
    page = send(client, "/staff/mail/segments/new", "look", ("r", {"mode": "all"}), ("r.0", {**left_over, "op": "between_days"})).text
    assert 'name="r.0:from"' in page
    assert 'name="r.0:days"' not in page


def test_a_segment_is_saved_counted_and_changed(marketer, client):
    person("ada", first_name="Ada")
    person("nameless")
    rows = (("r", {"mode": "all"}), ("r.0", {"field": "name", "op": "known"}))
    answer = send(client, "/staff/mail/segments/new", "save", *rows, name="Named")
    kept = db.session.scalars(sa.select(Segment)).one()
    assert answer.location.endswith(f"/staff/mail/segments/{kept.public_id}")
    assert (kept.name, kept.tree, kept.by_user_id) == ("Named", {"all": [is_("name", "known")]}, marketer.id)
    page = client.get(answer.location).text
    assert "1 person" in page
    assert "a…@example.org" in page
    assert "ada@example.org" not in page, "whoever looks at a sample learns no address"
    seen = kept.changed_at.isoformat()
    address = f"/staff/mail/segments/{kept.public_id}"
    assert send(client, address, "save", ("r", {"mode": "none"}), rows[1], name="Nameless", seen=seen).status_code == 303
    assert db.session.get_one(Segment, kept.id, populate_existing=True).tree == {"not": {"any": [is_("name", "known")]}}
    stale = send(client, address, "save", *rows, name="Too late", seen=seen)
    assert "Somebody else has changed this segment meanwhile." in stale.text
    assert "Too late" in stale.text, "what was typed is kept"
    assert db.session.get_one(Segment, kept.id, populate_existing=True).name == "Nameless"
    assert [event.type for event in db.session.scalars(sa.select(Event).where(Event.subject == f"segment:{kept.id}"))] == [
        "segment_saved"
    ] * 2


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("rows", "name", "words"),
    [
        ([("r", {"mode": "all"})], " ", "Please give it a name."),
        ([("r", {"mode": "all"})], "a\u2028b", "Please leave out line breaks"),
        ([("r", {"mode": "any"})], "Nobody", "nobody is chosen"),
        ([("r", {"mode": "all"}), ("r.0", {"field": "since", "op": "within_days", "days": "soon"})], "Soon", "whole number of days"),
        ([("r", {"mode": "all"}), ("r.0", {"field": "enrolled", "op": "yes", "course": "no-such"})], "Gone", "cannot be chosen here"),
        ([("r", {"mode": "all"}), *((f"r.{number}", {"field": "name"}) for number in range(MOST_NODES))], "Many", "too many conditions"),
    ],
    ids=["unnamed", "two lines", "nobody", "days", "course", "many"],
)
def test_what_cannot_be_saved_is_said_in_words(marketer, client, rows, name, words):
    answer = send(client, "/staff/mail/segments/new", "save", *rows, name=name)
    assert answer.status_code == 200
    assert words in answer.text
    assert "It is not saved yet" in answer.text
    assert db.session.scalars(sa.select(Segment)).all() == []


@pytest.mark.one_database
def test_the_list_is_paged_and_archived_ones_stand_apart(marketer, client):
    for number in range(32):
        make_segment(name=f"Number {number:02}")
    page = client.get("/staff/mail/segments").text
    assert "Number 31" in page
    assert "Number 01" not in page
    older = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Number 01" in client.get(older).text
    first = db.session.scalars(sa.select(Segment).order_by(Segment.id)).first()
    assert first is not None
    address = f"/staff/mail/segments/{first.public_id}/archive"
    client.post(address, data={"csrf_token": client.csrf_token()})
    client.get(older)  # which says what was done
    assert "Number 00" not in client.get(older).text
    assert "Number 00" in client.get("/staff/mail/segments?show=archived").text
    client.post(address, data={"csrf_token": client.csrf_token(), "back": "1"})
    assert "Number 00" in client.get(older).text


@pytest.mark.one_database
def test_a_course_marked_sensitive_is_offered_no_more_and_breaks_what_asked_for_it(client):
    client.sign_in(make_user(roles=["owner"]))
    course = make_course(title="A delicate matter", slug="delicate")
    kept = make_segment(is_("enrolled", "yes", course="delicate"))
    answer = client.post("/staff/mail/segments/courses", data={"csrf_token": client.csrf_token(), "sensitive": "delicate"})
    assert answer.status_code == 303
    page = client.get(f"/staff/mail/segments/{kept.public_id}").text
    assert "“delicate” cannot be chosen here." in page
    assert "A delicate matter" not in page
    assert db.session.scalars(sa.select(Event.type).where(Event.subject == f"course:{course.id}")).all() == ["course_marked_sensitive"]
    asked = client.submit("segments.saved", {"sensitive": None}, to="segments.choose_courses")
    assert asked.status_code == 200
    assert "A delicate matter" in asked.text, "taking a mark away asks first"
    assert "A delicate matter" not in client.get(f"/staff/mail/segments/{kept.public_id}").text
    sure = next(form for form in forms_of(asked.text, "/staff/mail/segments/courses") if "sure" in form.fields)
    assert client.post("/staff/mail/segments/courses", data=sure.fields).status_code == 303
    assert "A delicate matter" in client.get(f"/staff/mail/segments/{kept.public_id}").text


@pytest.mark.one_database
def test_beside_a_marked_course_nobody_is_offered_what_tells_who_takes_it(marketer, client):
    make_course(title="A delicate matter", slug="delicate")
    kept = make_segment({"all": [is_("source", source="start"), is_("consent", "given", purpose="course")]})
    page = send(client, "/staff/mail/segments/new", "condition:r", ("r", {"mode": "all"})).text
    assert "Came by" in page
    assert "Course mail" in page
    assert "A course or a tier is marked as sensitive." not in page
    db.session.execute(sa.update(Course).values(sensitive_at=NOW))
    page = send(client, "/staff/mail/segments/new", "condition:r", ("r", {"mode": "all"})).text
    assert "Came by" not in page
    assert "Course mail" not in page
    assert "A course or a tier is marked as sensitive." in page
    page = client.get(f"/staff/mail/segments/{kept.public_id}").text
    assert page.count("people cannot be chosen by how they came to us") == 4, "beside each row, and instead of a count"
    assert '<option value="source" selected>Came by</option>' in page


def test_a_page_that_is_old_takes_no_mark_away_that_another_owner_has_set(client):
    client.sign_in(make_user(roles=["owner"]))
    first, second = make_course(slug="first"), make_course(slug="second")
    mark_sensitive(first, True, NOW)
    shown = next(
        form for form in forms_of(client.visit("segments.saved").text, "/staff/mail/segments") if form.action.endswith("/segments/courses")
    )
    mark_sensitive(second, True, NOW)
    answer = client.post(shown.action, data=shown.fields)
    assert answer.status_code == 303
    assert "Nothing was different." in client.get(answer.location).text
    assert (first.sensitive_at, second.sensitive_at) == (NOW, NOW)


@pytest.mark.one_database
@pytest.mark.settings(languages="en,pt-BR")
@pytest.mark.parametrize("page", ["broadcasts.begin", "sequence_drafts.begin", "contacts.snippet", "contacts.coming"])
def test_languages_are_called_by_their_names_wherever_one_is_chosen(marketer, client, page):
    came = contact_imports.receive(io.BytesIO(b"Email,Agreed\nada@example.org,2026-01-01"), "list.csv", marketer.id, "en", NOW)
    text = client.visit(page, **({"id": came.public_id} if page == "contacts.coming" else {})).text
    assert re.search(r'<option[^>]* value="pt-BR">português \(Brasil\)</option>', text)
