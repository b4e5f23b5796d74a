"""Correcting a lesson in the page: looked at, kept as a draft, saved as a revision like an import's, and nobody loses text."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.authoring import drafts
from courseapp.authoring.drafts import Place
from courseapp.authoring.editing import FIELDS
from courseapp.authoring.importing import Result, import_course
from courseapp.authoring.models import Import, KeptDraft
from courseapp.authoring.undoing import last_import, undo
from courseapp.catalog.models import Asset, Copy, Course, Lesson, Need, Origin, Revision
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.progress import outline_for
from courseapp.operations.people import erase, export
from tests.authoring.folders import STOP, lesson, small_course
from tests.client import Client, forms_of
from tests.factories import NOW, make_completion, make_enrolment, make_outcome, make_user

ONE, TWO, TOUCH = ({"slug": "small", "key": key} for key in ("one", "two", "touch"))


def bring_in(folder: Path, **more: str | bytes) -> Result:
    """Import the small course with these files in place of its own, and publish it."""
    result = import_course(small_course(folder, **more), NOW, publish=True, without_review=True)
    assert not result.report.has_errors, [row.words() for row in result.report.sorted()]
    db.session.commit()
    return result


@pytest.fixture
def course(app: Flask, tmp_path: Path) -> Course:
    """The small course, published."""
    bring_in(tmp_path / "first")
    return db.session.scalars(sa.select(Course)).one()


@pytest.fixture
def person() -> User:
    """An instructor."""
    return make_user(roles=("instructor",))


@pytest.fixture
def instructor(client: Client, person: User) -> Client:
    """A browser in which the instructor is signed in."""
    client.sign_in(person)
    return client


def another(app: Flask, user: User | None = None) -> Client:
    """Another browser, of another instructor or of `user`."""
    made = app.test_client()
    assert isinstance(made, Client)
    made.sign_in(user or make_user(roles=("instructor",)))
    return made


def current(key: str) -> Revision:
    """A lesson's present revision, as the database has it."""
    db.session.expire_all()
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == key)).one()
    return db.session.scalars(sa.select(Revision).where(Revision.lesson_id == row.id, Revision.number == row.revision_number)).one()


def lesson_row(key: str) -> Lesson:
    """A lesson, as the database has it."""
    return db.session.scalars(sa.select(Lesson).where(Lesson.key == key).execution_options(populate_existing=True)).one()


def change(client: Client, place: dict[str, str], data: dict[str, str | None], choice: str = "save") -> tuple[int, str]:
    """Open the editor, type, and press a button; the answer's status and text."""
    answer = client.submit("editor.lesson", {**data, "choice": choice}, to="editor.change", **place)
    return answer.status_code, client.get(answer.location).text if answer.status_code == 303 else answer.text


def test_what_is_saved_is_what_an_import_of_the_same_text_makes(app: Flask, instructor: Client, course: Course, tmp_path: Path) -> None:
    version = course.version
    status, text = change(instructor, TWO, {"body": "Other *words*, see [one](lesson:one).", "title": "Renamed", "minutes": "9"})
    assert (status, "Learners see it now" in text) == (303, True)
    revision, row = current("two"), lesson_row("two")
    assert (revision.number, revision.origin, row.title, row.minutes) == (2, Origin.EDIT, "Renamed", 9)
    assert "<em>words</em>" in revision.html
    assert db.session.scalars(sa.select(Course.version)).one() == version + 1
    assert db.session.query(Copy).filter_by(version=version + 1).count() == 3
    reader = another(app, make_user())
    make_enrolment(db.session.query(User).order_by(User.id.desc()).first(), course)
    assert "<em>words</em>" in reader.visit("learning.lesson", id=row.public_id).text
    same = {"01-beginning/02-two.md": lesson("two", "Other *words*, see [one](lesson:one).\n", title="Renamed", minutes=9)}
    result = import_course(small_course(tmp_path / "first", **same), NOW, publish=True, without_review=True)
    assert result.difference.is_empty


def test_a_form_sent_as_it_was_changes_nothing(instructor: Client, course: Course) -> None:
    for place in (ONE, TWO, TOUCH):
        status, text = change(instructor, place, {})
        assert (status, "nothing was saved" in text) == (303, True)
        assert current(place["key"]).number == 1
    assert db.session.query(KeptDraft).count() == 0


