"""Parts: files that arrive piece by piece over lines that break, until a form makes an upload of them. Decision 0010 says why like this.

What has come of a part lies in one file under DATA_DIR, which all web processes share. The length of that file is the only truth of
how much is here: nothing is written down beside it, so nobody who is killed can leave the two apart. A piece with a checksum is
gathered in a second file, and goes behind the first only when all of it was right.
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path

import sqlalchemy as sa
from flask import current_app
from flask_babel import gettext as _

from courseapp.accounts.models import User
from courseapp.authoring import uploads
from courseapp.authoring.models import Upload, UploadPart
from courseapp.columns import random_public_id
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.web import LARGEST_UPLOAD, bytes_words

KEPT = timedelta(days=7)  # from its beginning until it expires
MOST_OPEN = uploads.MOST  # of one person
MOST_TOGETHER = 2 * LARGEST_UPLOAD  # bytes of one person's open parts: one upload, and one that was left lying
SPARE = 500_000_000  # bytes of the disk that are not for uploads
BLOCK = 256 * 1024  # bytes held in memory at a time
ORPHANED = 3600.0  # seconds after which a file without a row is nobody's
ALGORITHMS = {"sha1": 20, "sha256": 32}  # and how many bytes each gives; the protocol wants the first, our page sends the second
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Checksum:
    """What a piece has to add up to."""

    algorithm: str
    digest: bytes


def begin(user_id: int, size: int, told: str, now: datetime) -> UploadPart:
    """Begin a part of so many bytes; `told` is its Upload-Metadata. The caller commits. Raises Refusal (400, 413, 507) in words."""
    name = name_of(told)
    if size > LARGEST_UPLOAD:
        raise Refusal(_("“%(name)s” is too large: at most %(size)s can be sent.", name=name, size=bytes_words(LARGEST_UPLOAD)), 413)
    db.session.execute(sa.select(User.id).where(User.id == user_id).with_for_update(key_share=True))  # else two at once pass the bound
    present = open_parts(user_id, now)
    if len(present) >= MOST_OPEN or size + sum(part.size for part in present) > MOST_TOGETHER:
        raise Refusal(_("You have begun too much that is not finished. Finish it, or throw some of it away on this page."), 413)
    check_disk(size + sum(part.size - arrived(part) for part in _all_open(now)))
    times = {"created_at": now, "expires_at": now + KEPT}
    part = UploadPart(public_id=random_public_id(), user_id=user_id, name=name, told=told, size=size, **times)
    db.session.add(part)
    db.session.flush()
    _path(part.public_id).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(_path(part.public_id), "xb", opener=_for_us_alone):
        pass
    return part


def value_in(told: str, wanted: str) -> str:
    """A value in an Upload-Metadata header: keys, each with its value in base64, parted by commas. Empty where it is not there."""
    pairs = (pair.strip().partition(" ") for pair in told.split(","))
    try:
        return next((base64.b64decode(value, validate=True).decode().strip() for key, _space, value in pairs if key == wanted), "")
    except ValueError:  # no base64, or no UTF-8
        return ""


def name_of(told: str) -> str:
    """The file's name in an Upload-Metadata header; raises Refusal (400)."""
    name = value_in(told, "filename")
    if not name or not name.isprintable() or len(name) > 200 or len(told) > 2000:
        raise Refusal(_("The file has no name, or one that is too long or cannot be shown. Please give it another one."), 400)
    return name


def own_part(user_id: int, public_id: str, now: datetime) -> UploadPart | None:
    """A part of somebody's own, apart from the session, so that it can be read when the transaction is over; None where there is none.

    Raises Refusal (410) where it has expired or was taken into an upload.
    """
    part = db.session.scalar(sa.select(UploadPart).where(UploadPart.public_id == public_id, UploadPart.user_id == user_id))
    if part is None:
        return None
    if part.expires_at <= now or part.upload_id is not None or not _path(public_id).exists():
        raise _gone()
    db.session.expunge(part)
    return part


