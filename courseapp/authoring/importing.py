"""The import pipeline: receive → prepare → read → validate → report → difference → commit; what is written, in one transaction.

Lessons, modules and assets are known again by key and path, so that progress and addresses survive.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from posixpath import splitext
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp import storage
from courseapp.authoring.edits import warn_of_edits, warn_of_order
from courseapp.authoring.models import Import
from courseapp.authoring.pieces import CAPTIONS, Digests, Piece, joint_path
from courseapp.authoring.preparing import Tell, keep_pieces, note_taken, prepare, work_folder
from courseapp.authoring.reading import CourseDraft, LessonDraft, ModuleDraft, read_course
from courseapp.authoring.receiving import MEDIA, SourceFile, receive_folder
from courseapp.authoring.report import Report, Severity
from courseapp.authoring.revising import (
    CAPTIONS_TYPE,
    Neighbours,
    PlacedFile,
    course_hash,
    facts_of,
    lesson_hash,
    lesson_urls,
    locked,
    next_revision,
    paragraphs_of,
    places_of,
    put_facts,
    render_text,
    set_needs,
)
from courseapp.authoring.undoing import standing_of
from courseapp.authoring.validation import closes_course, refuse_unreviewed_touch, report_access, validate
from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Asset, Course, Lesson, Module, Origin, Revision
from courseapp.columns import random_public_id
from courseapp.extensions import db
from courseapp.journal import events

LARGE = 200_000  # bytes, for which one waits until they are written


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
    tell: Tell = lambda _stage, _done, _total: None,
    place: Path | None = None,
    digests: Digests | None = None,
) -> Result:
    """Bring a course folder in. The caller commits where `committed` is True, and rolls back otherwise.

    Args:
        source: what to call the folder in the record of imports; its name, where nothing is said.
        report: what was found on the way here, to be gone on with.
        digests: of files that were hashed before.
        place: a folder for what is made on the way, where the caller goes on with it; else it is gone with the call.
        tell: told how far the slow part is, before anything of the course is read or written; see `preparing.Tell`.
    """
    report = report or Report()
    with nullcontext(place) if place is not None else work_folder() as own:
        files = prepare(receive_folder(folder, report, digests), own, report, now, tell)
        with nullcontext() if dry_run else storage.flushing(_large_of(files)):
            return _imported(files, report, now, publish, dry_run, without_review, by_user_id, source or folder.name)


def _large_of(files: dict[str, SourceFile]) -> list[Path]:
    pieces = (piece for file in files.values() for piece in file.pieces)
    return [piece.location for piece in pieces if piece.location is not None and piece.size > LARGE]


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
    query = sa.select(Course).where(Course.slug == draft.slug)
    # what brings in waits for who saves a lesson or an order in the page, and the other way round; looking waits for nobody
    course = db.session.scalar(query if dry_run else locked(query))
    found = course.version if course is not None else None
    writer = _Writer(draft, course, report, now, publish, by_user_id)
    difference = writer.difference()
    warn_of_edits(course, difference.changed, difference.removed, {lesson.key: lesson.file for lesson in draft.lessons}, report)
    warn_of_order(course, difference.course, report)
    report_access(draft, course, report)
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
            source=source,
            changes=difference.as_dict(),
            warnings=report.count(Severity.WARNING),
            before=before,
            at=now,
        )
    )
    return Result(report, difference, course, committed=True, version_found=found)


class _Writer:
    """Holds one draft against what is there, and writes it."""

    def __init__(
        self, draft: CourseDraft, course: Course | None, report: Report, now: datetime, publish: bool, by_user_id: int | None
    ) -> None:
        self.draft, self.course, self.report, self.now, self.publish, self.by_user_id = draft, course, report, now, publish, by_user_id
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
        files = {
            path: PlacedFile(self.asset_ids[path], piece.media_type, piece.width, piece.height, _said_in(piece))
            for path, (_file, piece) in self.pieces.items()
        }
        near = Neighbours(draft.language, places_of(files), lesson_urls(self.lesson_ids))
        self.rendered = {lesson.key: render_text(lesson.body, lesson.file, lesson.body_line, near, report) for lesson in draft.lessons}
        self.article = render_text(draft.article, "course.md", draft.article_line, near, report)
        self._report_unused()

    def _current_revisions(self, course_id: int | None) -> dict[int, Revision]:
        query = sa.select(Revision).join(Lesson, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        return {row.lesson_id: row for row in db.session.scalars(query.where(Lesson.course_id == course_id))}

    def _media(self) -> list[str]:
        return [path for path in self.draft.files if splitext(path)[1].lower() in MEDIA]

    def _report_unused(self) -> None:
        used = self.article.assets.union(*(rendered.assets for rendered in self.rendered.values()))
        for path in self._media():
            if path not in used and splitext(path)[1].lower() not in CAPTIONS:
                self.report.warn("file_unused", path, 0, "No lesson shows this file.", "Refer to it from a lesson, or remove it.")

    def difference(self) -> Difference:
        """What would change."""
        is_other = self.course is None or self.course.content_hash != self._course_hash()
        result = Difference(course=is_other or closes_course(self.draft, self.course))
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
        return {path for path in self._media() if path in self.assets and self.draft.files[path].digest not in self._digests_of(path)}

    def _digests_of(self, path: str) -> set[str]:
        """The contents by which a file that is there is known: as it was sent, and as it is served and so exported."""
        return {self.assets[path].source_digest, self.assets[path].digest} if path in self.assets else set()

    def _source_of(self, path: str) -> str:
        digest = self.draft.files[path].digest
        return self.assets[path].source_digest if digest in self._digests_of(path) else digest

    def _is_changed(self, lesson: LessonDraft, row: Lesson) -> bool:
        revision = self.revisions.get(row.id)
        is_text_new = revision is None or revision.content_hash != self._lesson_hash(lesson)
        return is_text_new or facts_of(lesson) != facts_of(row)

    def _lesson_hash(self, lesson: LessonDraft) -> str:
        return lesson_hash(lesson, self.rendered[lesson.key])

    def _course_hash(self) -> str:
        modules = [(module.key, module.title, module.summary, [lesson.key for lesson in module.lessons]) for module in self.draft.modules]
        return course_hash(self.draft, self.article.html, modules)

    def write(self, difference: Difference) -> Course:
        """Write everything, files first, while no row is held; the caller commits."""
        keep_pieces(piece for _file, piece in self.pieces.values())
        course = self._write_course()
        self._write_assets(course)
        self._write_lessons(course)
        self._retire(difference)
        set_needs(course)
        want_copies(course, self.now)
        events.record("course_changed", f"course:{course.id}", self.now, version=course.version, by_user_id=self.by_user_id)
        return course

    def _write_course(self) -> Course:
        draft, now = self.draft, self.now
        course = self.course or Course(slug=draft.slug, created_at=now, version=0)
        course.title, course.language, course.edition = draft.title, draft.language, draft.edition
        course.summary, course.headline, course.front = draft.summary, draft.headline, draft.front
        course.article_source, course.article_html = draft.article, self.article.html
        course.content_hash, course.changed_at, course.reordered_at = self._course_hash(), now, None
        is_closing = draft.access == "paid" and course.paid_at is None
        course.paid_at = now if is_closing else course.paid_at
        course.version += 1
        if self.publish:
            course.published_at = course.published_at or now
        db.session.add(course)
        db.session.flush()
        if is_closing:
            events.record("course_closed", f"course:{course.id}", now, by=self.by_user_id)
        return course

    def _write_assets(self, course: Course) -> None:
        new = []
        for path, (file, piece) in self.pieces.items():
            facts: dict[str, Any] = {name: getattr(piece, name) for name in ("digest", "media_type", "size", "width", "height")}
            facts |= {"source_digest": self._source_of(file), "part_of": file if path != file else None}
            if path in self.assets:
                for name, value in facts.items():
                    setattr(self.assets[path], name, value)
            else:
                new.append({"course_id": course.id, "path": path, "public_id": self.asset_ids[path], **facts})
        if new:  # not as entities: nobody asks for their ids
            db.session.execute(sa.insert(Asset), new)
        note_taken({self._source_of(file) for file, _piece in self.pieces.values()}, self.now)
        for path, row in self.assets.items():
            if path not in self.asset_ids:
                db.session.delete(row)

    def _write_lessons(self, course: Course) -> None:
        """Modules, then lessons, then revisions: each kind in few statements, for the next one needs their ids."""
        modules = [self._write_module(draft, course, position) for position, draft in enumerate(self.draft.modules, start=1)]
        db.session.flush()
        placed = [(lesson, module) for draft, module in zip(self.draft.modules, modules, strict=True) for lesson in draft.lessons]
        written = [self._write_lesson(draft, course, module, position) for position, (draft, module) in enumerate(placed, start=1)]
        db.session.flush()
        new = [
            next_revision(lesson, draft, self.rendered[draft.key], self.now, Origin.IMPORT, self.by_user_id)
            for (draft, _module), (lesson, is_new) in zip(placed, written, strict=True)
            if is_new
        ]
        if new:  # not as entities, as above
            db.session.execute(sa.insert(Revision), new)

    def _write_module(self, draft: ModuleDraft, course: Course, position: int) -> Module:
        module = self.modules.get(draft.key) or Module(course_id=course.id, key=draft.key)
        module.position, module.title, module.summary, module.retired_at = position, draft.title, draft.summary, None
        db.session.add(module)
        return module

    def _write_lesson(self, draft: LessonDraft, course: Course, module: Module, position: int) -> tuple[Lesson, bool]:
        """A lesson's row; and whether there is a text for it that it does not have yet."""
        lesson = self.lessons.get(draft.key) or Lesson(
            course_id=course.id, key=draft.key, public_id=self.lesson_ids[draft.key], revision_number=0
        )
        lesson.module_id, lesson.position, lesson.retired_at = module.id, position, None
        was = facts_of(lesson) if lesson.id else {}
        put_facts(lesson, draft)
        if self.publish:
            lesson.published_at = lesson.published_at or self.now
        db.session.add(lesson)
        current = self.revisions.get(lesson.id) if lesson.id else None
        is_as_imported = current is not None and (current.origin is Origin.IMPORT or was == facts_of(draft))
        return lesson, current is None or not is_as_imported or current.content_hash != self._lesson_hash(draft)

    def _retire(self, difference: Difference) -> None:
        """What is no longer there rests: its completions stay, and it can come back under its key."""
        for key in difference.removed:
            self.lessons[key].retired_at = self.now
        kept = {module.key for module in self.draft.modules}
        for key, module in self.modules.items():
            if key not in kept and module.retired_at is None:
                module.retired_at = self.now


def _said_in(piece: Piece) -> tuple[str, ...]:
    if piece.media_type != CAPTIONS_TYPE:
        return ()
    with piece.location.open("rb") if piece.location is not None else storage.open_stored(piece.storage_key) as file:
        return paragraphs_of(file.read())
