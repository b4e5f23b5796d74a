"""What is wrong with a course folder is told all at once: each thing with its file, its line, and how to mend it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.authoring.front_matter import read_front
from courseapp.authoring.reading import LESSON_FIELDS, CourseDraft, read_course
from courseapp.authoring.receiving import SourceFile, receive_folder
from courseapp.authoring.report import Report, Row, Severity
from courseapp.authoring.validation import validate
from courseapp.catalog.models import Need, Rule
from tests.authoring.folders import COURSE, LESSON, STOP, lesson, page, small_course, write


def read(folder: Path) -> tuple[CourseDraft | None, Report]:
    """Received, read and validated."""
    report = Report()
    draft = read_course(receive_folder(folder, report), report)
    if draft is not None:
        validate(draft, report)
    return draft, report


def rows(folder: Path, least: Severity = Severity.WARNING) -> list[tuple[str, str, str, int]]:
    """What was found, notes apart, as (severity, code, file, line)."""
    order = list(Severity)
    return [
        (row.severity.value, row.code, row.file, row.line)
        for row in read(folder)[1].sorted()
        if order.index(row.severity) <= order.index(least)
    ]


def errors_of_lesson(folder: Path, text: str | bytes) -> list[tuple[str, int]]:
    """The errors that one lesson's file brings, as (code, line)."""
    found = rows(small_course(folder, **{"01-beginning/02-two.md": text}), Severity.ERROR)
    assert {file for _severity, _code, file, _line in found} <= {"01-beginning/02-two.md"}
    return [(code, line) for _severity, code, _file, line in found]


def test_a_course_without_fault_is_read_whole(tmp_path: Path) -> None:
    draft, _report = read(small_course(tmp_path))
    assert rows(tmp_path) == []
    assert draft is not None
    assert (draft.slug, draft.title, draft.language, draft.edition) == ("small", "A small course", "en", "")
    assert [(module.key, [one.key for one in module.lessons]) for module in draft.modules] == [
        ("beginning", ["one", "two"]),
        ("doing", ["touch"]),
    ]
    touch = draft.lessons[2]
    assert (touch.needs_check, touch.rule, touch.minutes, touch.body_line) == (Need.TOUCH, Rule.MARK, 5, 8)


def test_folders_and_files_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = {f"{number}-m/{place}-l.md": lesson(f"l-{number}-{place}") for number in (10, 9, 2) for place in (11, 3)}
    modules = {f"{number}-m/module.md": page({"key": f"m-{number}", "title": "M", "summary": "S"}) for number in (10, 9, 2)}
    draft, _report = read(write(tmp_path, {"course.md": page({**COURSE, "sample": ""}), **files, **modules}))
    assert draft is not None
    assert [one.key for one in draft.lessons] == ["l-2-3", "l-2-11", "l-9-3", "l-9-11", "l-10-3", "l-10-11"]


def test_everything_wrong_is_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "course.md": page({**COURSE, "sample": "nowhere", "titel": "x"}),
        "01-a/module.md": page({"key": "Has Blanks", "title": "T"}),
        "01-a/01.md": page({"id": "one", "title": "", "minutes": 500, "shows": ["x"], "needs_check": "touch?", "reviewed_on": "soon"}),
        "01-a/02.md": lesson("two", "# Too high\n\n<b>x</b>\n"),
        "01-a/03.md": lesson("two", needs_check="gentle"),
        "01-a/04.md": lesson("four", reviewed_by="Dr Who"),
        "01-a/05.md": "No front matter",
        "01-a/06.md": "---\nid: six\ntitle: a: b\n---\n",
        "01-a/07.md": b"\xff\x81",
        "01-a/08.md": lesson("eight", ""),
        "01-a/notes.docx": b"PK",
        "01-a/fake.png": b"<html>",
        "02-b/01.md": lesson("lost"),
        "03-c/module.md": page({"key": "c", "title": "C", "summary": "S"}),
    }
    found = rows(write(tmp_path, files))
    assert set(found) == {
        ("error", "sample_unknown", "course.md", 0),
        ("warning", "field_unknown", "course.md", 7),
        ("error", "key_wrong", "01-a/module.md", 2),
        ("error", "summary_missing", "01-a/module.md", 1),
        ("error", "title_missing", "01-a/01.md", 3),
        ("error", "minutes_wrong", "01-a/01.md", 4),
        ("error", "shows_wrong", "01-a/01.md", 5),
        ("error", "needs_check_wrong", "01-a/01.md", 7),
        ("error", "reviewed_on_wrong", "01-a/01.md", 8),
        ("error", "stop_if", "01-a/01.md", 0),  # the strictest need stands in for the wrong one
        ("warning", "heading_one", "01-a/02.md", 9),
        ("warning", "raw_html", "01-a/02.md", 11),
        ("error", "id_twice", "01-a/03.md", 0),
        ("error", "stop_if", "01-a/03.md", 0),
        ("error", "review_undated", "01-a/04.md", 0),
        ("error", "front_missing", "01-a/05.md", 1),
        ("error", "front_broken", "01-a/06.md", 3),
        ("error", "not_utf8", "01-a/07.md", 0),
        ("error", "lesson_empty", "01-a/08.md", 8),
        ("warning", "kind_unknown", "01-a/notes.docx", 0),
        ("error", "wrong_content", "01-a/fake.png", 0),
        ("error", "module_missing", "02-b/module.md", 0),
        ("error", "module_empty", "03-c/module.md", 0),
    }
    assert len(found) == len(set(found))
    assert all(row.message and row.mend for row in read(tmp_path)[1].rows)


