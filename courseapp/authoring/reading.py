"""Reading a course folder: front matter and bodies → a draft; everything that is missing or odd is reported."""

import difflib
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import yaml

from courseapp.authoring.receiving import SourceFile
from courseapp.authoring.report import Report
from courseapp.catalog.models import Need, Rule

KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COURSE_FIELDS = {"slug", "title", "language", "edition", "summary", "headline", "for_whom", "not_for", "sample", "questions", "made_by"}
MODULE_FIELDS = {"key", "title", "summary"}
LESSON_FIELDS = {"id", "title", "minutes", "shows", "needs_check", "completes", "sources", "reviewed_by", "reviewed_on", "review_due"}


@dataclass
class LessonDraft:
    """A lesson as its file has it. `body_line` is the file's line on which the body begins."""

    file: str
    key: str
    title: str
    minutes: int
    shows: str
    needs_check: Need
    rule: Rule
    sources: list[str]
    reviewed_by: str | None
    reviewed_on: date | None
    review_due: date | None
    body: str
    body_line: int


@dataclass
class ModuleDraft:
    """A module as its folder has it."""

    folder: str
    key: str
    title: str
    summary: str
    lessons: list[LessonDraft] = field(default_factory=list)


@dataclass
class CourseDraft:
    """A course as its folder has it."""

    slug: str
    title: str
    language: str
    edition: str
    summary: str
    headline: str
    front: dict[str, Any]
    article: str
    article_line: int
    modules: list[ModuleDraft]
    files: dict[str, SourceFile]

    @property
    def lessons(self) -> list[LessonDraft]:
        """All lessons in order."""
        return [lesson for module in self.modules for lesson in module.lessons]


@dataclass(frozen=True)
class Front:
    """A file's front matter and body, with the lines its fields stand on."""

    file: str
    values: dict[str, Any]
    lines: dict[str, int]
    body: str
    body_line: int

    def line(self, name: str) -> int:
        """The line of a field, or the first."""
        return self.lines.get(name, 1)


def read_course(files: dict[str, SourceFile], report: Report) -> CourseDraft | None:
    """The draft of a course folder; None where there is not even a course file."""
    if "course.md" not in files:
        report.error(
            "course_missing",
            "course.md",
            0,
            "There is no course.md at the top of the folder.",
            "Add it: it names the course and holds its public page.",
        )
        return None
    front = read_front(files["course.md"], COURSE_FIELDS, report)
    if front is None:
        return None
    words = _Words(front, report)
    draft = CourseDraft(
        slug=words.key("slug"),
        title=words.text("title", 200),
        language=words.text("language", 16, "en"),
        edition=words.text("edition", 20, ""),
        summary=words.text("summary", 500),
        headline=words.text("headline", 120),
        front={
            name: front.values.get(name) for name in ("for_whom", "not_for", "sample", "questions", "made_by") if front.values.get(name)
        },
        article=front.body,
        article_line=front.body_line,
        modules=_read_modules(files, report),
        files=files,
    )
    if not draft.modules:
        report.error(
            "no_modules", "course.md", 0, "There is no module.", "Put lessons into folders such as 01-beginning/, each with a module.md."
        )
    return draft


def _read_modules(files: dict[str, SourceFile], report: Report) -> list[ModuleDraft]:
    folders = sorted({path.split("/")[0] for path in files if "/" in path and path.endswith(".md")}, key=_order)
    modules = []
    for folder in folders:
        front = read_front(files[f"{folder}/module.md"], MODULE_FIELDS, report) if f"{folder}/module.md" in files else None
        if front is None:
            report.error(
                "module_missing",
                f"{folder}/module.md",
                0,
                f"The folder “{folder}” has no module.md.",
                "Add it, with key, title and summary.",
            )
            continue
        words = _Words(front, report)
        module = ModuleDraft(folder, words.key("key"), words.text("title", 200), words.text("summary", 1000))
        paths = sorted(
            (path for path in files if path.startswith(f"{folder}/") and path.endswith(".md") and not path.endswith("/module.md")),
            key=_order,
        )
        module.lessons = [lesson for path in paths if (lesson := _read_lesson(files[path], report)) is not None]
        if not module.lessons:
            report.error("module_empty", f"{folder}/module.md", 0, "The module has no lesson.", "Add one, or remove the folder.")
        modules.append(module)
    return modules


def _order(path: str) -> tuple[int, str]:
    name = PurePosixPath(path).name
    number = re.match(r"\d+", name)
    return (int(number.group()) if number else 10**6, name)


