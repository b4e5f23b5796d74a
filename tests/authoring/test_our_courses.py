"""The courses in content/ are held to what they promise their readers, the introduction and those that may be sold alike."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa
import yaml
from flask import Flask

from courseapp.authoring.importing import import_course
from courseapp.authoring.report import Severity
from courseapp.catalog.models import Asset, Lesson, Module
from courseapp.extensions import db
from tests.authoring.folders import CONTENT, COURSES
from tests.factories import NOW

FURTHER = [folder for folder in COURSES if folder != CONTENT]
BODY_WORDS = re.compile(r"pelvi|vagin|penis|genital|bladder|bowel|sex|anus|urin|massage|pain", re.IGNORECASE)
PICTURE = re.compile(r'!\[([^\]]*)\]\(([\w-]+\.svg) "([^"]+)"\)')
SVG = "{http://www.w3.org/2000/svg}"

of_each = pytest.mark.parametrize("folder", COURSES, ids=lambda folder: folder.name)


def lessons_of(folder: Path) -> Iterator[tuple[Path, dict[str, object], str]]:
    """Each lesson's file, front matter and Markdown."""
    for path in sorted(folder.glob("*/[0-9]*.md")):
        _before, front, body = path.read_text().split("---\n", 2)
        yield path, yaml.safe_load(front), body


@of_each
def test_a_course_of_ours_comes_in_whole_and_without_a_fault(app: Flask, folder: Path) -> None:
    result = import_course(folder, NOW, publish=True, without_review=True)
    assert [row.words() for row in result.report.sorted() if row.severity is not Severity.NOTE] == []
    for model, files in ((Lesson, "*/[0-9]*.md"), (Module, "*/module.md"), (Asset, "*/*.svg")):
        assert db.session.scalar(sa.select(sa.func.count()).select_from(model)) == len(list(folder.glob(files)))


@of_each
def test_most_lessons_are_open_to_everybody_whatever_the_check_says(folder: Path) -> None:
    needs = [front["needs_check"] for _path, front, _body in lessons_of(folder)]
    assert needs.count("none") * 2 >= len(needs)


@of_each
def test_every_lesson_says_first_what_it_shows_and_last_what_to_remember(folder: Path) -> None:
    for path, front, body in lessons_of(folder):
        assert front["shows"], path
        assert front["sources"], path
        assert len(re.findall(r"^::: key$", body, re.MULTILINE)) == 1, path
        assert body.rstrip().endswith(":::"), path
        assert body.rstrip().rfind("\n::: ") == body.rfind("\n::: key"), path


@of_each
def test_who_practises_is_told_when_to_stop_and_where_help_is(folder: Path) -> None:
    """Further courses are practice throughout, so all of their lessons lead to help; the introduction's techniques do."""
    for path, front, body in lessons_of(folder):
        if folder != CONTENT or front["needs_check"] != "none":
            assert "(page:help-now)" in body, path
        if front["needs_check"] != "none":
            assert body.index("::: stop-if") < body.index("\n## "), path
            assert "::: standard" in body, path
            assert "::: adapted" in body, path


@of_each
def test_the_voice_is_calm_and_nobody_is_named_as_having_reviewed_it(folder: Path) -> None:
    for path, front, body in lessons_of(folder):
        assert "!" not in body.replace("![", "["), path
        assert "://" not in path.read_text(), path  # sources are titles and organisations, which do not go stale
        assert front["reviewed_by"] is None, path


@of_each
def test_every_drawing_is_used_and_has_words_for_those_who_cannot_see_it(folder: Path) -> None:
    used = {path.parent / name: words for path, _front, body in lessons_of(folder) for words, name, _caption in PICTURE.findall(body)}
    assert set(used) == set(folder.rglob("*.svg"))
    for path, words in used.items():
        assert len(words.split()) >= 12, path
        drawing = ElementTree.fromstring(path.read_text())
        ids = {element.get("id") for element in (drawing.find(f"{SVG}title"), drawing.find(f"{SVG}desc")) if element is not None}
        assert set((drawing.get("aria-labelledby") or "").split()) == ids, path
        assert len(ids) == 2, path
        assert "prefers-color-scheme: dark" in path.read_text(), path


@of_each
def test_words_in_drawings_can_be_read_on_a_telephone(folder: Path) -> None:
    """A drawing is 288 pixels wide there, and its words have 11 or more."""
    for path in folder.rglob("*.svg"):
        drawing = ElementTree.fromstring(path.read_text())
        width = float((drawing.get("viewBox") or "").split()[2])
        sizes = [float(text.get("font-size") or 0) for text in drawing.iter(f"{SVG}text")]
        assert min(sizes, default=14.0) * 288 / width >= 11, path


@pytest.mark.parametrize("folder", FURTHER, ids=lambda folder: folder.name)
def test_the_name_of_what_is_sold_gives_nothing_away(folder: Path) -> None:
    """It stands on receipts, in subjects and on a card's statement."""
    _before, front, _article = (folder / "course.md").read_text().split("---\n", 2)
    course = yaml.safe_load(front)
    assert not BODY_WORDS.search(f"{course['slug']} {course['title']} {course['headline']}")


@pytest.mark.parametrize("folder", FURTHER, ids=lambda folder: folder.name)
def test_what_is_sold_says_before_anybody_pays_for_whom_it_is_not_and_that_nobody_has_reviewed_it(folder: Path) -> None:
    _before, front, _article = (folder / "course.md").read_text().split("---\n", 2)
    course = yaml.safe_load(front)
    assert course["access"] == "paid"
    assert course["sample"]
    assert any("professional" in words for words in course["not_for"])
    assert "No clinician has reviewed the text yet" in course["made_by"]
    is_closed_to_some = any(needs["needs_check"] != "none" for _path, needs, _body in lessons_of(folder))
    assert any("safety check" in words for words in course["not_for"]) == is_closed_to_some


def test_the_introduction_and_the_further_courses_do_not_lean_on_each_other() -> None:
    keys = {folder.name: {str(front["id"]) for _path, front, _body in lessons_of(folder)} for folder in COURSES}
    for folder in COURSES:
        for path, _front, body in lessons_of(folder):
            assert set(re.findall(r"\(lesson:([\w-]+)\)", body)) <= keys[folder.name], path
