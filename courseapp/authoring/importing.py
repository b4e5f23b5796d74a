"""The import pipeline: receive → prepare → read → validate → report → difference → commit; what is written, in one transaction.

Lessons, modules and assets are known again by key and path, so that progress and addresses survive.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_babel import force_locale

from courseapp.authoring.models import Import
from courseapp.authoring.pieces import Piece, joint_path
from courseapp.authoring.preparing import Tell, keep_piece, note_taken, prepare, workplace
from courseapp.authoring.reading import CourseDraft, LessonDraft, read_course
from courseapp.authoring.receiving import MEDIA, SourceFile, receive_folder
from courseapp.authoring.report import Report, Severity
from courseapp.authoring.undoing import standing_of
from courseapp.authoring.validation import refuse_unreviewed_touch, validate
from courseapp.catalog.copies import want_copies
from courseapp.catalog.markdown import Rendered, box_titles, render
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Revision
from courseapp.catalog.references import AssetPlace, Surroundings
from courseapp.columns import random_public_id
from courseapp.extensions import db
from courseapp.journal import events

CAPTIONS = (".vtt", ".srt")  # the first is taken where both are there
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
    """How an import went. `committed` is False for a dry run, for errors, and where nothing changed."""

    report: Report
    difference: Difference
    course: Course | None = None
    committed: bool = False


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
    tell: Tell = lambda _stage, _done, _total: None,
) -> Result:
    """Bring a course folder in. The caller commits where `committed` is True, and rolls back otherwise.

    Args:
        source: what to call the folder in the record of imports; its name, where nothing is said.
        report: what was found on the way here, to be gone on with.
        tell: told how far the slow part is, before anything of the course is read or written; see `preparing.Tell`.
    """
    report = report or Report()
    with TemporaryDirectory(prefix="upload-", dir=workplace(), ignore_cleanup_errors=True) as place:
        files = prepare(receive_folder(folder, report), Path(place), report, now, tell)
        return _imported(files, report, now, publish, dry_run, without_review, by_user_id, source or folder.name)


def _imported(
    files: dict[str, SourceFile],
    report: Report,
    now: datetime,
    publish: bool,
    dry_run: bool,
    without_review: bool,
    by_user_id: int | None,
    source: str,
) -> Result:
    draft = read_course(files, report)
    if draft is None:
        return Result(report, Difference())
    validate(draft, report)
    if publish and not without_review and not current_app.config["EMBEDDED"]:
        refuse_unreviewed_touch(draft, report)
    course = db.session.scalar(sa.select(Course).where(Course.slug == draft.slug))
    writer = _Writer(draft, course, report, now, publish)
    difference = writer.difference()
    if course is not None and course.is_published and not publish and not difference.is_empty:
        mend = "Add --publish to change what learners see, or --dry-run to look first."
        report.error("course_is_live", "course.md", 0, "The course is published, and this would change it.", mend)
    if report.has_errors or dry_run:
        return Result(report, difference, course)
    is_released = course is not None and (course.is_published or not publish)
    if difference.is_empty and is_released:
        return Result(report, difference, course)
    before = standing_of(course) if course is not None else None
    course = writer.write(difference)
    db.session.add(
        Import(
            course_id=course.id,
            by_user_id=by_user_id,
            source=source,
            changes=difference.as_dict(),
            warnings=report.count(Severity.WARNING),
            before=before,
            at=now,
        )
    )
    return Result(report, difference, course, committed=True)


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
        self.pieces = {joint_path(path, piece.part): (path, piece) for path in self._media() for piece in draft.files[path].pieces}
        self.asset_ids = {path: self.assets[path].public_id if path in self.assets else random_public_id() for path in self.pieces}
        self.places, self.links = self._places(), {key: f"/lessons/{public_id}" for key, public_id in self.lesson_ids.items()}
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
        for path in self._media():
            whole, *others = self.draft.files[path].pieces
            urls = {piece: self._asset_url(joint_path(path, piece.part)) for piece in others}
            smaller = tuple(
                (url, piece.width)
                for piece, url in urls.items()
                if piece.media_type == "image/webp" and not _is_poster(piece) and piece.width
            )
            poster = next((url for piece, url in urls.items() if _is_poster(piece)), None)
            captions = next((self._asset_url(found) for found in captions_of(path) if found in self.asset_ids), None)
            places[path] = AssetPlace(self._asset_url(path), whole.width, whole.height, captions, smaller, poster)
        return places

    def _asset_url(self, path: str) -> str:
        return f"/assets/{self.asset_ids[path]}{PurePosixPath(path).suffix.lower()}"

    def _render(self, body: str, folder: str, file: str, body_line: int) -> Rendered:
        around = Surroundings("" if folder == "." else folder, self.places, self.links, self.draft.language)
        with force_locale(self.draft.language.replace("-", "_")):
            rendered = render(body, replace(around, box_titles=box_titles()))
        for problem in rendered.problems:
            self.report.error(problem.code, file, body_line + problem.line - 1, problem.message, problem.mend)
        return rendered

    def _report_unused(self) -> None:
        used = self.article.assets.union(*(rendered.assets for rendered in self.rendered.values()))
        for path in self._media():
            if path not in used and PurePosixPath(path).suffix.lower() not in CAPTIONS:
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
        rows = {(path, row.digest) for path, row in self.assets.items()}
        pieces = {(path, piece.digest) for path, (_file, piece) in self.pieces.items()}
        owners = {path: row.part_of or path for path, row in self.assets.items()} | {
            path: file for path, (file, _piece) in self.pieces.items()
        }
        result.assets = sorted({owners[path] for path, _digest in rows ^ pieces} | self._sent_anew())
        return result

    def _sent_anew(self) -> set[str]:
        """Files whose content is another, though it became the same."""
        return {path for path in self._media() if path in self.assets and self.assets[path].source_digest != self.draft.files[path].digest}

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
        for path, (file, piece) in self.pieces.items():
            row = self.assets.get(path) or Asset(course_id=course.id, path=path, public_id=self.asset_ids[path])
            row.source_digest, row.part_of = self.draft.files[file].digest, file if path != file else None
            row.digest, row.media_type, row.size, row.width, row.height = (
                piece.digest,
                piece.media_type,
                piece.size,
                piece.width,
                piece.height,
            )
            keep_piece(piece)
            db.session.add(row)
            rows[path] = row
        note_taken({row.source_digest for row in rows.values()}, self.now)
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
            file = self.pieces[path][0]
            shown_by = [lesson for lesson in self.draft.lessons if _shows(self.rendered[lesson.key].assets, file)]
            row.need = min((lesson.needs_check for lesson in shown_by), key=order.index, default=Need.TOUCH)
            row.is_public = _shows(self.article.assets, file) or any(lesson.key == sample for lesson in shown_by)


def _is_poster(piece: Piece) -> bool:
    return piece.part.startswith("poster")


def captions_of(path: str) -> list[str]:
    """Where the captions of a film or recording may lie: beside it, under its name."""
    return [found for suffix in CAPTIONS if (found := str(PurePosixPath(path).with_suffix(suffix))) != path]


def _shows(used: frozenset[str], path: str) -> bool:
    return path in used or (path.endswith(CAPTIONS) and any(path in captions_of(name) for name in used))


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
