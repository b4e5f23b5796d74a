"""Bringing a changed course in again: lessons are known by their id, whatever else changes, and so progress survives."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.authoring.importing import Difference, import_course
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Revision
from courseapp.extensions import db
from courseapp.learning.progress import outline_for
from tests.authoring.folders import COURSE, MODULE, STOP, SVG, lesson, page, small_course
from tests.client import Client
from tests.factories import NOW, make_completion, make_enrolment, make_outcome, make_user


def bring_in(folder: Path, **more: str) -> Difference:
    """Import a small course with these files in place of its own, and publish it."""
    result = import_course(small_course(folder, **more), NOW, publish=True)
    assert not result.report.has_errors, [row.words() for row in result.report.sorted()]
    db.session.commit() if result.committed else db.session.rollback()
    return result.difference


def lessons() -> dict[str, Lesson]:
    """Every lesson by its id."""
    return {row.key: row for row in db.session.scalars(sa.select(Lesson).order_by(Lesson.position))}


def assets() -> dict[str, Asset]:
    """Every file by its path."""
    return {row.path: row for row in db.session.scalars(sa.select(Asset))}


def numbers_of(key: str) -> list[int]:
    """The revisions of a lesson, in order."""
    numbers = sa.select(Revision.number).join(Lesson, Lesson.id == Revision.lesson_id).where(Lesson.key == key)
    return list(db.session.scalars(numbers.order_by(Revision.number)))


@pytest.fixture
def learner(app: Flask, tmp_path: Path) -> int:
    """Somebody who has done every lesson of the small course; their id."""
    bring_in(tmp_path)
    user = make_user()
    make_enrolment(user, db.session.scalars(sa.select(Course)).one())
    for row in lessons().values():
        make_completion(user, row)
    db.session.commit()
    return user.id


def done_by(user_id: int) -> list[str]:
    """The titles a learner has done, in the order of the outline."""
    course = db.session.scalars(sa.select(Course)).one()
    return [row.title for row in outline_for(user_id, course.id, None, None, NOW).rows if row.done]


def test_a_new_text_is_a_new_revision_and_the_lesson_stays_itself(learner: int, tmp_path: Path) -> None:
    before = {key: (row.id, row.public_id) for key, row in lessons().items()}
    difference = bring_in(tmp_path, **{"01-beginning/02-two.md": lesson("two", "Other words.\n")})
    assert (difference.new, difference.changed, difference.removed) == ([], ["two"], [])
    assert {key: (row.id, row.public_id) for key, row in lessons().items()} == before
    assert numbers_of("two") == [1, 2]
    assert numbers_of("one") == [1]
    assert lessons()["two"].revision_number == 2
    assert len(done_by(learner)) == 3


def test_going_back_to_an_earlier_text_is_a_further_revision(learner: int, tmp_path: Path) -> None:
    bring_in(tmp_path, **{"01-beginning/02-two.md": lesson("two", "Other words.\n")})
    bring_in(tmp_path)
    assert numbers_of("two") == [1, 2, 3]
    assert lessons()["two"].revision_number == 3
    of_two = sa.select(Revision).where(Revision.lesson_id == lessons()["two"].id).order_by(Revision.number)
    first, _second, third = db.session.scalars(of_two)
    assert first.html == third.html


def test_a_new_title_or_length_is_a_change_without_a_revision(learner: int, tmp_path: Path) -> None:
    assert bring_in(tmp_path, **{"01-beginning/02-two.md": lesson("two", title="Renamed", minutes=9)}).changed == ["two"]
    assert numbers_of("two") == [1]
    assert done_by(learner) == ["A lesson", "Renamed", "A lesson"]


def test_a_review_that_is_noted_is_a_new_revision(learner: int, tmp_path: Path) -> None:
    reviewed = lesson("two").replace("needs_check: none", "needs_check: none\nreviewed_by: Dr Who\nreviewed_on: 2026-01-02")
    assert bring_in(tmp_path, **{"01-beginning/02-two.md": reviewed}).changed == ["two"]
    assert numbers_of("two") == [1, 2]


def test_files_may_be_renamed_and_put_in_another_order(learner: int, tmp_path: Path) -> None:
    ids = {key: row.public_id for key, row in lessons().items()}
    (tmp_path / "01-beginning" / "01-one.md").rename(tmp_path / "01-beginning" / "07-first-of-all.md")
    difference = import_course(tmp_path, NOW, publish=True).difference
    db.session.commit()
    assert (difference.new, difference.changed, difference.removed, difference.course) == ([], [], [], True)
    assert list(lessons()) == ["two", "one", "touch"]
    assert {key: row.public_id for key, row in lessons().items()} == ids
    assert len(done_by(learner)) == 3


def test_a_lesson_may_move_to_another_module_and_takes_its_progress_along(learner: int, tmp_path: Path) -> None:
    (tmp_path / "01-beginning" / "02-two.md").rename(tmp_path / "02-doing" / "02-two.md")
    import_course(tmp_path, NOW, publish=True)
    db.session.commit()
    two = lessons()["two"]
    assert two.module.key == "doing"
    assert numbers_of("two") == [1]
    assert len(done_by(learner)) == 3


def test_a_renamed_folder_is_the_same_module(learner: int, tmp_path: Path) -> None:
    before = {row.key: row.id for row in db.session.scalars(sa.select(Module))}
    (tmp_path / "01-beginning").rename(tmp_path / "09-later")
    import_course(tmp_path, NOW, publish=True)
    db.session.commit()
    assert {row.key: row.id for row in db.session.scalars(sa.select(Module))} == before
    assert list(lessons()) == ["touch", "one", "two"]
    assert len(done_by(learner)) == 3


def test_a_lesson_taken_out_rests_and_comes_back_with_its_completions(learner: int, tmp_path: Path) -> None:
    (tmp_path / "01-beginning" / "02-two.md").unlink()
    difference = import_course(tmp_path, NOW, publish=True).difference
    db.session.commit()
    assert difference.removed == ["two"]
    assert lessons()["two"].retired_at == NOW
    assert len(done_by(learner)) == 2
    difference = bring_in(tmp_path)
    assert difference.new == ["two"]
    assert lessons()["two"].retired_at is None
    assert numbers_of("two") == [1]
    assert len(done_by(learner)) == 3


def test_a_lesson_at_rest_cannot_be_opened_and_stays_at_rest(learner: int, tmp_path: Path, client: Client) -> None:
    two = lessons()["two"].public_id
    (tmp_path / "01-beginning" / "02-two.md").unlink()
    for _time in range(2):
        import_course(tmp_path, NOW, publish=True)
        db.session.commit()
    user = make_user()
    make_enrolment(user, db.session.scalars(sa.select(Course)).one())
    client.sign_in(user)
    assert client.visit("learning.lesson", id=two).status_code == 404


def test_a_module_taken_out_rests_with_its_lessons_and_comes_back(learner: int, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "02-doing")
    import_course(tmp_path, NOW, publish=True)
    db.session.commit()
    doing = db.session.scalars(sa.select(Module).where(Module.key == "doing")).one()
    assert doing.retired_at == NOW
    assert list(assets()) == ["01-beginning/square.svg"]
    bring_in(tmp_path)
    assert doing.retired_at is None
    assert len(done_by(learner)) == 3


def test_the_address_of_a_file_stays_when_its_content_changes(learner: int, tmp_path: Path, client: Client) -> None:
    old = assets()["01-beginning/square.svg"]
    address, digest = f"/assets/{old.public_id}.svg", old.digest
    assert client.get(address).status_code == 200  # of the public sample
    difference = bring_in(tmp_path, **{"01-beginning/square.svg": SVG.replace("9", "7")})
    assert (difference.assets, difference.changed) == (["01-beginning/square.svg"], [])
    new = assets()["01-beginning/square.svg"]
    assert f"/assets/{new.public_id}.svg" == address
    assert new.digest != digest
    assert b'width="7"' in client.get(address).data
    assert numbers_of("one") == [1]  # the text is the same


def test_a_drawing_of_another_size_is_a_new_revision_of_the_lesson_that_shows_it(learner: int, tmp_path: Path) -> None:
    assert bring_in(tmp_path, **{"01-beginning/square.svg": SVG.replace("0 0 40 20", "0 0 80 40")}).changed == ["one"]


def test_a_file_opens_where_any_lesson_that_shows_it_does(learner: int, tmp_path: Path) -> None:
    assert {path: (row.need, row.is_public) for path, row in assets().items()} == {
        "01-beginning/square.svg": (Need.NONE, True),  # the sample shows it on the public page
        "02-doing/circle.svg": (Need.TOUCH, False),
    }
    bring_in(tmp_path, **{"01-beginning/02-two.md": lesson("two", "![A circle](../02-doing/circle.svg)\n")})
    assert assets()["02-doing/circle.svg"].need is Need.NONE
    bring_in(tmp_path)
    assert assets()["02-doing/circle.svg"].need is Need.TOUCH


def test_a_lesson_that_now_needs_the_check_closes_its_files_too(learner: int, tmp_path: Path) -> None:
    files = {"01-beginning/01-one.md": lesson("one", STOP + "![A square](square.svg)\n", needs_check="gentle")}
    bring_in(tmp_path, **files, **{"course.md": page({**COURSE, "sample": "two"}, "The article.\n")})
    square = assets()["01-beginning/square.svg"]
    assert (square.need, square.is_public) == (Need.GENTLE, False)


def test_a_lesson_that_is_new_shows_as_new_to_whoever_had_finished(learner: int, tmp_path: Path) -> None:
    course = db.session.scalars(sa.select(Course)).one()
    small_course(tmp_path, **{"01-beginning/03-three.md": lesson("three", title="The third")})
    import_course(tmp_path, NOW.replace(hour=12), publish=True)
    db.session.commit()
    outline = outline_for(learner, course.id, NOW, None, NOW)
    assert [row.title for row in outline.rows if row.is_new] == ["The third"]
    assert outline.progress.new_since == 1


def test_each_change_raises_the_courses_version_once(learner: int, tmp_path: Path) -> None:
    course = db.session.scalars(sa.select(Course)).one()
    assert course.version == 1
    bring_in(tmp_path)
    assert course.version == 1
    bring_in(tmp_path, **{"01-beginning/module.md": page({**MODULE, "title": "Another beginning"})})
    assert course.version == 2
    assert db.session.scalars(sa.select(Module.title).where(Module.key == "beginning")).one() == "Another beginning"


def test_a_completed_technique_lesson_keeps_its_tick_through_it_all(learner: int, tmp_path: Path, client: Client) -> None:
    bring_in(tmp_path, **{"02-doing/01-touch.md": lesson("touch", STOP + "New.\n\n![A circle](circle.svg)\n", needs_check="touch")})
    make_outcome(db.session.get_one(type(make_user()), learner))
    client.sign_in(db.session.get_one(type(make_user()), learner))
    page_of = client.visit("learning.lesson", id=lessons()["touch"].public_id).text
    assert "New." in page_of
    assert "Take the mark away" in page_of
