"""What a course's file says of payment: it may close the course, and never opens it."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.authoring.exporting import parts_of
from courseapp.authoring.importing import Result, import_course
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.authoring.folders import COURSE, page, small_course
from tests.factories import NOW


def bring_in(folder: Path, **fields: str) -> Result:
    """Import a small course whose file has these fields too, and publish it."""
    result = import_course(small_course(folder, **{"course.md": page({**COURSE, **fields})}), NOW, publish=True)
    db.session.commit() if result.committed else db.session.rollback()
    return result


def course() -> Course:
    return db.session.scalars(sa.select(Course)).one()


def said(result: Result) -> str:
    return "\n".join(row.words() for row in result.report.rows if row.code.startswith("access"))


def closings() -> int:
    return len(db.session.scalars(sa.select(Event.id).where(Event.type == "course_closed")).all())


def test_a_file_that_says_paid_makes_a_paid_course(app: Flask, tmp_path: Path) -> None:
    assert bring_in(tmp_path, access="paid").committed
    assert course().paid_at == NOW
    assert closings() == 1


def test_a_file_closes_a_course_that_was_open_and_says_so(app: Flask, tmp_path: Path) -> None:
    bring_in(tmp_path)
    assert course().paid_at is None
    version = course().version
    result = bring_in(tmp_path, access="paid")
    assert "course.md:7  This closes the course to everybody who holds no tier that opens it." in said(result)
    assert (course().paid_at, course().version, closings()) == (NOW, version + 1, 1)  # kept pages of it are made anew
    again = bring_in(tmp_path, access="paid")
    assert (again.committed, said(again), closings()) == (False, "", 1)


def test_a_file_that_says_nothing_leaves_it_as_it_is(app: Flask, tmp_path: Path) -> None:
    bring_in(tmp_path, access="paid")
    assert bring_in(tmp_path, title="Another title").committed
    assert course().paid_at == NOW


def test_no_file_opens_a_paid_course(app: Flask, tmp_path: Path) -> None:
    assert not bring_in(tmp_path, access="open").report.has_errors  # it is open
    bring_in(tmp_path, access="paid")
    result = bring_in(tmp_path, access="open", title="Another title")
    assert result.report.has_errors
    words = "The course is paid, and no file opens it.  → Leave the line out. The owner opens a course at /staff/tiers."
    assert f"course.md:7  {words}" in said(result)
    assert course().paid_at == NOW


@pytest.mark.parametrize("word", ["free", "Paid", "yes"])
def test_another_word_is_refused_with_its_line(app: Flask, tmp_path: Path, word: str) -> None:
    result = bring_in(tmp_path, access=word)
    assert not result.committed
    assert "course.md:7  “access” should be one of paid, open.  → Write for example “access: paid”." in said(result)


def test_it_is_written_out_and_comes_in_again_without_a_difference(app: Flask, tmp_path: Path) -> None:
    bring_in(tmp_path / "sent", access="paid")
    written = parts_of(course())[0].text
    assert "\naccess: paid\n" in written
    (tmp_path / "sent" / "course.md").write_text(written)
    assert import_course(tmp_path / "sent", NOW, publish=True).difference.is_empty
    course().paid_at = None
    assert "access" not in parts_of(course())[0].text
