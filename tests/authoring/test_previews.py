"""Previews: an upload, a draft and the live course as learners with each outcome would see them; for instructors alone, nothing noted."""

import re
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock, storage
from courseapp.authoring import uploads
from courseapp.authoring.models import Upload, UploadState
from courseapp.authoring.previews import pointed_at
from courseapp.catalog.models import Asset, Course, Lesson
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment, SafetyOutcome
from courseapp.operations.tidying import tidy
from tests.authoring.folders import STOP, SVG, dump, lesson, page, small_course
from tests.authoring.test_uploads import decide, only_upload, packed, send, shown, work
from tests.client import Client
from tests.factories import make_enrolment, make_outcome, make_user

VARIANTS = (
    STOP
    + "::: standard\nPress firmly.\n:::\n\n::: adapted\nPress softly.\n:::\n\nSee [the first](lesson:one).\n\n![A circle](circle.svg)\n"
)


@pytest.fixture
def instructor(client: Client) -> Client:
    """A browser in which an instructor is signed in."""
    client.sign_in(make_user(roles=("instructor",)))
    return client


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course folder whose last lesson teaches touch, in two variants."""
    return small_course(tmp_path / "course", **{"02-doing/01-touch.md": lesson("touch", VARIANTS, needs_check="touch", title="Touching")})


@pytest.fixture
def ready(instructor: Client, course: Path) -> Upload:
    """An upload of that course, looked through."""
    send(instructor, ("course.zip", packed(course)))
    work()
    return only_upload()


def lessons_in(client: Client, address: str) -> list[str]:
    """The addresses of all lessons, as the outline of a preview's first page leads to them."""
    begun = client.get(address)
    assert begun.status_code == 302
    text = client.get(begun.location).text
    found = re.findall(r'<li><a href="([^"]+)"[^>]*><span class="o-t">', text)
    assert found
    return found


def as_seen(client: Client, path: str, outcome: str) -> str:
    """The page of a lesson in a preview, for another outcome."""
    answer = client.get(path.replace("/unchecked/", f"/{outcome}/"))
    assert answer.status_code == 200
    return answer.text


def test_an_upload_is_read_as_each_outcome_would_before_anything_is_in(instructor: Client, ready: Upload) -> None:
    before = dump()
    one, two, touch = lessons_in(instructor, f"/staff/uploads/{ready.public_id}/preview")
    assert "Words." in instructor.get(two).text
    for outcome in ("unchecked", "professional"):
        text = as_seen(instructor, touch, outcome)
        assert "Press" not in text
        assert "learners find a button that leads to the safety check" in text
    assert "A few questions about your health" in as_seen(instructor, touch, "unchecked")
    assert "This lesson stays closed for now" in as_seen(instructor, touch, "professional")
    gently, ahead = as_seen(instructor, touch, "gently"), as_seen(instructor, touch, "ahead")
    assert ("Press softly." in gently, "Press firmly." in gently) == (True, False)
    assert ("Press softly." in ahead, "Press firmly." in ahead) == (False, True)
    assert one.replace("/unchecked/", "/gently/") in gently  # the link between lessons stays in the preview
    assert instructor.get(touch.replace("unchecked", "now")).status_code == 404
    assert dump() == before  # nothing was recorded, and there is no course yet


def test_every_page_says_that_it_is_a_preview_and_is_not_indexed(instructor: Client, ready: Upload) -> None:
    for path in lessons_in(instructor, f"/staff/uploads/{ready.public_id}/preview"):
        answer = instructor.get(path)
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert '<meta name="robots" content="noindex">' in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert "of an upload that is not brought in yet" in answer.text
        assert "/completion" not in answer.text
        assert "data-opening" not in answer.text
        assert f'href="/staff/uploads/{ready.public_id}"' in answer.text


def test_before_and_after_lead_through_the_preview(instructor: Client, ready: Upload) -> None:
    one, two, touch = lessons_in(instructor, f"/staff/uploads/{ready.public_id}/preview")
    text = instructor.get(two).text
    assert re.search(rf'href="{one}"\s+rel="prev"', text)
    assert re.search(rf'href="{touch}"\s+rel="next"', text)
    assert f'href="{two}"' in instructor.get(touch).text  # also where the lesson is closed


def test_the_media_of_an_upload_are_shown_and_come_from_nowhere_else(instructor: Client, ready: Upload) -> None:
    text = instructor.get(lessons_in(instructor, f"/staff/uploads/{ready.public_id}/preview")[0]).text
    (address,) = re.findall(r'<img src="([^"]+)"', text)
    assert address.startswith(f"/staff/uploads/{ready.public_id}/media/")
    answer = instructor.get(address)
    assert (answer.status_code, answer.data.decode(), answer.mimetype) == (200, SVG.replace("/>", " />"), "image/svg+xml")  # written anew
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert instructor.get(address.replace(".svg", ".html")).status_code == 404
    assert instructor.get(re.sub(r"media/\w+", "media/outline", address)).status_code == 404
    assert db.session.scalars(sa.select(Asset)).all() == []


