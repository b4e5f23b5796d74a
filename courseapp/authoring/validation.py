"""Validating a draft: what holds between its parts, and what a reader must never miss."""

import re

from courseapp.authoring.patience import A_TEXT, at_most
from courseapp.authoring.reading import CourseDraft, LessonDraft
from courseapp.authoring.report import Report, Unfit
from courseapp.catalog.models import Course, Need

MAY_BE_TITLE = re.compile(r"(?<!#)#(?:[ \t]|$)|^[ \t>*+-]*=+[ \t]*$", re.MULTILINE)  # a title, or much like one


def validate(draft: CourseDraft, report: Report) -> None:
    """Report everything that is wrong with a draft beside its single fields."""
    _unique([(module.key, f"{module.folder}/module.md") for module in draft.modules], "module key", report)
    _unique([(lesson.key, lesson.file) for lesson in draft.lessons], "lesson id", report)
    _sample(draft, report)
    for lesson in draft.lessons:
        validate_lesson(lesson, report)


def _unique(keys: list[tuple[str, str]], what: str, report: Report) -> None:
    seen: dict[str, str] = {}
    for key, file in keys:
        if key and key in seen:
            report.error("id_twice", file, 0, f"The {what} “{key}” is used in {seen[key]} too.", "Give each its own: progress hangs on it.")
        seen.setdefault(key, file)


def _sample(draft: CourseDraft, report: Report) -> None:
    key = draft.front.get("sample")
    if key is None:
        return
    lesson = next((lesson for lesson in draft.lessons if lesson.key == key), None)
    if lesson is None:
        report.error("sample_unknown", "course.md", 0, f"The sample lesson “{key}” does not exist.", "Name the id of one of the lessons.")
    else:
        refuse_closed_sample(lesson, "course.md", report)


def refuse_closed_sample(lesson: LessonDraft, file: str, report: Report) -> None:
    """The sample stands on the public page, so it may not need the safety check."""
    if lesson.needs_check is not Need.NONE:
        words = f"The sample lesson “{lesson.key}” needs the safety check."
        report.error("sample_closed", file, 0, words, "Choose one that everyone may read.")


def closes_course(draft: CourseDraft, course: Course | None) -> bool:
    """Whether a draft closes a course that is open."""
    return draft.access == "paid" and course is not None and course.paid_at is None


def report_access(draft: CourseDraft, course: Course | None, report: Report) -> None:
    """A file may close a course and never open it: what people pay for is not given away by mistake."""
    if closes_course(draft, course):
        words = "This closes the course to everybody who holds no tier that opens it."
        report.warn("access_closes", "course.md", draft.access_line, words, "The owner says which tiers do, at /staff/tiers.")
    if draft.access == "open" and course is not None and course.paid_at is not None:
        words, mend = "The course is paid, and no file opens it.", "Leave the line out. The owner opens a course at /staff/tiers."
        report.error("access_open", "course.md", draft.access_line, words, mend)


def validate_lesson(lesson: LessonDraft, report: Report) -> None:
    """Report what is wrong with one lesson's text and review."""
    if (lesson.needs_check is not Need.NONE or MAY_BE_TITLE.search(lesson.body)) and not _validate_markdown(lesson, report):
        return
    for number, line_text in enumerate(lesson.body.split("\n")):
        if re.search(r"</?[a-zA-Z][^<>]*>", re.sub(r"`[^`]*`|<https?://[^<>]*>", "", line_text)):
            report.warn(
                "raw_html", lesson.file, lesson.body_line + number, "HTML is shown as written, not as markup.", "Write it in Markdown."
            )
    if lesson.reviewed_by is None:
        report.note(
            "not_reviewed",
            lesson.file,
            0,
            "No clinician has reviewed this lesson; its page says so.",
            "Fill in reviewed_by, reviewed_on and review_due.",
        )
    elif lesson.reviewed_on is None:
        report.error("review_undated", lesson.file, 0, "A reviewer is named, but not when.", "Fill in reviewed_on.")


def _validate_markdown(lesson: LessonDraft, report: Report) -> bool:
    """Report what only a text that was parsed can tell; False where parsing takes too long, which rendering says."""
    from courseapp.catalog.markdown import count_boxes, parse  # large, and a web process parses nothing until somebody edits

    try:
        with at_most(A_TEXT):
            tokens = parse(lesson.body)
    except Unfit:
        return False
    boxes = count_boxes(tokens, "stop-if")
    if lesson.needs_check is not Need.NONE and boxes != 1:
        words = "has no “stop if” box" if not boxes else f"has {boxes} “stop if” boxes"
        report.error(
            "stop_if", lesson.file, 0, f"This lesson needs the safety check and {words}.", "Put exactly one “::: stop-if” near its top."
        )
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h1" and token.map:
            line = lesson.body_line + token.map[0]
            report.warn("heading_one", lesson.file, line, "A heading with one # competes with the lesson's title.", "Begin with ##.")
    return True


def refuse_unreviewed_touch(draft: CourseDraft, report: Report) -> None:
    """Lessons that teach touch are not published in production without a clinician's review."""
    for lesson in draft.lessons:
        if lesson.needs_check is Need.TOUCH and lesson.reviewed_by is None:
            report.error(
                "touch_unreviewed",
                lesson.file,
                0,
                "This lesson teaches touch and no clinician has reviewed it.",
                "Have it reviewed, or say expressly that it may go without (--without-review).",
            )