def open_parts(user_id: int, now: datetime) -> Sequence[UploadPart]:
    """What somebody has begun and made no upload of, the oldest first."""
    return [part for part in _all_open(now, UploadPart.user_id == user_id) if _path(part.public_id).exists()]


def _all_open(now: datetime, *more: sa.ColumnElement[bool]) -> Sequence[UploadPart]:
    is_open = (UploadPart.upload_id.is_(None), UploadPart.expires_at > now)
    return db.session.scalars(sa.select(UploadPart).where(*is_open, *more).order_by(UploadPart.id)).all()


def arrived(part: UploadPart) -> int:
    """How many of its bytes are here at this moment; 0 where its file is gone."""
    try:
        return _path(part.public_id).stat().st_size
    except FileNotFoundError:
        return 0


def received(part: UploadPart) -> int:
    """How many of its bytes are here for good: they outlive a power cut too. Raises Refusal (410) where its file is gone."""
    try:
        with _path(part.public_id).open("rb", buffering=0) as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise _gone() from None


def append(part: UploadPart, arriving: Iterable[bytes], offset: int, length: int | None, checksum: Checksum | None = None) -> int:
    """Add what arrives behind the first `offset` bytes; how many are here then. These outlive a power cut.

    Args:
        arriving: blocks, which end where the line breaks; what came until then counts, unless there is a checksum.
        length: how many bytes are announced; None where nobody says.

    Raises Refusal: 409 where another number of bytes is here, 410 where the part went, 413 beyond its size, 423 while another
    request adds to it, 460 where the checksum is another one (nothing is added then), 507 where the disk is full.
    """
    with _alone(part) as file:
        if file.seek(0, os.SEEK_END) != offset:
            raise Refusal(_("Another part of the file was expected here."), 409)
        if length is not None and offset + length > part.size:
            raise Refusal(_("More arrived than the file was said to have."), 413)
        try:
            if checksum is None:
                _pour(arriving, file, part.size - offset)
            else:
                _pour_checked(arriving, file, part, offset, checksum)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise Refusal(
                _("The server has no space left for this file. Tell its owner; what was sent is kept, and can go on."), 507
            ) from error
        return file.seek(0, os.SEEK_END)


@contextlib.contextmanager
def _alone(part: UploadPart) -> Iterator[FileIO]:
    """What has come of a part, open to be added to by nobody else. The kernel lets go of it when a process dies."""
    try:
        file = _path(part.public_id).open("r+b", buffering=0)
    except FileNotFoundError:
        raise _gone() from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(_("Another line is sending this file at this moment."), 423) from None
        yield file


def _pour(arriving: Iterable[bytes], file: FileIO, room: int) -> None:
    """Write what arrives where the file stands. Raises Refusal (413) where it is more than there is room for; nothing is added then."""
    begun_at, count = file.tell(), 0
    for block in arriving:
        count += len(block)
        if count > room:
            file.truncate(begun_at)
            raise Refusal(_("More arrived than the file was said to have."), 413)
        _write(block, file)


def _pour_checked(arriving: Iterable[bytes], file: FileIO, part: UploadPart, offset: int, checksum: Checksum) -> None:
    """Write what arrives, once it is here and adds up. Raises Refusal (460) where it does not."""
    aside, digest = _aside(part.public_id), hashlib.new(checksum.algorithm, usedforsecurity=False)

    def counted() -> Iterator[bytes]:
        for block in arriving:
            digest.update(block)
            yield block

    try:
        with open(aside, "w+b", buffering=0, opener=_for_us_alone) as gathered:
            _pour(counted(), gathered, part.size - offset)
            if digest.digest() != checksum.digest:
                raise Refusal(_("This piece was damaged on its way. It is sent again."), 460)
            gathered.seek(0)
            while block := gathered.read(BLOCK):  # whoever is killed here leaves the beginning of what was right
                _write(block, file)
    finally:
        aside.unlink(missing_ok=True)


def _write(block: bytes, file: FileIO) -> None:
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def remove(part: UploadPart) -> None:
    """Throw a part away. Whoever still adds to it adds to nothing."""
    db.session.execute(sa.delete(UploadPart).where(UploadPart.id == part.id))
    _remove_files(part.public_id)


