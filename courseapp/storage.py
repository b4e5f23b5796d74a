"""The one door to files: a local folder, or an S3-compatible bucket (bucket.py). Decision 0008 says why it is written like this.

Keys are relative paths of our own making (`assets/ab/abc…`); nothing a person typed becomes a key. A file appears under its key
when it is whole, and not before.
"""

import contextlib
import io
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flask import Flask, current_app

from courseapp.config import S3Access

if TYPE_CHECKING:
    from courseapp.bucket import Bucket

Progress = Callable[[int], None]
PIECE = 256 * 1024  # bytes held in memory at a time; for many more the kernel is asked each time, which takes longer than copying
AT_ONCE = 8  # files kept at the same time
HALVES = ".halves"  # the folder, in a local storage, of what is being written


def init_storage(app: Flask, address: str, access: S3Access | None = None) -> None:
    """Bind what lies at `address` to the application: `file:///folder`, `/folder`, or `s3://bucket/folder`, which needs `access`."""
    where = urlsplit(address)
    if where.scheme == "s3" and access is not None:
        from courseapp.bucket import Bucket  # boto3 is large; an installation that keeps files in a folder never loads it

        app.extensions["storage"] = Bucket(where.netloc, where.path.strip("/"), access)
    elif where.scheme in {"", "file"}:
        app.extensions["storage"] = Folder(Path(unquote(where.path)))
    else:
        raise ValueError(f"STORAGE_URL={address} is neither a folder nor a bucket with S3_ACCESS_KEY and S3_SECRET_KEY")


def keep(key: str, content: bytes) -> None:
    """Store `content` under `key`, whole or not at all."""
    keep_stream(key, io.BytesIO(content))


def keep_stream(key: str, content: IO[bytes]) -> int:
    """Store an open file under `key`, a piece at a time, whole or not at all; how many bytes it has."""
    place = _place()
    size = place.keep(_checked(key), content)
    place.settle([key])
    return size


def keep_file(key: str, path: Path) -> int:
    """Store a whole file of this machine under `key`; how many bytes it has.

    Where that is possible it becomes the very same file and nothing is copied, so nobody may write to it any more; its other name
    may go.
    """
    keep_all([(key, path)])
    return path.stat().st_size


def keep_all(files: Iterable[tuple[str, Path | bytes]], progress: Progress = lambda _done: None, *, for_good: bool = True) -> None:
    """Store many files, several at a time: most of keeping one is waiting until the disk or the bucket has it.

    Args:
        files: key and content, or the path of a whole file of this machine; of that holds what `keep_file` says.
        progress: told now and then how many are kept; may raise to stop.
        for_good: False for what can be made anew: then a power cut may take it away or leave it empty, and nobody waits for the disk.
    """
    place, rest, done = _place(), iter(files), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while some := list(islice(rest, 4 * AT_ONCE)):  # not all of them, for their contents would be held at the same time
            whole = [(_checked(key), content) for key, content in some if isinstance(content, Path)]
            left = [*place.adopt(whole, pool, for_good), *((key, content) for key, content in some if isinstance(content, bytes))]
            list(pool.map(lambda file: _keep_one(place, file[0], file[1], for_good), left))
            if for_good:
                place.settle([key for key, _content in some])
            done += len(some)
            progress(done)


def _keep_one(place: "Folder | Bucket", key: str, content: Path | bytes, for_good: bool) -> None:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        place.keep(_checked(key), file, for_good)


@contextlib.contextmanager
def flushing(paths: Iterable[Path]) -> Iterator[None]:
    """Have files of this machine written to the disk meanwhile, so that whoever keeps them waits the less. Raises OSError in the end."""
    with ThreadPoolExecutor(2) as pool:
        begun = [pool.submit(_sync, path) for path in paths]
        yield
        for one in begun:
            one.result()


def remove(key: str) -> None:
    """Remove what is stored under `key`; nothing there is fine."""
    with contextlib.suppress(FileNotFoundError):
        _place().remove(_checked(key))


def has(key: str) -> bool:
    """Whether something is stored under `key`."""
    try:
        return size_of(key) >= 0
    except FileNotFoundError:
        return False


def size_of(key: str) -> int:
    """Bytes of the stored file; raises FileNotFoundError."""
    return _place().size(_checked(key))


def age_of(key: str) -> float:
    """Seconds since the file was stored; raises FileNotFoundError."""
    return time.time() - _place().stored_at(_checked(key))


def open_stored(key: str, start: int = 0, length: int | None = None) -> IO[bytes]:
    """The stored file, open for reading from byte `start`; raises FileNotFoundError.

    With `length` no more than these bytes are asked of a bucket; a file of a folder goes on to its end all the same.
    """
    return _place().open(_checked(key), start, length)


def path_of(key: str) -> Path | None:
    """Where a stored file lies on this machine, to be read alone; None for what lies in a bucket."""
    return _place().path(_checked(key))


