"""Reading a course folder: front matter and bodies → a draft; everything that is missing or odd is reported."""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from courseapp.authoring.front_matter import Front, Words, read_front
from courseapp.authoring.report import Report
from courseapp.catalog.models import Need, Rule

if TYPE_CHECKING:  # what knows files is large, and the editor reads lessons without any
    from courseapp.authoring.receiving import SourceFile

COURSE_FIELDS = {
    *("slug", "title", "language", "edition", "summary", "headline", "access"),
    *("for_whom", "not_for", "sample", "questions", "made_by"),
}
MODULE_FIELDS = {"key", "title", "summary", "order"}
LESSON_FIELDS = {
    *("id", "title", "module", "minutes", "shows", "needs_check", "completes"),
    *("sources", "reviewed_by", "reviewer_role", "reviewed_on", "review_due"),
}


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
    reviewer_role: str | None
    reviewed_on: date | None
    review_due: date | None
    body: str
    body_line: int
    module: str = ""  # the key of another module than its folder's, where the file says so


@dataclass
class ModuleDraft:
    """A module as its folder has it. `order` stands in for the folder's number where it is given."""

    folder: str
    key: str
    title: str
    summary: str
    order: int | None = None
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
    access: str  # paid or open; empty where the file leaves it as it is
    access_line: int
    front: dict[str, Any]
    article: str
    article_line: int
    modules: list[ModuleDraft]
    files: "dict[str, SourceFile]"

    @property
    def lessons(self) -> list[LessonDraft]:
        """All lessons in order."""
        return [lesson for module in self.modules for lesson in module.lessons]


def read_course(files: "dict[str, SourceFile]", report: Report) -> CourseDraft | None:
    """The draft of a course folder; None where there is not even a course file."""
    if "course.md" not in files:
        report.error(
            "course_missing",
            "course.md",
            0,
            "There is no course.md at the top of the folder.",
            "Add it: it names the course and holds its public page. For lessons of a course that is here, choose the course in the form.",
        )
        return None
    front = read_front(files["course.md"], COURSE_FIELDS, report)
    if front is None:
        return None
    words = Words(front, report)
    draft = CourseDraft(
        slug=words.key("slug"),
        title=words.text("title", 200),
        language=words.language("language"),
        edition=words.text("edition", 20, ""),
        summary=words.text("summary", 500),
        headline=words.text("headline", 120),
        access=words.choice("access", ["paid", "open"], ""),
        access_line=front.line("access"),
        front=_read_public(words),
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


def _read_public(words: Words) -> dict[str, Any]:
    """What the public page says beside the article, without what is empty."""
    values = {
        "for_whom": words.list_of_text("for_whom"),
        "not_for": words.list_of_text("not_for"),
        "sample": words.text("sample", 60, ""),
        "questions": words.questions("questions"),
        "made_by": words.text("made_by", 5000, ""),
    }
    return {name: value for name, value in values.items() if value}


def _read_modules(files: "dict[str, SourceFile]", report: Report) -> list[ModuleDraft]:
    modules, elsewhere = [], []
    for folder in sorted({path.split("/")[0] for path in files if "/" in path and path.endswith(".md")}, key=order_of):
        lessons = _read_lessons(folder, files, report)
        own = [lesson for lesson in lessons if not lesson.module]
        elsewhere += [lesson for lesson in lessons if lesson.module]
        if lessons and not own and f"{folder}/module.md" not in files:
            continue  # all of them belong to other modules; the folder only holds what they show
        module = _read_module(folder, files, report)
        if module is not None:
            module.lessons = own
            modules.append(module)
    _join(elsewhere, modules, report)
    for module in modules:
        if not module.lessons:
            report.error("module_empty", f"{module.folder}/module.md", 0, "The module has no lesson.", "Add one, or remove the folder.")
    return sorted(modules, key=lambda module: (module.order or order_of(module.folder)[0], order_of(module.folder)))


def _join(lessons: list[LessonDraft], modules: list[ModuleDraft], report: Report) -> None:
    """Put lessons that name their module into it, in the order of all its files."""
    by_key = {module.key: module for module in modules}
    for lesson in lessons:
        if lesson.module in by_key:
            by_key[lesson.module].lessons.append(lesson)
            by_key[lesson.module].lessons.sort(key=lambda one: order_of(one.file))
        else:
            mend = "Use the key from that module's module.md, or leave “module” out."
            report.error("module_unknown", lesson.file, 0, f"There is no module “{lesson.module}”.", mend)


def _read_module(folder: str, files: "dict[str, SourceFile]", report: Report) -> ModuleDraft | None:
    path = f"{folder}/module.md"
    front = read_front(files[path], MODULE_FIELDS, report) if path in files else None
    if front is None:
        report.error("module_missing", path, 0, f"The folder “{folder}” has no module.md.", "Add it, with key, title and summary.")
        return None
    words = Words(front, report)
    order = words.number("order", 1, 10_000) if front.values.get("order") is not None else None
    return ModuleDraft(folder, words.key("key"), words.text("title", 200), words.text("summary", 1000), order)


def _read_lessons(folder: str, files: "dict[str, SourceFile]", report: Report) -> list[LessonDraft]:
    paths = sorted((path for path in files if path.startswith(f"{folder}/") and is_lesson(path)), key=order_of)
    return [lesson for path in paths if (lesson := _read_lesson(files[path], report)) is not None]


def is_lesson(path: str) -> bool:
    """Whether a file inside a module's folder is a lesson."""
    return path.endswith(".md") and not path.endswith("/module.md")


def order_of(path: str) -> tuple[int, str]:
    """What files and folders are sorted by: the number their name begins with, then the name."""
    name = path.rpartition("/")[2]
    number = re.match(r"\d+", name)
    return (int(number.group()) if number else 10**6, name)


def _read_lesson(file: "SourceFile", report: Report) -> LessonDraft | None:
    front = read_front(file, LESSON_FIELDS, report)
    return lesson_from(front, report) if front is not None else None


def lesson_from(front: Front, report: Report) -> LessonDraft:
    """The draft of a lesson's front matter and body, wherever they come from."""
    words = Words(front, report)
    lesson = LessonDraft(
        file=front.file,
        key=words.key("id"),
        title=words.text("title", 200),
        minutes=words.number("minutes", 1, 120),
        shows=words.text("shows", 1000),
        needs_check=Need(words.choice("needs_check", [need.value for need in Need], None)),
        rule=Rule(words.choice("completes", [rule.value for rule in Rule], "mark")),
        sources=words.list_of_text("sources"),
        reviewed_by=words.text("reviewed_by", 200, "") or None,
        reviewer_role=words.text("reviewer_role", 200, "") or None,
        reviewed_on=words.day("reviewed_on"),
        review_due=words.day("review_due"),
        body=front.body,
        body_line=front.body_line,
        module=words.text("module", 60, ""),
    )
    if not lesson.body.strip():
        report.error("lesson_empty", front.file, lesson.body_line, "The lesson has no text.", "Write it below the front matter.")
    return lesson
