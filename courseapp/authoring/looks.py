"""Looks: what an upload would make of its course, kept by the look-through so that pages can show it without unpacking anything.

In the upload's own folder of the storage: an outline; one file with all texts, which are each lesson's rendered text and its
difference, and the course's own difference; and what media the storage does not hold already. They go when the upload's files go.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from courseapp import storage
from courseapp.authoring.differences import side_by_side
from courseapp.authoring.models import Upload
from courseapp.authoring.pieces import Piece
from courseapp.authoring.reading import LessonDraft, ModuleDraft
from courseapp.catalog.models import Need

if TYPE_CHECKING:  # they are large, and pages that show a look neither import nor render
    from courseapp.authoring.importing import Result
    from courseapp.catalog.markdown import Rendered

COURSE = "course"  # what the course's own difference is called beside those of lessons
Facts = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass
class Gathered:
    """A draft on its way into the storage: plain facts, so that no transaction stays open while files are written."""

    outline: Facts
    lessons: dict[str, Facts]  # by public id
    texts: dict[str, tuple[str, str]]  # of what changed, before and after
    media: dict[str, Piece]  # by public id


@dataclass
class Look:
    """What a look-through found, in plain facts: what an upload would change, and the course it was held against."""

    difference: Facts
    course_id: int | None
    course_slug: str | None
    course_version: int | None
    draft: Gathered | None


def look_of(result: "Result", sent: Mapping[str, str]) -> Look:
    """What is to be noted and kept of a look-through's result; there is a draft only where nothing is to mend.

    Args:
        sent: the digests of the upload's large files by path.
    """
    if result.writer is None:  # not even a course file, or one that cannot be read
        return Look(result.difference.as_dict(), None, None, None, None)
    course = result.course
    return Look(
        {**result.difference.as_dict(), **_more_of(result)},
        course.id if course is not None else None,
        result.writer.draft.slug,
        result.version_found,
        None if result.report.has_errors else _gathered(result, sent),
    )


def _gathered(result: "Result", sent: Mapping[str, str]) -> Gathered:
    """What is to be kept of a look-through's result; no file is read yet."""
    writer: Any = result.writer
    draft = writer.draft
    rows: list[Facts] = []
    lessons: dict[str, Facts] = {}
    for place, module in enumerate(draft.modules):
        for lesson in module.lessons:
            public_id = writer.lesson_ids[lesson.key]
            rows.append(_row(len(rows) + 1, public_id, lesson, place, module))
            lessons[public_id] = _text(lesson, writer.rendered[lesson.key])
    media = {writer.asset_ids[path]: piece for path, (_file, piece) in writer.pieces.items()}
    paths = {public_id: path for path, public_id in writer.asset_ids.items()}
    assets = {key: {"path": paths[key], "media_type": piece.media_type, "digest": piece.digest} for key, piece in media.items()}
    course = {"title": draft.title, "slug": draft.slug, "language": draft.language}
    outline = {**course, "lessons": rows, "assets": assets, "sent": dict(sent)}
    return Gathered(outline, lessons, _changed_texts(result), media)


def _row(number: int, public_id: str, lesson: LessonDraft, place: int, module: ModuleDraft) -> Facts:
    """A lesson of the outline, with the names that rows of the database have."""
    return {
        "id": number,
        "public_id": public_id,
        "key": lesson.key,
        "title": lesson.title,
        "minutes": lesson.minutes,
        "shows": lesson.shows,
        "needs_check": lesson.needs_check.value,
        "rule": lesson.rule.value,
        "module_id": place,
        "module_title": module.title,
        "module_summary": module.summary,
    }


def _text(lesson: LessonDraft, rendered: "Rendered") -> Facts:
    """What a revision of the lesson would hold."""
    return {
        "html": rendered.html,
        "adapted_html": rendered.adapted_html,
        "stop_html": rendered.stop_html,
        "sources": lesson.sources,
        "reviewed_by": lesson.reviewed_by,
        "reviewed_on": str(lesson.reviewed_on or "") or None,
    }