def test_what_is_wrong_is_said_by_line_and_nothing_is_saved_but_the_draft(instructor: Client, course: Course) -> None:
    body = "Fine.\n\n![](square.svg)\n\n[x](nowhere)\n\n::: nothing\n:::\n"
    status, text = change(instructor, ONE, {"body": body, "minutes": "soon", "title": ""})
    assert status == 422
    for words in ("Line 3", "Line 5", "Line 7", "Nothing was saved yet", "whole number", "“title” is missing"):
        assert words in text
    assert "::: nothing" in text
    assert current("one").number == 1
    kept = db.session.scalars(sa.select(KeptDraft)).one()
    assert (kept.typed["body"], kept.typed["minutes"]) == (body, "soon")
    again = instructor.visit("editor.lesson", **ONE).text
    assert "::: nothing" in again
    assert "This is your draft" in again


def test_the_preview_is_what_learners_see_and_holds_no_script(instructor: Client, course: Course) -> None:
    status, text = change(instructor, TWO, {"body": "<script>alert(1)</script>\n\n**Bold**\n\n![A square](square.svg)"}, "preview")
    assert status == 200
    assert "<strong>Bold</strong>" in text
    assert "<script>alert" not in text
    asset = db.session.scalars(sa.select(Asset).where(Asset.path == "01-beginning/square.svg")).one()
    assert f'src="/staff/files/{asset.public_id}.svg"' in text
    shown = instructor.get(f"/staff/files/{asset.public_id}.svg")
    assert (shown.status_code, "sandbox" in shown.headers["Content-Security-Policy"]) == (200, True)
    assert current("two").number == 1
    assert change(instructor, TWO, {})[0] == 303
    assert f'src="/assets/{asset.public_id}.svg"' in current("two").html


def test_typing_is_kept_and_answered_with_the_page_as_it_would_look(instructor: Client, course: Course) -> None:
    fields = form_of(instructor, TWO)
    first = keep(instructor, TWO, {**fields, "body": "One"}, 2)
    assert "<p>One</p>" in first["html"]
    assert (first["problems"], first["is_changed"]) == ([], False)
    keep(instructor, TWO, {**fields, "body": "One two three"}, 4)
    late = keep(instructor, TWO, {**fields, "body": "One two"}, 3)
    kept = db.session.scalars(sa.select(KeptDraft)).one()
    assert (late["draft"], kept.typed["body"], kept.seq) == (kept.public_id, "One two three", 4)
    assert keep(instructor, TWO, {**fields, "body": "[x](nowhere)"}, 5)["problems"][0]["line"] == 1


def form_of(client: Client, place: dict[str, str], **query: str) -> dict[str, str]:
    """What the editor's form holds."""
    address = client.path("editor.lesson", **place)
    shown = client.get(address, query_string=query)
    return next(form.fields for form in forms_of(shown.text, address) if "body" in form.fields)


def keep(client: Client, place: dict[str, str], fields: dict[str, str], seq: int) -> dict[str, Any]:
    """What the page sends while one types."""
    answer = client.post(client.path("editor.keep_draft", **place), data={**fields, "seq": str(seq)})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_tab_that_was_doubled_keeps_both_texts(instructor: Client, course: Course) -> None:
    fields = form_of(instructor, TWO)
    keep(instructor, TWO, {**fields, "body": "From the first tab"}, 2)
    other = keep(instructor, TWO, {**fields, "body": "From its double"}, 2)
    assert other["draft"] != fields["draft"]
    assert sorted(row.typed["body"] for row in db.session.scalars(sa.select(KeptDraft))) == ["From its double", "From the first tab"]


def test_two_tabs_of_one_person_each_keep_their_own(instructor: Client, course: Course) -> None:
    first, second = form_of(instructor, TWO), form_of(instructor, TWO)
    keep(instructor, TWO, {**first, "body": "First tab"}, 2)
    keep(instructor, TWO, {**second, "body": "Second tab"}, 2)
    assert db.session.query(KeptDraft).count() == 2
    text = instructor.visit("editor.lesson", **TWO).text
    assert "Second tab" in text
    assert "1 more draft" in text