def _read_lesson(file: SourceFile, report: Report) -> LessonDraft | None:
    front = read_front(file, LESSON_FIELDS, report)
    if front is None:
        return None
    words = _Words(front, report)
    lesson = LessonDraft(
        file=file.path,
        key=words.key("id"),
        title=words.text("title", 200),
        minutes=words.number("minutes", 1, 120),
        shows=words.text("shows", 1000),
        needs_check=Need(words.choice("needs_check", [need.value for need in Need], None)),
        rule=Rule(words.choice("completes", [rule.value for rule in Rule], "mark")),
        sources=words.list_of_text("sources"),
        reviewed_by=words.text("reviewed_by", 200, "") or None,
        reviewed_on=words.day("reviewed_on"),
        review_due=words.day("review_due"),
        body=front.body,
        body_line=front.body_line,
    )
    if not lesson.body.strip():
        report.error("lesson_empty", file.path, lesson.body_line, "The lesson has no text.", "Write it below the front matter.")
    return lesson


def read_front(file: SourceFile, known: set[str], report: Report) -> Front | None:
    """A file's front matter and body; None, with the reason reported, where it cannot be read."""
    try:
        text = file.text()
    except UnicodeDecodeError as error:
        report.error("not_utf8", file.path, 0, f"The file is not UTF-8 text (byte {error.start}).", "Save it again as UTF-8.")
        return None
    text = text.replace("\r\n", "\n")
    found = re.match(r"---\n(.*?\n)---[ \t]*(?:\n|$)", text, re.DOTALL)
    if found is None:
        report.error(
            "front_missing",
            file.path,
            1,
            "The file does not begin with front matter.",
            "Begin it with a line ---, the fields, and another line ---.",
        )
        return None
    try:
        values = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or "it is not YAML"
        mend = "Put text with a colon or quotes in it between double quotes."
        report.error("front_broken", file.path, (mark.line + 2) if mark else 1, f"The front matter cannot be read: {words}.", mend)
        return None
    if not isinstance(values, dict):
        report.error("front_broken", file.path, 1, "The front matter is no list of fields.", "Write one “name: value” a line.")
        return None
    lines = {
        m.group(1): number for number, line in enumerate(found.group(1).split("\n"), start=2) if (m := re.match(r"([\w-]+)\s*:", line))
    }
    for name in values:
        if str(name) not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            mend = f"Did you mean “{near[0]}”?" if near else f"Known are: {', '.join(sorted(known))}."
            report.warn("field_unknown", file.path, lines.get(str(name), 1), f"The field “{name}” is not known and was left out.", mend)
    return Front(file.path, values, lines, text[found.end() :], text[: found.end()].count("\n") + 1)


class _Words:
    """Front matter's values as clean ones; each that is missing or wrong is reported, and a harmless one stands in."""

    def __init__(self, front: Front, report: Report) -> None:
        self._front, self._report = front, report

    def _wrong(self, name: str, message: str, mend: str) -> None:
        self._report.error(f"{name}_wrong", self._front.file, self._front.line(name), message, mend)

    def text(self, name: str, longest: int, default: str | None = None) -> str:
        value = self._front.values.get(name)
        if value is None or value == "":
            if default is None:
                self._report.error(
                    f"{name}_missing",
                    self._front.file,
                    self._front.line(name),
                    f"The field “{name}” is missing.",
                    f"Add “{name}: …” to the front matter.",
                )
            return default or ""
        if isinstance(value, (dict, list)):
            self._wrong(name, f"“{name}” should be one text.", "Put it on one line, between double quotes.")
            return ""
        text = " ".join(str(value).split())
        if len(text) > longest:
            self._wrong(name, f"“{name}” has {len(text)} characters; {longest} is the most.", "Shorten it.")
        return text[:longest]

    def key(self, name: str) -> str:
        text = self.text(name, 60)
        if text and not KEY.fullmatch(text):
            self._wrong(name, f"“{text}” cannot be an id.", "Use small letters, digits and single hyphens, such as your-first-visit.")
        return text

    def number(self, name: str, least: int, most: int) -> int:
        value = self._front.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._wrong(name, f"“{name}” should be a whole number from {least} to {most}.", f"Write for example “{name}: 5”.")
            return least
        return value

    def choice(self, name: str, choices: list[str], default: str | None) -> str:
        value = self._front.values.get(name)
        if value is None and default is not None:
            return default
        if value not in choices:
            self._wrong(name, f"“{name}” should be one of {', '.join(choices)}.", f"Write for example “{name}: {choices[0]}”.")
            return default or choices[-1]  # the strictest stands in, so that nothing opens by mistake
        return str(value)

    def list_of_text(self, name: str) -> list[str]:
        value = self._front.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, (str, int, float)) for item in value):
            self._wrong(name, f"“{name}” should be a list.", "Write each entry on a line of its own, after “- ”.")
            return []
        return [str(item) for item in value]

    def day(self, name: str) -> date | None:
        value = self._front.values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, date):
            self._wrong(name, f"“{value}” is no date.", "Write it as 2026-11-22.")
            return None
        return value