def _changed_texts(result: "Result") -> dict[str, tuple[str, str]]:
    """What changed, before and after: lessons by public id, and what the course says of itself."""
    writer: Any = result.writer
    draft, texts = writer.draft, {}
    changed = set(result.difference.changed)
    for lesson in draft.lessons:
        if lesson.key in changed:
            row = writer.lessons[lesson.key]
            revision = writer.revisions.get(row.id)
            old = _words_of_lesson(row, revision, revision.source) if revision is not None else ""
            texts[writer.lesson_ids[lesson.key]] = old, _words_of_lesson(lesson, lesson, lesson.body)
    if result.course is not None and result.difference.course:
        present = _words_of_course(result.course, result.course.article_source, _present_contents(writer))
        texts[COURSE] = present, _words_of_course(draft, draft.article, [(module, module.lessons) for module in draft.modules])
    return texts


def _more_of(result: "Result") -> Facts:
    """What is said of a difference beside the ids: titles, files by what becomes of them, how many lessons want a review."""
    writer: Any = result.writer
    found = result.difference
    titles = {lesson.key: lesson.title for lesson in writer.draft.lessons} | {key: writer.lessons[key].title for key in found.removed}
    new = [path for path in found.assets if path not in writer.assets]
    removed = [path for path in found.assets if path not in writer.draft.files]
    return {
        "titles": titles,
        "ids": {key: writer.lesson_ids[key] for key in (*found.new, *found.changed)},
        "files": {"new": new, "removed": removed, "replaced": [path for path in found.assets if path not in {*new, *removed}]},
        "unreviewed": sum(lesson.needs_check is Need.TOUCH and lesson.reviewed_by is None for lesson in writer.draft.lessons),
    }


def keep(folder: str, found: Gathered, progress: Progress) -> None:
    """Write a draft into the storage in place of an earlier one; `progress` is told how far it is and may raise to stop."""
    forget(folder)
    total = len(found.lessons) + len(found.media)
    texts = io.BytesIO()  # one file instead of one for each lesson: of two hundred files, making them is what takes time
    places = found.outline["texts"] = {}
    for name, facts in _texts_of(found):
        places[name] = _put(texts, facts)
        progress(min(len(places), total), total)
    storage.keep(f"{folder}/draft/texts.json", texts.getvalue())
    # it can be looked through again, so nobody waits for the disk
    storage.keep_all(_media_of(found, folder), lambda done: progress(min(len(places) + done, total), total), for_good=False)
    storage.keep(f"{folder}/draft/outline.json", _written(found.outline))


def _texts_of(found: Gathered) -> Iterator[tuple[str, Facts]]:
    """A draft's lessons by public id, and what changes in the course's own words."""
    for public_id, facts in found.lessons.items():
        yield public_id, {**facts, "pairs": side_by_side(*found.texts[public_id]) if public_id in found.texts else None}
    if COURSE in found.texts:
        yield COURSE, {"pairs": side_by_side(*found.texts[COURSE])}


def _put(file: IO[bytes], facts: Facts) -> tuple[int, int]:
    """Write facts at a file's end: where they begin there, and how many bytes they have."""
    begin = file.tell()
    return begin, file.write(_written(facts))


def _media_of(found: Gathered, folder: str) -> Iterator[tuple[str, Path]]:
    """What media the storage has not; and the outline is told where each lies."""
    begun: set[str] = set()
    for public_id, piece in found.media.items():
        asset = found.outline["assets"][public_id]
        asset["storage_key"] = piece.storage_key
        if piece.location is not None and not storage.has(piece.storage_key):
            asset["storage_key"] = f"{folder}/draft/media/{piece.digest}"
            if piece.digest not in begun:
                begun.add(piece.digest)
                yield asset["storage_key"], piece.location


def forget(folder: str) -> None:
    """Remove a draft; none is fine."""
    for key in list(storage.stored_keys(f"{folder}/draft")):
        storage.remove(key)