def test_a_draft_that_is_gone_on_with_stands_once_and_one_written_on_elsewhere_stays(instructor: Client, course: Course) -> None:
    first = form_of(instructor, TWO)
    keep(instructor, TWO, {**first, "body": "Begun"}, 2)
    second = form_of(instructor, TWO)
    assert (second["body"].strip(), second["continues"]) == ("Begun", first["draft"])
    keep(instructor, TWO, {**second, "body": "Begun and gone on"}, 2)
    assert db.session.scalars(sa.select(KeptDraft)).one().typed["body"] == "Begun and gone on"
    third = form_of(instructor, TWO)
    keep(instructor, TWO, {**second, "body": "The second page writes on"}, 3)
    keep(instructor, TWO, {**third, "body": "And so does the third"}, 2)
    assert db.session.query(KeptDraft).count() == 2


def test_whoever_has_just_saved_is_not_shown_an_older_draft_over_it(instructor: Client, course: Course) -> None:
    first, second = form_of(instructor, TWO), form_of(instructor, TWO)
    keep(instructor, TWO, {**first, "body": "Left in another tab"}, 2)
    answer = instructor.post(instructor.path("editor.change", **TWO), data={**second, "body": "Saved", "choice": "save"})
    shown = instructor.get(answer.location).text
    assert "1 more draft" in shown
    assert "Left in another tab" not in shown
    assert "Left in another tab" in instructor.visit("editor.lesson", **TWO).text
    fields = form_of(instructor, TWO)
    answer = instructor.post(instructor.path("editor.change", **TWO), data={**fields, "choice": "discard"})
    assert "Left in another tab" not in instructor.get(answer.location).text
    assert db.session.query(KeptDraft).count() == 0


def test_nobody_reaches_the_drafts_of_somebody_else(app: Flask, instructor: Client, course: Course) -> None:
    fields = form_of(instructor, TWO)
    keep(instructor, TWO, {**fields, "body": "Mine alone"}, 2)
    other = another(app)
    theirs = form_of(other, TWO, draft=fields["draft"])
    assert "Mine alone" not in other.visit("editor.lesson", **TWO).text
    assert "Somebody else of the staff has a draft" in other.visit("editor.lesson", **TWO).text
    kept = keep(other, TWO, {**theirs, "draft": fields["draft"], "body": "Over it", "continues": fields["draft"], "continues_seq": "2"}, 9)
    assert kept["draft"] != fields["draft"]
    change(other, TWO, {"draft": fields["draft"], "continues": fields["draft"]}, "discard")
    assert "Mine alone" in [row.typed["body"] for row in db.session.scalars(sa.select(KeptDraft))]


def test_two_browsers_edit_one_lesson_and_nobody_loses_text(app: Flask, instructor: Client, course: Course) -> None:
    other = another(app)
    mine, theirs = form_of(instructor, TWO), form_of(other, TWO)
    assert other.post(other.path("editor.change", **TWO), data={**theirs, "body": "What they wrote", "choice": "save"}).status_code == 303
    answer = instructor.post(instructor.path("editor.change", **TWO), data={**mine, "body": "What I wrote", "choice": "save"})
    assert answer.status_code == 409
    for words in ("What they wrote", "What I wrote", "Theirs and yours"):
        assert words in answer.text
    assert (current("two").number, current("two").source.strip()) == (2, "What they wrote")
    assert db.session.scalars(sa.select(KeptDraft)).one().typed["body"] == "What I wrote"
    again = next(form.fields for form in forms_of(answer.text, instructor.path("editor.lesson", **TWO)) if "draft" in form.fields)
    assert instructor.post(instructor.path("editor.change", **TWO), data={**again, "choice": "save"}).status_code == 303
    assert (current("two").number, current("two").source.strip()) == (3, "What I wrote")
    assert db.session.query(KeptDraft).count() == 0


def test_of_many_who_save_at_the_same_moment_one_is_first_and_the_others_keep_their_text(app: Flask, course: Course) -> None:
    browsers = [another(app) for _number in range(4)]
    forms = [form_of(browser, TWO) for browser in browsers]
    ready = Barrier(len(browsers))

    def press(number: int) -> int:
        ready.wait()
        data = {**forms[number], "body": f"Written by {number}", "choice": "save"}
        return browsers[number].post(browsers[number].path("editor.change", **TWO), data=data).status_code

    with ThreadPoolExecutor(len(browsers)) as threads:
        statuses = list(threads.map(press, range(len(browsers))))
    assert sorted(statuses) == [303, 409, 409, 409]
    first = statuses.index(303)
    assert (current("two").number, current("two").source.strip()) == (2, f"Written by {first}")
    kept = sorted(row.typed["body"] for row in db.session.scalars(sa.select(KeptDraft)))
    assert kept == [f"Written by {number}" for number in range(len(browsers)) if number != first]
    assert db.session.scalars(sa.select(Course.version)).one() == 2


