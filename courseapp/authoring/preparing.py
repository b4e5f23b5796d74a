"""Preparing: every file of a course becomes what it is served as, before anything is compared or written.

What is quick (drawings, captions) is done each time. What is slow (pictures, films, sound) is done once for each content and recipe
and kept in storage from then on, already while an upload is looked through: bringing it in, or importing the same files again, then
only looks it up. What was made for an upload that never came in goes after some days.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from flask import current_app

from courseapp import storage
from courseapp.authoring import films, pictures
from courseapp.authoring.captions import prepare_captions
from courseapp.authoring.drawings import clean_svg
from courseapp.authoring.models import PreparedFile
from courseapp.authoring.pieces import Made, Piece, key_of, piece_of, written_piece
from courseapp.authoring.receiving import MEDIA, SourceFile
from courseapp.authoring.report import Report, Unfit
from courseapp.catalog.models import Asset
from courseapp.extensions import db

UNTAKEN = timedelta(days=14)  # as long as the upload itself may wait
FOLDER = "upload-"
HELD_WITHIN = 10  # seconds in which whoever made a folder holds it
SOUND_RECIPE = "sound-1"

Tell = Callable[[str, int, int], None]
"""Told a stage, and how many of how many are done. It may commit, for what is made stays good whatever comes of it; it may raise."""


def prepare(files: dict[str, SourceFile], folder: Path, report: Report, now: datetime, tell: Tell) -> dict[str, SourceFile]:
    """The files with their pieces, first those that were quick. What may not come in is reported, and stands as it is.

    Args:
        folder: a temporary one, which must last until the pieces are kept.
        tell: no transaction is open while something slow is made, provided that `tell` ends it.
    """
    slow = {path: recipe for path, file in files.items() if (recipe := _recipe_of(file))}
    known = _known({(files[path].digest, recipe) for path, recipe in slow.items()}, now)
    missing = [path for path, recipe in slow.items() if (files[path].digest, recipe) not in known]
    for done, path in enumerate(missing):
        tell("preparing", done, len(missing))
        key = (files[path].digest, slow[path])
        if key not in known and (made := _made(files[path], folder, report, tell)) is not None:
            known[key] = _kept(key, made, now)
    if missing:
        tell("preparing", len(missing), len(missing))
    prepared = {}
    for number, (path, file) in enumerate(files.items()):
        pieces = known.get((file.digest, slow[path])) if path in slow else _quick(file, folder, number, report)
        prepared[path] = replace(file, pieces=tuple(pieces or [_as_it_is(file)])) if file.suffix in MEDIA else file
    return prepared


def _recipe_of(file: SourceFile) -> str | None:
    if file.suffix in pictures.FORMATS:
        return pictures.RECIPE
    if file.suffix in films.FILMS:
        return films.recipe()
    return SOUND_RECIPE if file.suffix in {".m4a", ".mp3"} else None


def _known(keys: set[tuple[str, str]], now: datetime) -> dict[tuple[str, str], list[Piece]]:
    """What was made before and is still there."""
    found: dict[tuple[str, str], list[PreparedFile]] = {}
    for row in _rows_of(PreparedFile.source_digest, {digest for digest, _recipe in keys}):
        found.setdefault((row.source_digest, row.recipe), []).append(row)
    found |= _known_as_made({key for key in keys if key not in found})
    whole = {key: rows for key, rows in found.items() if key in keys and all(storage.has(key_of(row.digest)) for row in rows)}
    for rows in whole.values():
        for row in rows:
            row.used_at = now
    return {key: [_piece(row) for row in rows] for key, rows in whole.items()}


def _known_as_made(keys: set[tuple[str, str]]) -> dict[tuple[str, str], list[PreparedFile]]:
    """Files that are what we made ourselves: an export brings them back, and to make them again would only cost them quality."""
    made = [row for row in _rows_of(PreparedFile.digest, {digest for digest, _recipe in keys}) if row.part == ""]
    sources = {(row.source_digest, row.recipe): (row.digest, row.recipe) for row in made if (row.digest, row.recipe) in keys}
    found: dict[tuple[str, str], list[PreparedFile]] = {}
    for row in _rows_of(PreparedFile.source_digest, {digest for digest, _recipe in sources}):
        if (row.source_digest, row.recipe) in sources:
            found.setdefault(sources[row.source_digest, row.recipe], []).append(row)
    return found


def _rows_of(column: sa.SQLColumnExpression[str], digests: set[str]) -> Iterator[PreparedFile]:
    for some in _batches(digests):
        yield from db.session.scalars(sa.select(PreparedFile).where(column.in_(some)).order_by(PreparedFile.id))


def _batches(digests: set[str]) -> Iterator[list[str]]:
    """In parts that a statement can name."""
    ordered = sorted(digests)
    return (ordered[start : start + 500] for start in range(0, len(ordered), 500))


def _piece(row: PreparedFile) -> Piece:
    return Piece(row.part, row.digest, row.media_type, row.size, row.width, row.height)


def _made(file: SourceFile, folder: Path, report: Report, tell: Tell) -> list[Piece] | None:
    """A slow file's pieces, kept in storage; None, with the reason reported, where it may not come in."""
    with TemporaryDirectory(dir=folder) as place:
        try:
            made = _slow(file, Path(place), tell)
        except Unfit as unfit:
            report.error(unfit.code, file.path, unfit.line, unfit.message, unfit.mend)
            return None
        pieces = [piece_of(one) for one in made] if made else [_as_it_is(file)]
        keep_pieces(pieces)
    return [replace(piece, location=None) for piece in pieces]