@contextlib.contextmanager
def lying_at(key: str, folder: Path) -> Iterator[Path]:
    """Where a stored file lies on this machine, to be read alone; out of a bucket it is fetched into `folder` for as long."""
    path = path_of(key)
    if path is not None:
        yield path
        return
    with tempfile.NamedTemporaryFile(dir=folder) as fetched:
        with open_stored(key) as content:
            shutil.copyfileobj(content, fetched, PIECE)
        fetched.flush()
        yield Path(fetched.name)


def stored_keys(folder: str = "") -> Iterator[str]:
    """The keys of all that is stored (under `folder`), a folder at a time; raises OSError where one cannot be listed."""
    return _place().keys(_checked(folder))


def link_to(key: str, seconds: int, media_type: str, disposition: str) -> str | None:
    """A signed address at which a browser may fetch the file for so many seconds, under these headers; None where there is no such."""
    return _place().link(_checked(key), seconds, media_type, disposition)


def origin() -> str | None:
    """Where the addresses of `link_to` lead (scheme, host, port); None where there are none."""
    return _place().origin


def sweep(older_than: float) -> int:
    """Remove what processes left that were killed while they kept something, older than so many seconds; how many files."""
    return _place().sweep(time.time() - older_than)


def is_writable() -> bool:
    """Whether a file can be kept right now (readiness asks)."""
    try:
        keep("health/probe", b"ok")
        return True
    except OSError:
        return False


class Folder:
    """Files in a folder of this machine."""

    origin = None

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep(self, key: str, content: IO[bytes], for_good: bool = True) -> int:
        """Write a file beside the others and move it to its place: within one file system that happens or does not.

        What it holds outlives a power cut, for rows are written that name it; its name does so once it has settled.
        """
        half, path = self.root / HALVES / secrets.token_hex(16), self.root / key
        for folder in (half.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(half, "xb", opener=_for_us_alone) as file:
                shutil.copyfileobj(content, file, PIECE)
                size = file.tell()
                file.flush()
                if for_good:
                    os.fsync(file.fileno())
            half.replace(path)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
        return size

    def adopt(self, files: list[tuple[str, Path]], pool: Executor, for_good: bool = True) -> list[tuple[str, Path]]:
        """Give files that lie elsewhere names here as well; those that lie on another disk, or one that knows no second names, are left.

        What takes long is waiting until the disk has them, and that alone is shared out: sharing out the rest takes twice its time.
        """
        if for_good:
            list(pool.map(_sync, [path for _key, path in files]))
        return [(key, path) for key, path in files if not _linked(path, self.root / key)]

    def settle(self, keys: Iterable[str]) -> None:
        """Have the names of files just kept outlive a power cut. One such look at the disk does for all that came before it."""
        for folder in {(self.root / key).parent for key in keys}:
            _sync(folder)

    def remove(self, key: str) -> None:
        """Remove a file; raises FileNotFoundError."""
        (self.root / key).unlink()

    def size(self, key: str) -> int:
        """Bytes of a file; raises FileNotFoundError, also for a folder."""
        try:
            facts = (self.root / key).stat()
        except NotADirectoryError as error:
            raise FileNotFoundError(key) from error
        if not stat.S_ISREG(facts.st_mode):
            raise FileNotFoundError(key)
        return facts.st_size

    def stored_at(self, key: str) -> float:
        """When a file was stored, in seconds since 1970; raises FileNotFoundError."""
        return (self.root / key).stat().st_mtime

    def open(self, key: str, start: int, _length: int | None) -> IO[bytes]:
        """A file from `start`. Without a buffer, so that the server may hand it to the kernel as it stands (sendfile)."""
        file = (self.root / key).open("rb", buffering=0)
        file.seek(start)
        return file

    def path(self, key: str) -> Path:
        """Where a file lies."""
        return self.root / key

    def keys(self, folder: str) -> Iterator[str]:
        """All files. Not os.walk(), which passes over a folder in silence that it may not read."""
        folders = [self.root / folder] if (self.root / folder).is_dir() else []
        while folders:
            with os.scandir(folders.pop()) as found:
                listed = sorted(found, key=lambda entry: entry.name)
            folders += [Path(entry.path) for entry in reversed(listed) if entry.is_dir() and entry.name != HALVES]
            yield from (Path(entry.path).relative_to(self.root).as_posix() for entry in listed if entry.is_file())

    def link(self, _key: str, _seconds: int, _media_type: str, _disposition: str) -> None:
        """A folder has no addresses."""

    def sweep(self, before: float) -> int:
        """Remove halves that nobody has written to since `before` (seconds since 1970)."""
        left = [half for half in (self.root / HALVES).glob("*") if half.stat().st_mtime < before]
        for half in left:
            half.unlink(missing_ok=True)
        return len(left)


def _linked(path: Path, target: Path) -> bool:
    """Give a file a second name, in a folder that is made where it is missing; False where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    path.chmod(0o600)
    return True


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(path: Path) -> None:
    """Have what a file holds, or a new name in a folder, outlive a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _place() -> "Folder | Bucket":
    place: Folder | Bucket = current_app.extensions["storage"]
    return place


def _checked(key: str) -> str:
    if key.startswith(("/", HALVES)) or ".." in key.split("/"):
        raise ValueError(f"not a storage key: {key!r}")
    return key