def test_what_touches_other_lines_is_put_together_and_what_touches_the_same_is_not(app: Flask, instructor: Client, course: Course) -> None:
    change(instructor, TWO, {"body": "One\n\nTwo\n\nThree\n\nFour"})
    other = another(app)
    mine, theirs = form_of(instructor, TWO), form_of(other, TWO)
    saved = {**theirs, "body": "Uno\n\nTwo\n\nThree\n\nFour", "title": "Theirs", "choice": "save"}
    assert other.post(other.path("editor.change", **TWO), data=saved).status_code == 303
    answer = instructor.post(
        instructor.path("editor.change", **TWO), data={**mine, "body": "One\n\nTwo\n\nThree\n\nQuattro", "choice": "merge"}
    )
    assert "Uno\n\nTwo\n\nThree\n\nQuattro" in answer.text
    assert 'value="Theirs"' in answer.text
    answer = instructor.post(
        instructor.path("editor.change", **TWO), data={**mine, "body": "Eins\n\nTwo\n\nThree\n\nFour", "choice": "merge"}
    )
    assert "cannot be put together" in answer.text
    assert "Eins" in answer.text


def test_a_review_noted_meanwhile_is_no_conflict(app: Flask, instructor: Client, course: Course) -> None:
    mine = form_of(instructor, TWO)
    note_review(another(app), TWO)
    assert instructor.post(instructor.path("editor.change", **TWO), data={**mine, "body": "New", "choice": "save"}).status_code == 303
    assert (current("two").number, current("two").reviewed_by) == (3, None)


def note_review(client: Client, place: dict[str, str], **more: str) -> int:
    """Fill in the form of a review; the answer's status."""
    data = {"by": "Dr Who", "role": "Physiotherapist", "on": "2026-11-01", "due": "2027-11-01", **more}
    return client.submit("arranging.review", data, **place).status_code


def test_a_review_is_of_the_text_that_was_read(instructor: Client, course: Course) -> None:
    assert note_review(instructor, TOUCH) == 303
    noted = current("touch")
    assert (noted.number, noted.origin, noted.reviewed_by, noted.reviewer_role) == (2, Origin.REVIEW, "Dr Who", "Physiotherapist")
    change(instructor, TOUCH, {"minutes": "7"})
    assert current("touch").reviewed_by == "Dr Who"
    change(instructor, TOUCH, {"body": STOP + "Press gently."})
    assert (current("touch").reviewed_by, current("touch").reviewed_on) == (None, None)
    change(instructor, TOUCH, {"reviewed_by": "Dr Who", "reviewed_on": "2026-11-02"})
    change(instructor, TOUCH, {"body": STOP + "Press very gently.", "read_again": "1"})
    assert (current("touch").reviewed_by, str(current("touch").reviewed_on)) == ("Dr Who", "2026-11-02")


@pytest.mark.parametrize("wrong", [{"by": ""}, {"on": "2031-01-01"}, {"due": "2026-10-01"}, {"on": "soon"}, {"base": "other"}])
def test_a_review_that_cannot_be_is_not_noted(instructor: Client, course: Course, wrong: dict[str, str]) -> None:
    note_review(instructor, TWO, **wrong)
    assert current("two").number == 1


def test_reviews_that_are_wanted_are_listed_the_gravest_first(instructor: Client, course: Course) -> None:
    note_review(instructor, ONE, on="2025-01-01", due="2026-01-01")
    note_review(instructor, TWO, due="2026-11-20")
    text = instructor.visit("arranging.list_reviews").text
    places = [text.index(words) for words in ("Never reviewed (1)", "Overdue (1)", "Due soon (1)")]
    assert places == sorted(places)
    note_review(instructor, TWO)
    note_review(instructor, ONE)
    note_review(instructor, TOUCH)
    assert "Every lesson is reviewed" in instructor.visit("arranging.list_reviews").text