def test_media_that_are_stored_already_are_not_stored_twice(instructor: Client, course: Path, ready: Upload) -> None:
    assert len([key for key in storage.stored_keys(ready.folder) if "/media/" in key]) == 2
    decide(instructor, "publish", without_review="1")
    work()
    db.session.execute(sa.delete(Upload))
    (course / "01-beginning" / "square.svg").write_text(SVG.replace("9", "7"))
    send(instructor, ("again.zip", packed(course)))
    work()
    kept = [key for key in storage.stored_keys(only_upload().folder) if "/media/" in key]
    assert len(kept) == 1
    one, _two, touch = lessons_in(instructor, f"/staff/uploads/{only_upload().public_id}/preview")
    for path, drawing in ((one, b'width="7"'), (as_seen_path(touch), b"ellipse")):
        (address,) = re.findall(r'<img src="([^"]+)"', instructor.get(path).text)
        assert drawing in instructor.get(address).data


def as_seen_path(path: str) -> str:
    """The address of a lesson for somebody who may go ahead."""
    return path.replace("/unchecked/", "/ahead/")


def test_drafts_and_live_courses_are_previewed_without_an_enrolment(instructor: Client, ready: Upload) -> None:
    decide(instructor, "draft")
    work()
    for kind in ("of a draft that learners do not see yet", "of the course as learners see it now"):
        if "now" in kind:
            instructor.submit("authoring.ask_to_publish", {"choice": "publish"}, to="authoring.publish", slug="small")
        _one, two, touch = lessons_in(instructor, "/staff/courses/small/preview")
        assert kind in instructor.get(two).text
        ahead = as_seen(instructor, touch, "ahead")
        assert "Press firmly." in ahead
        (address,) = re.findall(r'<img src="([^"]+)"', ahead)
        assert b"ellipse" in instructor.get(address).data
    for table in (Enrolment, Completion, SafetyOutcome):
        assert db.session.scalars(sa.select(table)).all() == []


def test_a_preview_shows_nothing_of_the_instructors_own_learning(instructor: Client, ready: Upload) -> None:
    decide(instructor, "publish", without_review="1")
    work()
    teacher = make_user(roles=("instructor",))
    found = db.session.scalars(sa.select(Course)).one()
    make_enrolment(teacher, found)
    make_outcome(teacher, "ahead")
    for row in db.session.scalars(sa.select(Lesson)):
        db.session.add(Completion(user_id=teacher.id, lesson_id=row.id, completed_at=clock.now()))
    other = instructor.application.test_client()
    assert isinstance(other, Client)
    other.sign_in(teacher)
    paths = lessons_in(other, "/staff/courses/small/preview")
    for path in paths:
        assert re.sub(r'name="csrf_token" value="[^"]*"', "", other.get(path).text) == re.sub(
            r'name="csrf_token" value="[^"]*"', "", instructor.get(path).text
        )


@pytest.mark.parametrize("roles", [(), ("marketer",)])
def test_nobody_else_finds_a_preview_or_its_files(app: Flask, instructor: Client, ready: Upload, roles: tuple[str, ...]) -> None:
    (first, *_more) = lessons_in(instructor, f"/staff/uploads/{ready.public_id}/preview")
    (address,) = re.findall(r'<img src="([^"]+)"', instructor.get(first).text)
    other = app.test_client()
    assert isinstance(other, Client)
    other.sign_in(make_user(roles=roles))
    for path in (first, address, f"/staff/uploads/{ready.public_id}/preview", f"/staff/uploads/{ready.public_id}/changes/course"):
        assert other.get(path).status_code == 404
        assert app.test_client().get(path).status_code in {302, 303, 404}


def test_an_id_of_another_course_or_upload_opens_nothing(instructor: Client, tmp_path: Path, ready: Upload) -> None:
    decide(instructor, "draft")
    work()
    front = {"slug": "other", "title": "Another", "summary": "S.", "headline": "H", "sample": "one"}
    send(instructor, ("other.zip", packed(small_course(tmp_path / "other", **{"course.md": page(front, "A.\n")}))))
    work()
    other = db.session.scalars(sa.select(Upload).order_by(Upload.id.desc()).limit(1)).one()
    (mine, *_more) = lessons_in(instructor, "/staff/courses/small/preview")
    (address,) = re.findall(r'<img src="([^"]+)"', instructor.get(mine).text)
    assert instructor.get(mine.replace("courses/small", f"uploads/{other.public_id}")).status_code == 404
    assert instructor.get(address.replace("courses/small", f"uploads/{other.public_id}")).status_code == 404
    assert instructor.get(f"/staff/uploads/{ready.public_id}/preview").status_code == 404  # it is in: there is the course now
    for name in ("../outline", "outline", "..%2Foutline"):
        assert instructor.get(f"/staff/uploads/{other.public_id}/changes/{name}").status_code == 404


