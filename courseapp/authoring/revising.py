"""From a lesson's draft to its revision: the one way, for imports, for the editor and for texts that are put back."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from posixpath import splitext  # thousands of names: a path made of each takes ten times as long
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask_babel import force_locale

from courseapp import storage
from courseapp.authoring.patience import A_TEXT, at_most
from courseapp.authoring.pieces import JOINT, captions_of, is_poster
from courseapp.authoring.reading import LessonDraft
from courseapp.authoring.report import Report, Unfit
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Origin, Revision
from courseapp.extensions import db

if TYPE_CHECKING:  # what renders is large, and a web process renders nothing until somebody edits
    from courseapp.catalog.markdown import Rendered
    from courseapp.catalog.references import AssetPlace

RENDERING = "1"  # raise it when the renderer changes what it makes of the same text, and every import makes new revisions
FACTS = ("title", "minutes", "shows", "needs_check", "rule")
CAPTIONS_TYPE = "text/vtt"
SHOWN = re.compile(r'\b(?:src|srcset|poster|href)="([^"]*)"')
ASSET = re.compile(r"/assets/([0-9a-z]+)")


@dataclass(frozen=True)
class Neighbours:
    """What the texts of a course may point at, in addresses: files by path, lessons by key; and the course's language."""

    language: str
    assets: "Mapping[str, AssetPlace]"
    lessons: Mapping[str, str]

    @cached_property
    def box_titles(self) -> dict[str, str]:
        """The titles of boxes that carry none of their own."""
        from courseapp.catalog.markdown import box_titles  # as above

        with force_locale(self.language.replace("-", "_")):
            return box_titles()


@dataclass(frozen=True)
class PlacedFile:
    """A file of a course or a piece of one, known by its public id; `said` are the paragraphs of captions."""

    public_id: str
    media_type: str
    width: int | None
    height: int | None
    said: tuple[str, ...] = ()


def places_of(files: Mapping[str, PlacedFile], root: str = "/assets") -> "dict[str, AssetPlace]":
    """Where each file of a course is served, with its pieces and captions; `root` is where addresses of files begin.

    Args:
        files: by path; of pieces by the joint path (`pieces.py`).
    """
    from courseapp.catalog.references import AssetPlace  # as above

    def url(path: str) -> str:
        return f"{root}/{files[path].public_id}{splitext(path)[1].lower()}"

    pieces: dict[str, list[str]] = {path: [] for path in files if JOINT not in path}
    for path in files:
        owner, joint, _part = path.partition(JOINT)
        if joint:
            pieces[owner].append(path)
    places = {}
    for path, others in pieces.items():
        posters = [url(other) for other in others if is_poster(other)]
        smaller = [(url(other), files[other].width) for other in others if files[other].media_type == "image/webp" and not is_poster(other)]
        captions = next((found for found in captions_of(path) if found in files), None)
        places[path] = AssetPlace(
            url(path),
            files[path].width,
            files[path].height,
            url(captions) if captions is not None else None,
            tuple((address, width) for address, width in smaller if width),
            posters[0] if posters else None,
            files[captions].said if captions is not None else (),
        )
    return places


def lesson_urls(lessons: Mapping[str, str]) -> dict[str, str]:
    """Public ids by key → addresses by key."""
    return {key: f"/lessons/{public_id}" for key, public_id in lessons.items()}


def neighbours_of(course: Course, root: str = "/assets") -> Neighbours:
    """What a text of this course may point at, as the database has it."""
    files = db.session.scalars(sa.select(Asset).where(Asset.course_id == course.id))
    lessons = db.session.execute(sa.select(Lesson.key, Lesson.public_id).where(Lesson.course_id == course.id, Lesson.retired_at.is_(None)))
    placed = {
        row.path: PlacedFile(
            row.public_id, row.media_type, row.width, row.height, _said_in(row.storage_key) if row.media_type == CAPTIONS_TYPE else ()
        )
        for row in files
    }
    return Neighbours(course.language, places_of(placed, root), lesson_urls({row.key: row.public_id for row in lessons}))


@lru_cache(maxsize=64)  # named by its content, which an editor's preview would otherwise fetch at every pause
def _said_in(key: str) -> tuple[str, ...]:
    with storage.open_stored(key) as file:
        return paragraphs_of(file.read())


def paragraphs_of(captions: bytes) -> tuple[str, ...]:
    """What captions say, to be read beneath a film."""
    from courseapp.catalog.captions import transcript_of  # as above

    return transcript_of(captions.decode("utf-8", "replace"))


def locked(query: sa.Select[Course]) -> sa.Select[Course]:
    """A course for whoever changes it: each waits for the other; people who enrol meanwhile wait for nobody."""
    return query.with_for_update(key_share=True).execution_options(populate_existing=True)


def render_text(body: str, file: str, body_line: int, near: Neighbours, report: Report) -> "Rendered":
    """A text as learners will see it; what is wrong with it is reported with the file's line."""
    from courseapp.catalog.markdown import Rendered, render  # as above
    from courseapp.catalog.references import Surroundings

    folder = str(PurePosixPath(file).parent)
    try:
        with force_locale(near.language.replace("-", "_")), at_most(A_TEXT):
            place = "" if folder == "." else folder
            rendered = render(body, Surroundings(place, near.assets, near.lessons, near.language, near.box_titles))
    except Unfit as unfit:
        report.error(unfit.code, file, 0, unfit.message, unfit.mend)
        return Rendered("", None, "", (), frozenset())
    for problem in rendered.problems:
        report.error(problem.code, file, max(0, body_line + problem.line - 1), problem.message, problem.mend)
    return rendered