PRODUCTION = {
    "mode": "production",
    "secret_key": "a-long-secret-for-this-test-alone",
    "postal_address": "1 Example Street",
    "sender_address": "course@example.org",
    "smtp_url": "smtp://127.0.0.1:9",
    "allow_sqlite": True,
    "base_url": "http://localhost",
}


@pytest.mark.settings(**PRODUCTION)
def test_in_production_touch_goes_to_learners_unreviewed_only_when_said_expressly(instructor: Client, course: Course) -> None:
    status, text = change(instructor, TOUCH, {"body": STOP + "Press."})
    assert (status, "teaches touch and no clinician" in text, current("touch").number) == (422, True, 1)
    assert db.session.query(KeptDraft).count() == 1
    assert change(instructor, TWO, {"body": STOP + "Words.", "needs_check": "touch"})[0] == 422
    assert change(instructor, TOUCH, {"body": STOP + "Press.", "without_review": "1"})[0] == 303
    assert current("touch").number == 2
    note_review(instructor, TOUCH)
    restore(instructor, TOUCH, 1)
    assert current("touch").number == 3
    assert "This is your draft" in instructor.visit("editor.lesson", **TOUCH).text


def restore(client: Client, place: dict[str, str], number: int) -> str:
    """Press the button of an earlier revision's page; the page that follows."""
    answer = client.submit("editor.revision", to="editor.restore", number=number, **place)
    assert answer.status_code == 303
    return client.get(answer.location).text


def test_the_history_tells_who_changed_what_and_gives_each_text_back(app: Flask, instructor: Client, course: Course) -> None:
    change(instructor, TWO, {"body": "Second words.", "title": "Second title"})
    change(another(app), TWO, {"body": "Third words.", "needs_check": "gentle"}, "save")
    assert current("two").number == 2  # it lacks its stop-if box
    change(another(app), TWO, {"body": STOP + "Third words.", "needs_check": "gentle"})
    text = instructor.visit("editor.revisions", **TWO).text
    for words in ("import of first", "you", "somebody of the staff", "Title, Text", "Opens"):
        assert words in text
    beside = instructor.get(instructor.path("editor.revision", number=1, **TWO) + "?with=2").text
    assert "added: </span>Second words<" in beside
    assert "Second title" in beside
    assert "Saved" in restore(instructor, TWO, 2)
    revision, row = current("two"), lesson_row("two")
    assert (revision.number, revision.origin, row.title, row.needs_check) == (4, Origin.RESTORE, "Second title", Need.NONE)
    assert "Second words." in revision.html
    assert instructor.get(instructor.path("editor.revision", number=9, **TWO)).status_code == 404


def test_a_text_put_back_is_refused_over_a_change_nobody_saw(app: Flask, instructor: Client, course: Course) -> None:
    change(instructor, TWO, {"body": "Second."})
    token = form_of(instructor, TWO)
    change(another(app), TWO, {"body": "Third."})
    path = instructor.path("editor.restore", number=1, **TWO)
    instructor.post(path, data={"csrf_token": token["csrf_token"], "base_stamp": token["base_stamp"]})
    assert (current("two").number, current("two").source.strip()) == (3, "Third.")


def test_an_older_text_that_does_not_fit_any_more_opens_as_a_draft(instructor: Client, course: Course, tmp_path: Path) -> None:
    change(instructor, ONE, {"body": "Without a picture."})
    db.session.execute(sa.delete(Asset).where(Asset.path == "01-beginning/square.svg"))
    text = restore(instructor, ONE, 1)
    assert "your attention" in text
    assert "square.svg" in text
    assert current("one").number == 2


def test_a_file_opens_where_the_edited_lessons_open(instructor: Client, course: Course) -> None:
    def circle() -> tuple[Need, bool]:
        db.session.expire_all()
        row = db.session.scalars(sa.select(Asset).where(Asset.path == "02-doing/circle.svg")).one()
        return row.need, row.is_public

    assert circle() == (Need.TOUCH, False)
    change(instructor, TWO, {"body": "![Round](../02-doing/circle.svg)"})
    assert circle() == (Need.NONE, False)
    change(instructor, ONE, {"body": "![Round](../02-doing/circle.svg)"})  # the sample, which anybody may read
    assert circle() == (Need.NONE, True)
    for place in (ONE, TWO):
        change(instructor, place, {"body": "No picture, and no mention of /assets/x that would count."})
    assert circle() == (Need.TOUCH, False)


