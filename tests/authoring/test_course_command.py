"""`flask course import` and the staff pages about courses."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask

from courseapp.catalog.models import Course
from courseapp.extensions import db
from tests.authoring.folders import dump, lesson, small_course
from tests.client import Client
from tests.factories import make_enrolment, make_user


def run(app: Flask, *words: object) -> Result:
    """Run the command, apart from the test's own session."""
    db.session.commit()
    return app.test_cli_runner().invoke(args=["course", "import", *map(str, words)])


def test_it_says_what_came_in_and_then_that_nothing_has_changed(app: Flask, tmp_path: Path) -> None:
    small_course(tmp_path)
    first = run(app, tmp_path, "--publish")
    assert first.exit_code == 0
    assert first.output.splitlines()[-1] == "Imported: 3 new, 0 changed, 0 removed, 0 unchanged lessons; 2 files."
    second = run(app, tmp_path, "--publish")
    assert second.exit_code == 0
    assert second.output.splitlines()[-1] == "Nothing has changed: 3 lessons are as they were."


def test_it_lists_every_error_and_ends_with_one(app: Flask, tmp_path: Path) -> None:
    small_course(tmp_path, **{"01-beginning/02-two.md": "x", "02-doing/02.md": lesson("bad", "", minutes=0)})
    before = dump()
    result = run(app, tmp_path)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines[:3]] == [
        "error 01-beginning/02-two.md:1",
        "error 02-doing/02.md:4",
        "error 02-doing/02.md:8",
    ]
    assert lines[-1] == "Not imported: 3 errors to mend first. Nothing was changed."
    assert dump() == before


def test_a_dry_run_says_so_and_writes_nothing(app: Flask, tmp_path: Path) -> None:
    small_course(tmp_path)
    before = dump()
    result = run(app, tmp_path, "--dry-run")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "Dry run, nothing was written: 3 new, 0 changed, 0 removed, 0 unchanged lessons; 2 files."
    assert dump() == before


@pytest.mark.parametrize(("words", "committed"), [(("--dry-run",), False), ((), True)])
def test_other_programs_get_json(app: Flask, tmp_path: Path, words: tuple[str, ...], committed: bool) -> None:
    small_course(tmp_path, **{"01-beginning/02-two.md": lesson("two", shown="x")})
    facts: dict[str, Any] = json.loads(run(app, tmp_path, "--json", *words).stdout)
    assert (facts["ok"], facts["dry_run"], facts["committed"]) == (True, not committed, committed)
    assert facts["difference"]["new"] == ["one", "two", "touch"]
    warning = next(row for row in facts["report"] if row["severity"] == "warning")
    assert (warning["code"], warning["file"], warning["line"]) == ("field_unknown", "01-beginning/02-two.md", 7)
    assert set(warning) == {"severity", "code", "file", "line", "message", "mend"}


def test_json_of_errors_ends_with_one_too(app: Flask, tmp_path: Path) -> None:
    result = run(app, tmp_path, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert (facts["ok"], facts["committed"], facts["report"][0]["code"]) == (False, False, "course_missing")


def test_what_is_no_folder_is_refused_by_name(app: Flask, tmp_path: Path) -> None:
    result = run(app, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


# Staff pages


def test_instructors_see_how_each_course_stands(app: Flask, client: Client, tmp_path: Path) -> None:
    run(app, small_course(tmp_path), "--publish")
    course = db.session.scalars(sa.select(Course)).one()
    make_enrolment(make_user(), course)
    client.sign_in(make_user(roles=["instructor"]))
    shown = client.visit("authoring.courses").text
    assert "A small course" in shown
    page = client.visit("authoring.course", slug="small").text
    assert "A lesson" in page
    assert "3 new, 0 changed, 0 removed lessons" in page
    assert client.visit("authoring.course", slug="nothing").status_code == 404


@pytest.mark.parametrize("roles", [(), ("marketer",)])
def test_nobody_else_finds_these_pages(app: Flask, client: Client, tmp_path: Path, roles: tuple[str, ...]) -> None:
    run(app, small_course(tmp_path), "--publish")
    for endpoint, values in (("authoring.courses", {}), ("authoring.course", {"slug": "small"})):
        assert client.visit(endpoint, **values).status_code == 302
    client.sign_in(make_user(roles=roles))
    for endpoint, values in (("authoring.courses", {}), ("authoring.course", {"slug": "small"})):
        assert client.visit(endpoint, **values).status_code == 404