def _slow(file: SourceFile, place: Path, tell: Tell) -> list[Made]:
    if file.suffix in pictures.FORMATS:
        return pictures.prepare_picture(file.location, file.suffix, place)
    if file.suffix in films.FILMS:
        return films.prepare_film(file.location, file.suffix, place, lambda done, total: tell("filming", done, total))
    return films.prepare_sound(file.location, file.suffix, place)


def keep_pieces(pieces: Iterable[Piece]) -> None:
    """Keep the content of pieces, each once."""
    missing = {piece.storage_key: piece.location for piece in pieces if piece.location is not None}
    storage.keep_all((key, location) for key, location in missing.items() if not storage.has(key))


def _kept(key: tuple[str, str], pieces: list[Piece], now: datetime) -> list[Piece]:
    """Note what was made; what an earlier note said of the same source is void."""
    db.session.execute(sa.delete(PreparedFile).where(PreparedFile.source_digest == key[0], PreparedFile.recipe == key[1]))
    for piece in pieces:
        facts = {name: getattr(piece, name) for name in ("part", "digest", "media_type", "size", "width", "height")}
        db.session.add(PreparedFile(source_digest=key[0], recipe=key[1], used_at=now, **facts))
    db.session.flush()
    return pieces


def _quick(file: SourceFile, folder: Path, number: int, report: Report) -> list[Piece] | None:
    """A drawing or captions, written anew; None for what is served as it is."""
    target = folder / f"quick-{number}"
    if file.suffix == ".svg":
        drawing = clean_svg(file.location.read_bytes(), file.path, report)
        if drawing is None:
            return None
        return [written_piece(Made("", file.media_type, target, drawing[1], drawing[2]), drawing[0])]
    if file.suffix in {".vtt", ".srt"}:
        captions = prepare_captions(file.location.read_bytes(), file.suffix, file.path, report)
        if captions is None:
            return None
        return [written_piece(Made("", file.media_type, target), captions)]
    return None


def _as_it_is(file: SourceFile) -> Piece:
    return Piece("", file.digest, file.media_type, file.size, location=file.location)


def note_taken(digests: set[str], now: datetime) -> None:
    """What was made of these sources is part of a course now, and stays: undoing an import may need it again."""
    for some in _batches(digests):
        these = PreparedFile.source_digest.in_(some)
        db.session.execute(sa.update(PreparedFile).where(these, PreparedFile.taken_at.is_(None)).values(taken_at=now))


def sweep(now: datetime) -> int:
    """Remove what was made for uploads that never came in; how many files."""
    stale = sa.select(PreparedFile).where(PreparedFile.taken_at.is_(None), PreparedFile.used_at < now - UNTAKEN).limit(500)
    rows = db.session.scalars(stale).all()
    for row in rows:
        db.session.delete(row)
    db.session.flush()
    for digest in {row.digest for row in rows}:
        is_needed = sa.or_(
            sa.exists().where(Asset.digest == digest),
            sa.exists().where(Asset.source_digest == digest),
            sa.exists().where(PreparedFile.digest == digest),
        )
        if not db.session.scalar(sa.select(is_needed)):
            storage.remove(key_of(digest))
    return len(rows)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder, held while it is worked in and gone afterwards; what killed processes left is swept now."""
    sweep_workplace()
    with TemporaryDirectory(prefix=FOLDER, dir=workplace(), ignore_cleanup_errors=True) as name:
        held = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(held)


def sweep_workplace() -> int:
    """Remove the temporary folders of processes that are no more, which hold theirs no longer; how many."""
    count = 0
    for left in workplace().glob(f"{FOLDER}*"):
        with suppress(OSError):  # it is held, or it went meanwhile
            held = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(held).st_mtime > HELD_WITHIN:
                    shutil.rmtree(left, ignore_errors=True)
                    count += 1
            finally:
                os.close(held)
    return count


def workplace() -> Path:
    """Where temporary folders are made."""
    place: Path = current_app.config["SETTINGS"].data_dir / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    return place