def test_the_sample_may_not_be_closed(instructor: Client, course: Course) -> None:
    status, text = change(instructor, ONE, {"needs_check": "gentle", "body": STOP + "Words."})
    assert (status, "The sample lesson" in text) == (422, True)


def test_an_upload_names_what_was_edited_here_and_would_be_replaced(instructor: Client, course: Course, tmp_path: Path) -> None:
    change(instructor, TWO, {"body": "Corrected here.", "title": "Corrected"})
    folder = small_course(tmp_path / "second", **{"01-beginning/01-one.md": lesson("one", "Quite new.\n")})
    result = import_course(folder, NOW, publish=True, dry_run=True, without_review=True)
    warnings = [row for row in result.report.rows if row.code == "edited_here"]
    assert [(row.file, "“Corrected” was edited in the page" in row.message) for row in warnings] == [("01-beginning/02-two.md", True)]
    bring_in(tmp_path / "second")
    assert (current("two").origin, current("two").number, lesson_row("two").title) == (Origin.IMPORT, 3, "A lesson")
    assert [row.code for row in bring_in(tmp_path / "third").report.rows if row.code == "edited_here"] == []


def test_an_upload_with_only_the_old_title_counts_as_an_import_again(instructor: Client, course: Course, tmp_path: Path) -> None:
    change(instructor, TWO, {"title": "Corrected"})
    bring_in(tmp_path / "second")
    assert (lesson_row("two").title, current("two").origin) == ("A lesson", Origin.IMPORT)


def test_undoing_an_import_says_which_edits_it_puts_back_and_asks(instructor: Client, course: Course, tmp_path: Path) -> None:
    bring_in(tmp_path / "second", **{"01-beginning/02-two.md": lesson("two", "From the second import.\n")})
    change(instructor, TWO, {"body": "Corrected after it."})
    change(instructor, ONE, {"body": "This one too."})
    found = db.session.scalars(sa.select(Import).order_by(Import.id.desc()).limit(1)).one()
    db.session.execute(sa.update(Import).where(Import.id == found.id).values(at=NOW))
    text = instructor.visit("authoring.ask_to_undo", slug="small").text
    assert "Changed in the page since that import" in text
    instructor.submit("authoring.ask_to_undo", to="authoring.undo_import", slug="small")
    assert current("two").source.strip() == "Corrected after it."
    version = db.session.scalars(sa.select(Course.version)).one()
    change(instructor, ONE, {"body": "An edit nobody was shown."})
    instructor.submit("authoring.ask_to_undo", {"with_edits": str(version)}, to="authoring.undo_import", slug="small")
    assert current("one").source.strip() == "An edit nobody was shown."
    instructor.submit("authoring.ask_to_undo", {"with_edits": str(version + 1)}, to="authoring.undo_import", slug="small")
    assert (current("two").number, current("one").number) == (1, 1)
    assert "Corrected after it." in restore_text(instructor, TWO, 3)


def restore_text(client: Client, place: dict[str, str], number: int) -> str:
    """Put a revision back; the lesson's text then."""
    restore(client, place, number)
    return current(place["key"]).source


def test_an_import_without_edits_since_is_undone_as_before(instructor: Client, course: Course, tmp_path: Path) -> None:
    change(instructor, TWO, {"body": "Edited before the import."})
    bring_in_later(tmp_path / "second")
    assert undo(last_import(course.id) or pytest.fail("no import"), NOW, None)
    db.session.commit()
    assert current("two").source.strip() == "Edited before the import."


def bring_in_later(folder: Path) -> None:
    """Import the small course some time after NOW."""
    import_course(small_course(folder), NOW + timedelta(days=1), publish=True, without_review=True)
    db.session.commit()


def marks(client: Client) -> list[str]:
    """The order as the page shows it."""
    return re.findall(r'name="mark" value="([^"]+)"', client.visit("arranging.order", slug="small").text)