def lesson_hash(draft: LessonDraft, rendered: "Rendered") -> str:
    """What tells one state of a lesson's text from another."""
    review = [draft.sources, draft.reviewed_by, str(draft.reviewed_on), str(draft.review_due)]
    review += [draft.reviewer_role] if draft.reviewer_role else []  # so that what was hashed before there were roles stays the same
    return hash_of([RENDERING, draft.body, review, rendered.html, rendered.adapted_html])


def course_hash(course: Any, article_html: str, modules: Iterable[tuple[str, str, str, list[str]]]) -> str:
    """What tells one state of a course, apart from its lessons' texts, from another.

    Args:
        course: a course, or its draft.
        modules: key, title, summary and the lessons' keys of each, in order.
    """
    head = [course.title, course.language, course.edition, course.summary, course.headline, course.front, article_html]
    return hash_of([RENDERING, head, [list(module) for module in modules]])


def present_course_hash(course: Course) -> str:
    """The hash of a course as the database has it now."""
    rows = db.session.execute(
        sa.select(Module, Lesson.key)
        .join(Lesson, Lesson.module_id == Module.id)
        .where(Module.course_id == course.id, Lesson.retired_at.is_(None), Module.retired_at.is_(None))
        .order_by(Lesson.position)
    )
    modules: dict[int, tuple[str, str, str, list[str]]] = {}
    for module, key in rows:
        modules.setdefault(module.id, (module.key, module.title, module.summary, []))[3].append(key)
    return course_hash(course, course.article_html, modules.values())


def put_facts(lesson: Lesson, draft: LessonDraft) -> None:
    """Give a lesson the facts of its draft."""
    for name in FACTS:
        setattr(lesson, name, getattr(draft, name))


def facts_of(source: Any) -> dict[str, Any]:
    """A lesson's or a draft's facts, JSON-ready."""
    return {name: getattr(source, name) for name in FACTS}


def add_revision(
    lesson: Lesson, draft: LessonDraft, rendered: "Rendered", now: datetime, origin: Origin, by_user_id: int | None = None
) -> Revision:
    """The lesson's next revision, which becomes the present one; the caller commits."""
    revision = Revision(**next_revision(lesson, draft, rendered, now, origin, by_user_id))
    db.session.add(revision)
    return revision


def next_revision(
    lesson: Lesson, draft: LessonDraft, rendered: "Rendered", now: datetime, origin: Origin, by_user_id: int | None = None
) -> dict[str, Any]:
    """The row of a lesson's next revision, for whoever writes many; the lesson already names it as its present one."""
    if lesson.revision_number:  # one that has just come has none; else the last may be later than the present one
        latest = db.session.scalar(sa.select(sa.func.max(Revision.number)).where(Revision.lesson_id == lesson.id))
    else:
        latest = 0
    lesson.revision_number = (latest or 0) + 1
    return {
        "lesson_id": lesson.id,
        "number": lesson.revision_number,
        "source": draft.body,
        "folder": str(PurePosixPath(draft.file).parent),
        "html": rendered.html,
        "adapted_html": rendered.adapted_html,
        "stop_html": rendered.stop_html,
        "content_hash": lesson_hash(draft, rendered),
        "sources": draft.sources,
        "reviewed_by": draft.reviewed_by,
        "reviewer_role": draft.reviewer_role,
        "reviewed_on": draft.reviewed_on,
        "review_due": draft.review_due,
        "origin": origin,
        "by_user_id": by_user_id,
        "facts": facts_of(draft),
        "created_at": now,
    }


def set_needs(course: Course) -> None:
    """A file opens where any lesson that shows it does, and to nobody where none does; what the public page shows is public.

    Which lesson shows which file stands in the texts themselves, so this holds after an import and after an edit alike.
    """
    db.session.flush()
    current = sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number)
    rows = db.session.execute(
        sa.select(Lesson.key, Lesson.needs_check, Revision.html, Revision.adapted_html)
        .join(Revision, current)
        .where(Lesson.course_id == course.id, Lesson.retired_at.is_(None))
    )
    order, sample = list(Need), course.front.get("sample")
    needs: dict[str, list[Need]] = {}
    public = shown_in(course.article_html)
    for key, need, html, adapted_html in rows:
        shown = shown_in(html) | shown_in(adapted_html or "")
        public |= shown if key == sample else set()
        for public_id in shown:
            needs.setdefault(public_id, []).append(need)
    columns = (Asset.need, Asset.is_public, Asset.is_shown)
    files = db.session.execute(sa.select(Asset.id, Asset.public_id, *columns).where(Asset.course_id == course.id))
    changed: dict[tuple[Any, ...], list[int]] = {}
    for asset_id, public_id, *present in files:
        need = min(needs.get(public_id, []), key=order.index, default=Need.TOUCH)
        wanted = need, public_id in public, public_id in public or public_id in needs
        if wanted != tuple(present):
            changed.setdefault(wanted, []).append(asset_id)
    for wanted, ids in changed.items():  # a statement for each of few kinds
        for start in range(0, len(ids), 500):  # in parts that a statement can name
            these = Asset.id.in_(ids[start : start + 500])
            db.session.execute(sa.update(Asset).where(these).values(dict(zip(columns, wanted, strict=True))))


def shown_in(html: str) -> set[str]:
    """The public ids of the files that a text shows."""
    return {public_id for value in SHOWN.findall(html) for public_id in ASSET.findall(value)}


def hash_of(value: object) -> str:
    """A hash of anything JSON-ready."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