def receive_parts(user: User, public_ids: Sequence[str], now: datetime, place: uploads.Place | None = None) -> Upload:
    """Make an upload of parts that have come whole, in this order; or find the one that was made of them already.

    The caller commits, then calls `clear`. Raises Refusal (409, 413) in words.
    """
    wanted = list(dict.fromkeys(public_ids))
    query = sa.select(UploadPart).where(UploadPart.user_id == user.id, UploadPart.public_id.in_(wanted)).order_by(UploadPart.id)
    rows = {part.public_id: part for part in db.session.scalars(query.with_for_update())}
    made = {part.upload_id for part in rows.values()}
    if len(rows) == len(wanted) and len(made) == 1 and (upload_id := made.pop()) is not None:
        return db.session.get_one(Upload, upload_id)
    parts = [rows[public_id] for public_id in wanted if public_id in rows]
    if len(parts) < len(wanted) or any(part.upload_id or part.expires_at <= now or not _is_whole(part) for part in parts):
        words = _("Not all of it is here, so nothing was made of it. Choose the same files again; what was sent is not sent a second time.")
        raise Refusal(words, 409)
    if sum(part.size for part in parts) > LARGEST_UPLOAD:
        raise Refusal(_("These files are too large together: at most %(size)s can be sent.", size=bytes_words(LARGEST_UPLOAD)), 413)
    upload = uploads.receive(user, [(part.name, _path(part.public_id)) for part in parts], now, place)
    for part in parts:
        part.upload_id = upload.id
    return upload


def clear(upload: Upload) -> None:
    """Remove what was kept apart of an upload's files, once the upload is there for good."""
    for public_id in db.session.scalars(sa.select(UploadPart.public_id).where(UploadPart.upload_id == upload.id)):
        _remove_files(public_id)


def forget(user_id: int) -> None:
    """Throw away all that somebody has begun."""
    theirs = UploadPart.user_id == user_id
    for public_id in db.session.scalars(sa.select(UploadPart.public_id).where(theirs)).all():
        _remove_files(public_id)
    db.session.execute(sa.delete(UploadPart).where(theirs))


def sweep(now: datetime) -> int:
    """Remove parts that have expired, and files that belong to none; how many parts."""
    swept = db.session.execute(sa.delete(UploadPart).where(UploadPart.expires_at <= now).execution_options(synchronize_session=False))
    kept = set(db.session.scalars(sa.select(UploadPart.public_id).where(UploadPart.upload_id.is_(None))))
    for file in _folder().glob("*"):
        with contextlib.suppress(FileNotFoundError):  # somebody else was first
            if file.stem not in kept and time.time() - file.stat().st_mtime > ORPHANED:
                file.unlink()
    return int(swept.rowcount)  # type: ignore[attr-defined]  # a DELETE gives a CursorResult


def _is_whole(part: UploadPart) -> bool:
    return arrived(part) == part.size and received(part) == part.size


def _gone() -> Refusal:
    return Refusal(_("What was sent of this file is not here any more. Please begin again."), 410)


def check_disk(wanted: int) -> None:
    """See that so many bytes, with all that was begun, still fit. Raises Refusal (507)."""
    place: Path = current_app.config["SETTINGS"].data_dir
    if shutil.disk_usage(place).free - SPARE < wanted:
        raise Refusal(_("The server has not enough space for this file. Nothing was sent; tell its owner."), 507)


def _remove_files(public_id: str) -> None:
    for file in (_path(public_id), _aside(public_id)):
        file.unlink(missing_ok=True)


def _folder() -> Path:
    place: Path = current_app.config["SETTINGS"].data_dir / "parts"
    return place


def _path(public_id: str) -> Path:
    """Where what has come of a part lies."""
    return _folder() / public_id


def _aside(public_id: str) -> Path:
    """Where a piece with a checksum is gathered."""
    return _folder() / f"{public_id}.piece"


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