def put(client: Client, order: list[str], **more: str) -> int:
    """Save an order; the answer's status."""
    token = client.csrf_token("arranging.order", slug="small")
    version = db.session.scalars(sa.select(Course.version)).one()
    data = {"csrf_token": token, "version": str(version), "mark": order, "choice": "save", **more}
    return client.post(client.path("arranging.change_order", slug="small"), data=data).status_code


def test_lessons_and_modules_change_places_and_progress_stays(instructor: Client, course: Course, tmp_path: Path) -> None:
    learner = make_user()
    make_enrolment(learner, course)
    make_outcome(learner)
    for row in db.session.query(Lesson):
        make_completion(learner, row)
    ids = {row.key: row.public_id for row in db.session.query(Lesson)}
    order = ["module:doing", "lesson:two", "lesson:touch", "module:beginning", "lesson:one"]
    assert put(instructor, order) == 303
    assert marks(instructor) == order
    rows = db.session.scalars(sa.select(Lesson).order_by(Lesson.position)).all()
    assert [(row.key, row.position, row.module.key) for row in rows] == [
        ("two", 1, "doing"),
        ("touch", 2, "doing"),
        ("one", 3, "beginning"),
    ]
    assert {row.key: row.public_id for row in rows} == ids
    assert all(row.done for row in outline_for(learner.id, course.id, None, None, NOW).rows)
    result = import_course(small_course(tmp_path / "again"), NOW, publish=True, dry_run=True, without_review=True)
    assert result.difference.course
    assert [row.code for row in result.report.rows if row.code == "reordered_here"] == ["reordered_here"]
    db.session.rollback()
    assert put(instructor, ["module:beginning", "lesson:one", "lesson:two", "module:doing", "lesson:touch"]) == 303
    again = import_course(small_course(tmp_path / "again"), NOW, publish=True, dry_run=True, without_review=True)
    assert again.difference.is_empty


def test_an_order_that_is_none_or_out_of_date_is_not_saved(instructor: Client, course: Course) -> None:
    good = ["module:doing", "lesson:touch", "module:beginning", "lesson:one", "lesson:two"]
    before = marks(instructor)
    assert put(instructor, good, version="0") == 409
    assert put(instructor, [*good, "lesson:one"]) == 303
    assert put(instructor, good[1:]) == 303
    assert put(instructor, ["lesson:touch", *good[:1], *good[2:]]) == 303
    assert put(instructor, ["module:doing", "module:beginning", "lesson:one", "lesson:two", "lesson:touch"]) == 409
    assert put(instructor, []) == 303
    assert marks(instructor) == before


def test_arrows_move_by_one_place_without_saving(instructor: Client, course: Course) -> None:
    order = ["module:beginning", "lesson:one", "lesson:two", "module:doing", "lesson:touch"]
    token = instructor.csrf_token("arranging.order", slug="small")

    def press(move: str) -> list[str]:
        answer = instructor.post(
            instructor.path("arranging.change_order", slug="small"), data={"csrf_token": token, "mark": order, "move": move, "version": "1"}
        )
        assert answer.status_code == 200
        return re.findall(r'name="mark" value="([^"]+)"', answer.text)

    assert press("lesson:two:up") == ["module:beginning", "lesson:two", "lesson:one", "module:doing", "lesson:touch"]
    assert press("lesson:two:down") == ["module:beginning", "lesson:one", "module:doing", "lesson:two", "lesson:touch"]
    assert press("lesson:one:up") == order
    assert press("module:doing:up") == ["module:doing", "lesson:touch", "module:beginning", "lesson:one", "lesson:two"]
    assert press("module:doing:down") == order
    assert marks(instructor) == order


def test_an_undone_order_is_said_before_and_put_back(instructor: Client, course: Course, tmp_path: Path) -> None:
    bring_in(tmp_path / "second", **{"01-beginning/02-two.md": lesson("two", "New.\n")})
    put(instructor, ["module:doing", "lesson:touch", "module:beginning", "lesson:one", "lesson:two"])
    text = instructor.visit("authoring.ask_to_undo", slug="small").text
    assert "the order of the lessons" in text
    version = db.session.scalars(sa.select(Course.version)).one()
    instructor.submit("authoring.ask_to_undo", {"with_edits": str(version)}, to="authoring.undo_import", slug="small")
    assert marks(instructor)[0] == "module:beginning"