def test_an_upload_with_mistakes_has_no_preview(instructor: Client, course: Path) -> None:
    (course / "01-beginning" / "01-one.md").write_text(lesson("one", minutes="many"))
    send(instructor, ("course.zip", packed(course)))
    work()
    assert only_upload().state is UploadState.REFUSED
    assert instructor.get(f"/staff/uploads/{only_upload().public_id}/preview").status_code == 404
    assert [key for key in storage.stored_keys(only_upload().folder) if "/draft/" in key] == []


def test_what_was_kept_for_the_preview_goes_with_the_upload(instructor: Client, ready: Upload) -> None:
    kept = {key.removeprefix(ready.folder) for key in storage.stored_keys(ready.folder)}
    assert kept > {"/0", "/draft/outline.json", "/draft/texts.json"}
    decide(instructor, "cancel")
    tidy(clock.now())
    assert list(storage.stored_keys(ready.folder)) == []


def test_thrown_away_while_the_preview_is_made_leaves_nothing_of_it(
    instructor: Client, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(instructor, ("course.zip", packed(course)))
    keep = storage.keep

    def meanwhile(key: str, content: bytes) -> None:
        keep(key, content)
        if key.endswith("outline.json"):
            uploads.cancel(only_upload(), clock.now())
            db.session.commit()

    monkeypatch.setattr(storage, "keep", meanwhile)
    work()
    assert only_upload().state is UploadState.CANCELLED
    assert [key for key in storage.stored_keys(only_upload().folder) if "/draft/" in key] == []


def test_the_difference_stands_side_by_side_before_anything_is_in(instructor: Client, course: Path, ready: Upload) -> None:
    decide(instructor, "publish", without_review="1")
    work()
    db.session.execute(sa.delete(Upload))
    words = "One paragraph.\n\nBreathe in slowly and wait.\n"
    (course / "01-beginning" / "02-two.md").write_text(lesson("two", words.replace("slowly", "gently"), title="Renamed", minutes=7))
    (course / "01-beginning" / "03-three.md").write_text(lesson("three", "<script>alert(1)</script> & more.\n", title="A third one"))
    (course / "02-doing" / "01-touch.md").write_text(lesson("touch", STOP + "Other <b>words</b>.\n", needs_check="touch", title="Touching"))
    (course / "02-doing" / "circle.svg").unlink()
    send(instructor, ("b.zip", packed(course)))
    work()
    text = shown(instructor)
    plain = " ".join(re.sub(r"<[^>]+>", "", text).split())
    assert "title: removed: A lesson end of what was removed" in plain
    assert "title: added: Renamed end of what was added" in plain
    assert "minutes: removed: 5 end of what was removed" in plain
    assert "Other &lt;b&gt;words&lt;/b&gt;." in text
    for words in ("New lessons (1)", "A third one", "Changed lessons (2)", "Lessons that stay as they are (1)", "Removed files (1)"):
        assert words in text
    assert "The course itself" in text  # a lesson more, and another title: its outline is another
    two = db.session.scalars(sa.select(Lesson).where(Lesson.key == "two")).one().public_id
    alone = instructor.visit("authoring.change", id=only_upload().public_id, lesson=two).text
    assert "Renamed" in alone
    assert instructor.visit("authoring.change", id=only_upload().public_id, lesson="course").status_code == 200
    one = db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one().public_id
    assert instructor.visit("authoring.change", id=only_upload().public_id, lesson=one).status_code == 404  # nothing changes there


def test_beyond_a_few_changes_each_stands_on_a_page_of_its_own(instructor: Client, tmp_path: Path) -> None:
    more = {f"01-beginning/{number:02}-more.md": lesson(f"more-{number}", title=f"More {number}") for number in range(10, 18)}
    folder = small_course(tmp_path / "course", **more)
    send(instructor, ("a.zip", packed(folder)))
    work()
    decide(instructor, "draft")
    work()
    db.session.execute(sa.delete(Upload))
    for name in more:
        (folder / name).write_text((folder / name).read_text().replace("Words.", "Other words."))
    send(instructor, ("b.zip", packed(folder)))
    work()
    text = shown(instructor)
    assert (text.count("See what changes"), text.count('class="versions"')) == (3, 5)
    (path, *_more) = re.findall(r'href="([^"]+)">See what changes', text)
    assert "Other" in instructor.get(path).text
    shutil.rmtree(folder)


@pytest.mark.one_database
def test_only_links_and_sources_are_led_elsewhere() -> None:
    html = '<p title="a > b"><a href="/lessons/x">"/lessons/y"</a> <img alt="1 > 0" data-s="/assets/1.webp, /assets/2.webp">'
    moved = '<p title="a > b"><a href="/p/x">"/lessons/y"</a> <img alt="1 > 0" data-s="/f/1.webp, /f/2.webp">'
    assert pointed_at(html, "/p/", "/f/") == moved
