"""The import pipeline: receive → read → validate → report → difference → commit, all of it in one transaction.

Lessons, modules and assets are known again by key and path, so that progress and addresses survive.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_babel import force_locale

from courseapp import storage
from courseapp.authoring.models import Import
from courseapp.authoring.reading import CourseDraft, LessonDraft, read_course
from courseapp.authoring.receiving import MEDIA, receive_folder
from courseapp.authoring.report import Report, Severity
from courseapp.authoring.undoing import standing_of
from courseapp.authoring.validation import refuse_unreviewed_touch, validate
from courseapp.catalog.copies import want_copies
from courseapp.catalog.markdown import AssetPlace, Rendered, Surroundings, box_titles, render
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Revision
from courseapp.columns import random_public_id
from courseapp.extensions import db
from courseapp.journal import events

RENDERING = "1"  # raise it when the renderer changes what it makes of the same text, and every import makes new revisions


@dataclass
class Difference:
    """What an import changes, by lesson id, module key and asset path."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    course: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.new or self.changed or self.removed or self.assets or self.course)

    def as_dict(self) -> dict[str, Any]:
        """For JSON and for the record of the import."""
        return {name: getattr(self, name) for name in ("new", "changed", "removed", "unchanged", "assets", "course")}


@dataclass
class Result:
    """How an import went. `committed` is False for a dry run, for errors, and where nothing changed.

    `version_found` is the course's version before, None where there was no such course; `writer` holds draft and course.
    """

    report: Report
    difference: Difference
    course: Course | None = None
    committed: bool = False
    version_found: int | None = None
    writer: "_Writer | None" = None


def import_course(
    folder: Path,
    now: datetime,
    *,
    publish: bool = False,
    dry_run: bool = False,
    without_review: bool = False,
    by_user_id: int | None = None,
    source: str | None = None,
    report: Report | None = None,
) -> Result:
    """Bring a course folder in. The caller commits where `committed` is True, and rolls back otherwise.

    Args:
        source: what to call the folder in the record of imports; its name, where nothing is said.
        report: what was found on the way here, to be gone on with.
    """
    report = report or Report()
    draft = read_course(receive_folder(folder, report), report)
    if draft is None:
        return Result(report, Difference())
    validate(draft, report)
    if publish and not without_review and not current_app.config["EMBEDDED"]:
        refuse_unreviewed_touch(draft, report)
    query = sa.select(Course).where(Course.slug == draft.slug)  # locked, so that what is found is what is written over
    course = db.session.scalar(query if dry_run else query.with_for_update(key_share=True))
    found = course.version if course is not None else None
    writer = _Writer(draft, course, report, now, publish)
    difference = writer.difference()
    if course is not None and course.is_published and not publish and not difference.is_empty:
        mend = "Add --publish to change what learners see, or --dry-run to look first."
        report.error("course_is_live", "course.md", 0, "The course is published, and this would change it.", mend)
    if report.has_errors or dry_run:
        return Result(report, difference, course, version_found=found, writer=writer)
    is_released = course is not None and (course.is_published or not publish)
    if difference.is_empty and is_released:
        return Result(report, difference, course, version_found=found)
    before = standing_of(course) if course is not None else None
    course = writer.write(difference)
    db.session.add(
        Import(
            course_id=course.id,
            by_user_id=by_user_id,
            source=source or folder.name,
            changes=difference.as_dict(),
            warnings=report.count(Severity.WARNING),
            before=before,
            at=now,
        )
    )
    return Result(report, difference, course, committed=True, version_found=found)