def outline_of(upload: Upload) -> Facts | None:
    """What a draft holds, without its texts; None where there is none."""
    return _read(f"{upload.folder}/draft/outline.json")


def kept_files(upload: Upload) -> dict[str, tuple[str, Path]]:
    """What a draft holds of the upload's large files, by their path in it: digest and place. Not out of a bucket."""
    outline = outline_of(upload) or {}
    keys = {asset["digest"]: asset["storage_key"] for asset in outline.get("assets", {}).values()}
    found = {path: (digest, storage.path_of(keys[digest])) for path, digest in outline.get("sent", {}).items() if digest in keys}
    return {path: (digest, place) for path, (digest, place) in found.items() if place is not None}


def text_of(upload: Upload, outline: Facts, name: str) -> Facts | None:
    """One of a draft's texts with its difference: of a lesson by public id, or COURSE; None where it is not among them."""
    begin, size = outline.get("texts", {}).get(name, (0, 0))
    return _read(f"{upload.folder}/draft/texts.json", begin, size) if size else None


def changes_of(upload: Upload, outline: Facts, most: int) -> list[Facts]:
    """The changed lessons of an upload with id and title; the first few with their difference too, the others with None."""
    ids, titles = upload.difference.get("ids", {}), upload.difference.get("titles", {})
    found = []
    for count, key in enumerate(upload.difference.get("changed", [])):
        kept = text_of(upload, outline, ids[key]) if count < most and key in ids else None
        found.append({"id": ids.get(key), "title": titles.get(key, key), "pairs": kept["pairs"] if kept is not None else None})
    return found


def _present_contents(writer: Any) -> list[tuple[Any, list[Any]]]:
    modules = sorted((row for row in writer.modules.values() if row.retired_at is None), key=lambda row: row.position)
    lessons = sorted((row for row in writer.lessons.values() if row.retired_at is None), key=lambda row: row.position)
    return [(module, [lesson for lesson in lessons if lesson.module_id == module.id]) for module in modules]


def _words_of_lesson(facts: Any, review: Any, body: str) -> str:
    """A lesson as one text, much as its file has it: what it is said to be, a line each, then what it says."""
    lines = [
        f"title: {facts.title}",
        f"minutes: {facts.minutes}",
        f"shows: {facts.shows}",
        f"needs_check: {facts.needs_check.value}",
        f"completes: {facts.rule.value}",
        *(f"sources: {source}" for source in review.sources),
        *(f"{name}: {getattr(review, name)}" for name in ("reviewed_by", "reviewed_on", "review_due") if getattr(review, name)),
    ]
    return "\n".join(lines) + f"\n\n{body}"


def _words_of_course(facts: Any, article: str, contents: list[tuple[Any, list[Any]]]) -> str:
    """A course's own words as one text: its public page, then its modules and lessons in order."""
    lines = [f"{name}: {getattr(facts, name)}" for name in ("title", "language", "edition", "headline", "summary")]
    for name, value in sorted(facts.front.items()):
        lines += [f"{name}: {words}" for words in _texts_in(value)]
    places = [f"## {module.title}\n{module.summary}\n" + "\n".join(f"- {row.title}" for row in rows) for module, rows in contents]
    return "\n".join(lines) + f"\n\n{article}\n\n" + "\n\n".join(places)


def _texts_in(value: Any) -> Iterator[str]:
    """Every text of what front matter may hold: a text, a list of them, questions with answers."""
    if isinstance(value, str):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(item)


def _written(facts: Facts) -> bytes:
    return json.dumps(facts, ensure_ascii=False).encode()


def _read(key: str, begin: int = 0, size: int | None = None) -> Facts | None:
    try:
        with storage.open_stored(key, begin, size) as file:
            found = json.loads(file.read(-1 if size is None else size))
            return found if isinstance(found, dict) else None
    except (FileNotFoundError, ValueError):  # a power cut may have emptied it
        return None