def test_what_somebody_writes_is_exported_and_erased_with_them_and_revisions_stay(instructor: Client, person: User, course: Course) -> None:
    change(instructor, TWO, {"body": "Saved by them."})
    keep(instructor, TWO, {**form_of(instructor, TWO), "body": "Canary unsaved."}, 2)
    held = export(person, person.contact)
    assert "Canary unsaved." in str(held["authoring"])
    assert held["authoring"]["revisions"][0]["lesson"] == "A lesson"
    erase(person, person.contact, NOW)
    db.session.commit()
    assert db.session.query(KeptDraft).count() == 0
    assert (current("two").source.strip(), current("two").by_user_id) == ("Saved by them.", None)


def test_a_long_text_and_odd_characters_are_kept(instructor: Client, course: Course) -> None:
    fields = form_of(instructor, TWO)
    text = "Wörter und noch mehr. \u2028 " * 30_000
    kept = keep(instructor, TWO, {**fields, "body": text + "\0\x01", "title": "x" * 4000}, 2)
    row = db.session.scalars(sa.select(KeptDraft)).one()
    assert row.typed["body"] == text + "\N{REPLACEMENT CHARACTER}\x01"
    assert any("cannot be shown" in problem["words"] for problem in kept["problems"])
    assert any("characters; 200 is the most" in problem["words"] for problem in kept["problems"])
    assert keep(instructor, TWO, {**fields, "body": "x" * 1_000_001}, 3)["problems"][0]["words"].startswith("The text has 1,000,")
    assert set(row.typed) == set(FIELDS)


@pytest.mark.parametrize("roles", [(), ("marketer",)])
def test_nobody_else_finds_these_pages(app: Flask, client: Client, course: Course, roles: tuple[str, ...]) -> None:
    client.sign_in(make_user(roles=roles))
    token = client.csrf_token("accounts.settings")
    asset = db.session.scalars(sa.select(Asset).limit(1)).first()
    assert asset is not None
    base = "/staff/courses/small"
    for path in (
        f"{base}/lessons/two/edit",
        f"{base}/lessons/two/history",
        f"{base}/order",
        f"{base}/lessons/two/review",
        "/staff/reviews",
    ):
        assert client.get(path).status_code == 404
    assert client.get(f"/staff/files/{asset.public_id}.svg").status_code == 404
    for path in (f"{base}/lessons/two/edit", f"{base}/lessons/two/draft", f"{base}/order", f"{base}/lessons/two/history/1/restore"):
        assert client.post(path, data={"csrf_token": token, "body": "x"}).status_code == 404
    assert current("two").number == 1


def test_the_journal_says_that_a_course_was_edited_and_nothing_of_what_it_says(instructor: Client, person: User, course: Course) -> None:
    change(instructor, TWO, {"body": "Canary words."})
    event = db.session.scalars(sa.select(Event).where(Event.type == "lesson_edited")).one()
    data = {"version": 2, "by_user_id": person.id, "lesson_id": lesson_row("two").id}
    assert (event.subject, event.data) == (f"course:{course.id}", data)


def test_a_late_keeping_never_puts_an_older_text_over_a_newer(instructor: Client, person: User, course: Course) -> None:
    row = lesson_row("two")
    typed = dict.fromkeys(FIELDS, "")
    place = Place("abcdefghjkmnpqrs", 5, 1, "stamp")
    older = Place(place.public_id, 3, 1, "stamp"), {**typed, "body": "older"}
    assert drafts.keep(person.id, row.id, place, {**typed, "body": "newer"}, NOW) == (place.public_id, 5)
    assert drafts.keep(person.id, row.id, *older, NOW, may_be_late=True) == (place.public_id, 5)
    assert db.session.scalars(sa.select(KeptDraft)).one().typed["body"] == "newer"
    kept_as, _seq = drafts.keep(person.id, row.id, *older, NOW)  # a button was pressed: what stood in that page counts
    assert kept_as != place.public_id
    assert sorted(row.typed["body"] for row in db.session.scalars(sa.select(KeptDraft))) == ["newer", "older"]


def test_a_page_for_a_lesson_that_is_not_there(instructor: Client, course: Course) -> None:
    for key in ("none", "one%00"):
        assert instructor.get(f"/staff/courses/small/lessons/{key}/edit").status_code == 404