def test_a_misspelt_field_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    _draft, report = read(small_course(tmp_path, **{"01-beginning/02-two.md": lesson("two", needs_chek="none")}))
    row = next(row for row in report.rows if row.code == "field_unknown")
    assert row.mend == "Did you mean “needs_check”?"
    assert row.line == 7


def test_a_folder_without_a_course_file_says_so(tmp_path: Path) -> None:
    draft, report = read(tmp_path)
    assert draft is None
    assert [row.code for row in report.rows] == ["course_missing"]


def test_a_course_without_modules_says_so(tmp_path: Path) -> None:
    assert ("error", "no_modules", "course.md", 0) in rows(write(tmp_path, {"course.md": page(COURSE)}))


def test_nothing_that_needs_the_check_can_be_the_public_sample(tmp_path: Path) -> None:
    found = rows(small_course(tmp_path, **{"course.md": page({**COURSE, "sample": "touch"})}))
    assert found == [("error", "sample_closed", "course.md", 0)]


@pytest.mark.parametrize("boxes", [0, 2])
def test_a_technique_lesson_has_exactly_one_stop_box(tmp_path: Path, boxes: int) -> None:
    assert errors_of_lesson(tmp_path, lesson("two", STOP * boxes + "Press.", needs_check="gentle")) == [("stop_if", 0)]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_a_byte_order_mark_do_not_matter(tmp_path: Path, ending: str, mark: bytes) -> None:
    text = mark + lesson("two", "One.\n\nTwo ü.\n").replace("\n", ending).encode()
    assert errors_of_lesson(tmp_path, text) == []
    draft, _report = read(tmp_path)
    assert draft is not None
    assert draft.lessons[1].body == "\nOne.\n\nTwo ü.\n"


@pytest.mark.parametrize(
    ("front", "code", "line"),
    [
        ("id: two\ntitle: 'open", "front_broken", 4),
        ("id: two\n\ttitle: x", "front_broken", 3),
        ("- a\n- b", "front_broken", 1),
        ("just words", "front_broken", 1),
        ("id: two\nreviewed_on: 2026-13-45", "front_broken", 1),
        ("minutes: !!int ''", "front_broken", 1),
        ("title: !!bool perhaps", "front_broken", 1),
        ("title: !!python/object/apply:os.system [id]", "front_broken", 2),
        (f"title: {'[' * 3000}", "front_broken", 2),
        (f"title: {'9' * 5000}", "front_broken", 2),
        ("a: &a [x]\nb: &b [*a, *a]", "front_broken", 3),
        ("? [a]\n: b", "front_broken", 2),
    ],
)
def test_broken_front_matter_is_told_with_its_line(tmp_path: Path, front: str, code: str, line: int) -> None:
    assert errors_of_lesson(tmp_path, f"---\n{front}\n---\n\nWords.\n") == [(code, line)]


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("title: one: two", "a colon where none may be"),
        ("title: 'open", "a quotation mark is opened"),
        ("title: 'it's'", "behind the end of a value"),
        ("title: @home", "a sign that means something else"),
        ("title: [one\nminutes: 5", "a bracket is opened"),
        ("reviewed_on: 2026-13-45", "a day that is in no calendar"),
    ],
)
def test_broken_front_matter_is_told_in_words_that_need_no_manual(tmp_path: Path, front: str, said: str) -> None:
    errors_of_lesson(tmp_path, f"---\n{front}\n---\n\nWords.\n")
    _draft, report = read(tmp_path)
    assert [said in row.message and bool(row.mend) for row in report.rows if row.code == "front_broken"] == [True]