class _Writer:
    """Holds one draft against what is there, and writes it."""

    def __init__(self, draft: CourseDraft, course: Course | None, report: Report, now: datetime, publish: bool) -> None:
        self.draft, self.course, self.report, self.now, self.publish = draft, course, report, now, publish
        course_id = course.id if course is not None else None
        self.modules = {row.key: row for row in db.session.scalars(sa.select(Module).where(Module.course_id == course_id))}
        self.lessons = {row.key: row for row in db.session.scalars(sa.select(Lesson).where(Lesson.course_id == course_id))}
        self.assets = {row.path: row for row in db.session.scalars(sa.select(Asset).where(Asset.course_id == course_id))}
        self.revisions = self._current_revisions(course_id)
        self.lesson_ids = {
            lesson.key: self.lessons[lesson.key].public_id if lesson.key in self.lessons else random_public_id() for lesson in draft.lessons
        }
        self.asset_ids = {path: self.assets[path].public_id if path in self.assets else random_public_id() for path in self._media()}
        self.rendered = {
            lesson.key: self._render(lesson.body, str(PurePosixPath(lesson.file).parent), lesson.file, lesson.body_line)
            for lesson in draft.lessons
        }
        self.article = self._render(draft.article, "", "course.md", draft.article_line)
        self._report_unused()

    def _current_revisions(self, course_id: int | None) -> dict[int, Revision]:
        query = sa.select(Revision).join(Lesson, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        return {row.lesson_id: row for row in db.session.scalars(query.where(Lesson.course_id == course_id))}

    def _media(self) -> list[str]:
        return [path for path in self.draft.files if PurePosixPath(path).suffix.lower() in MEDIA]

    def _places(self) -> dict[str, AssetPlace]:
        places = {}
        for path, public_id in self.asset_ids.items():
            file = self.draft.files[path]
            captions = str(PurePosixPath(path).with_suffix(".vtt"))
            captions_url = self._asset_url(captions) if captions in self.asset_ids and captions != path else None
            places[path] = AssetPlace(self._asset_url(path, public_id), file.width, file.height, captions_url)
        return places

    def _asset_url(self, path: str, public_id: str | None = None) -> str:
        return f"/assets/{public_id or self.asset_ids[path]}{PurePosixPath(path).suffix.lower()}"

    def _render(self, body: str, folder: str, file: str, body_line: int) -> Rendered:
        links = {key: f"/lessons/{public_id}" for key, public_id in self.lesson_ids.items()}
        with force_locale(self.draft.language.replace("-", "_")):
            rendered = render(body, Surroundings("" if folder == "." else folder, self._places(), links, self.draft.language, box_titles()))
        for problem in rendered.problems:
            self.report.error(problem.code, file, body_line + problem.line - 1, problem.message, problem.mend)
        return rendered

    def _report_unused(self) -> None:
        used = self.article.assets.union(*(rendered.assets for rendered in self.rendered.values()))
        for path in self._media():
            if path not in used and PurePosixPath(path).suffix.lower() != ".vtt":
                self.report.warn("file_unused", path, 0, "No lesson shows this file.", "Refer to it from a lesson, or remove it.")

    def difference(self) -> Difference:
        """What would change."""
        result = Difference(course=self.course is None or self.course.content_hash != self._course_hash())
        for lesson in self.draft.lessons:
            row = self.lessons.get(lesson.key)
            if row is None or row.retired_at is not None:
                result.new.append(lesson.key)
            elif self._is_changed(lesson, row):
                result.changed.append(lesson.key)
            else:
                result.unchanged.append(lesson.key)
        keys = {lesson.key for lesson in self.draft.lessons}
        result.removed = [key for key, row in self.lessons.items() if key not in keys and row.retired_at is None]
        result.assets = [
            path for path in self._media() if path not in self.assets or self.assets[path].digest != self.draft.files[path].digest
        ]
        result.assets += [path for path in self.assets if path not in self.draft.files]
        return result

    def _is_changed(self, lesson: LessonDraft, row: Lesson) -> bool:
        revision = self.revisions.get(row.id)
        is_text_new = revision is None or revision.content_hash != self._lesson_hash(lesson)
        facts = (lesson.title, lesson.minutes, lesson.shows, lesson.needs_check, lesson.rule)
        return is_text_new or facts != (row.title, row.minutes, row.shows, row.needs_check, row.rule)

    def _lesson_hash(self, lesson: LessonDraft) -> str:
        rendered = self.rendered[lesson.key]
        review = [lesson.sources, lesson.reviewed_by, str(lesson.reviewed_on), str(lesson.review_due)]
        return _hash([RENDERING, lesson.body, review, rendered.html, rendered.adapted_html])

    def _course_hash(self) -> str:
        draft = self.draft
        modules = [[module.key, module.title, module.summary, [lesson.key for lesson in module.lessons]] for module in draft.modules]
        head = [draft.title, draft.language, draft.edition, draft.summary, draft.headline, draft.front, self.article.html]
        return _hash([RENDERING, head, modules])

    def write(self, difference: Difference) -> Course:
        """Write everything; the caller commits."""
        course = self._write_course()
        assets = self._write_assets(course)
        position = 0
        for place, module_draft in enumerate(self.draft.modules, start=1):
            module = self.modules.get(module_draft.key) or Module(course_id=course.id, key=module_draft.key)
            module.position, module.title, module.summary, module.retired_at = place, module_draft.title, module_draft.summary, None
            db.session.add(module)
            db.session.flush()
            for lesson_draft in module_draft.lessons:
                position += 1
                self._write_lesson(lesson_draft, course, module, position)
        self._retire(difference)
        self._set_needs(assets)
        want_copies(course, self.now)
        events.record("course_changed", f"course:{course.id}", self.now, version=course.version)
        return course

    def _write_course(self) -> Course:
        draft, now = self.draft, self.now
        course = self.course or Course(slug=draft.slug, created_at=now, version=0)
        course.title, course.language, course.edition = draft.title, draft.language, draft.edition
        course.summary, course.headline, course.front = draft.summary, draft.headline, draft.front
        course.article_source, course.article_html = draft.article, self.article.html
        course.content_hash, course.changed_at = self._course_hash(), now
        course.version += 1
        if self.publish:
            course.published_at = course.published_at or now
        db.session.add(course)
        db.session.flush()
        return course

    def _write_assets(self, course: Course) -> dict[str, Asset]:
        rows = {}
        for path, public_id in self.asset_ids.items():
            file = self.draft.files[path]
            row = self.assets.get(path) or Asset(course_id=course.id, path=path, public_id=public_id)
            row.digest, row.media_type, row.size, row.width, row.height = file.digest, file.media_type, file.size, file.width, file.height
            if not storage.has(row.storage_key):
                with file.location.open("rb") as content:
                    storage.keep_stream(row.storage_key, content)
            db.session.add(row)
            rows[path] = row
        for path, row in self.assets.items():
            if path not in rows:
                db.session.delete(row)
        return rows

    def _write_lesson(self, draft: LessonDraft, course: Course, module: Module, position: int) -> None:
        lesson = self.lessons.get(draft.key) or Lesson(
            course_id=course.id, key=draft.key, public_id=self.lesson_ids[draft.key], revision_number=0
        )
        lesson.module_id, lesson.position, lesson.retired_at = module.id, position, None
        lesson.title, lesson.minutes, lesson.shows, lesson.needs_check, lesson.rule = (
            draft.title,
            draft.minutes,
            draft.shows,
            draft.needs_check,
            draft.rule,
        )
        if self.publish:
            lesson.published_at = lesson.published_at or self.now
        db.session.add(lesson)
        db.session.flush()
        current = self.revisions.get(lesson.id)
        if current is not None and current.content_hash == self._lesson_hash(draft):
            return
        rendered = self.rendered[draft.key]
        latest = db.session.scalar(sa.select(sa.func.max(Revision.number)).where(Revision.lesson_id == lesson.id)) or 0
        lesson.revision_number = latest + 1
        db.session.add(
            Revision(
                lesson_id=lesson.id,
                number=lesson.revision_number,
                source=draft.body,
                folder=str(PurePosixPath(draft.file).parent),
                html=rendered.html,
                adapted_html=rendered.adapted_html,
                stop_html=rendered.stop_html,
                content_hash=self._lesson_hash(draft),
                sources=draft.sources,
                reviewed_by=draft.reviewed_by,
                reviewed_on=draft.reviewed_on,
                review_due=draft.review_due,
                created_at=self.now,
            )
        )

    def _retire(self, difference: Difference) -> None:
        """What is no longer there rests: its completions stay, and it can come back under its key."""
        for key in difference.removed:
            self.lessons[key].retired_at = self.now
        kept = {module.key for module in self.draft.modules}
        for key, module in self.modules.items():
            if key not in kept and module.retired_at is None:
                module.retired_at = self.now

    def _set_needs(self, assets: dict[str, Asset]) -> None:
        """A file opens where any lesson that shows it does; what the public page shows is public."""
        order = list(Need)
        sample = self.draft.front.get("sample")
        for path, row in assets.items():
            shown_by = [lesson for lesson in self.draft.lessons if self._shows(lesson.key, path)]
            row.need = min((lesson.needs_check for lesson in shown_by), key=order.index, default=Need.TOUCH)
            row.is_public = path in self.article.assets or any(lesson.key == sample for lesson in shown_by)

    def _shows(self, key: str, path: str) -> bool:
        used = self.rendered[key].assets
        return path in used or (path.endswith(".vtt") and any(str(PurePosixPath(name).with_suffix(".vtt")) == path for name in used))


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