@pytest.mark.parametrize(
    ("fields", "code", "line"),
    [
        ({"title": "x\0y"}, "title_wrong", 3),
        ({"title": True}, "title_wrong", 3),
        ({"title": {"a": 1}}, "title_wrong", 3),
        ({"title": 10**200}, "title_wrong", 3),
        ({"title": "x" * 201}, "title_wrong", 3),
        ({"minutes": "five"}, "minutes_wrong", 4),
        ({"minutes": True}, "minutes_wrong", 4),
        ({"minutes": 0}, "minutes_wrong", 4),
        ({"completes": "sometimes"}, "completes_wrong", 7),
        ({"sources": "one"}, "sources_wrong", 7),
        ({"sources": [["nested"]]}, "sources_wrong", 7),
        ({"review_due": ["x"]}, "review_due_wrong", 7),
    ],
)
def test_a_wrong_value_is_told_with_its_line(tmp_path: Path, fields: dict[str, object], code: str, line: int) -> None:
    assert errors_of_lesson(tmp_path, lesson("two", **fields)) == [(code, line)]


def test_a_character_that_nothing_can_show_is_told_with_its_line(tmp_path: Path) -> None:
    assert errors_of_lesson(tmp_path, lesson("two", "One.\n\nT\0wo.")) == [("control_character", 11)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"for_whom": "one text"}, "for_whom_wrong"),
        ({"not_for": [{"a": 1}]}, "not_for_wrong"),
        ({"questions": ["Why?"]}, "questions_wrong"),
        ({"questions": [{"question": "Why?"}]}, "questions_wrong"),
        ({"questions": [{"question": "Why?", "answer": ["x"]}]}, "questions_wrong"),
        ({"made_by": ["us"]}, "made_by_wrong"),
        ({"language": "klingon!"}, "language_wrong"),
        ({"slug": "Not A Slug"}, "slug_wrong"),
    ],
)
def test_what_the_public_page_could_not_show_is_refused(tmp_path: Path, fields: dict[str, object], code: str) -> None:
    found = rows(small_course(tmp_path, **{"course.md": page({**COURSE, **fields})}))
    assert [(severity, name) for severity, name, _file, _line in found] == [("error", code)]


def test_a_finding_reads_like_a_compilers() -> None:
    row = Row(Severity.ERROR, "x", "a.md", 3, "It is wrong.", "Mend it.")
    assert row.words() == "error   a.md:3  It is wrong.  → Mend it."


def front_of(folder: Path, text: str) -> Report:
    """What reading one file's front matter reports."""
    report = Report()
    target = folder / "any.md"
    target.write_text(text, encoding="utf-8", newline="")
    read_front(SourceFile("any.md", target, 0, "", "text/markdown"), LESSON_FIELDS, report)
    return report


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(st.sampled_from(sorted({*LESSON_FIELDS, *COURSE})), anything, max_size=6)
words = st.text(st.characters(codec="utf-8"), max_size=60)


@given(fields, fields, words)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_values_and_no_text_make_reading_fail(tmp_path: Path, first: dict[str, object], second: dict[str, object], body: str) -> None:
    text = page({**LESSON, "id": "two", **first}, body)
    small_course(tmp_path, **{"01-beginning/02-two.md": text, "course.md": page({**COURSE, **second}, body)})
    _draft, report = read(tmp_path)
    assert all(row.line >= 0 and row.file for row in report.rows)


@given(
    st.one_of(
        words,
        words.map(lambda text: f"---\n{text}\n---\nbody"),
        st.text("[]{}&*!|>%@`'\"#-:,?\n ab1", max_size=60).map("---\n{}\n---\n".format),
    )
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_whatever_makes_reading_fail(tmp_path: Path, text: str) -> None:
    front_of(tmp_path, text)
