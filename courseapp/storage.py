"""The one door to files: a local folder or anything fsspec speaks (S3-compatible among them).

Keys are relative paths of our own making (`assets/ab/abc….svg`); nothing a person typed becomes a key.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, cast

import fsspec
from flask import Flask, current_app
from fsspec.implementations.local import LocalFileSystem

PIECE = 1024 * 1024
HALVES = ".halves"  # the folder, in a local storage, of what is being written


def init_storage(app: Flask, address: str) -> None:
    """Bind the folder at `address` (an fsspec URL) to the application."""
    system, root = fsspec.core.url_to_fs(address)
    app.extensions["storage"] = (system, root.rstrip("/"))


def keep(key: str, content: bytes) -> None:
    """Store `content` under `key`, whole or not at all."""
    keep_stream(key, BytesIO(content))


def keep_stream(key: str, content: IO[bytes]) -> int:
    """Store an open file under `key`, a piece at a time, whole or not at all; how many bytes it has.

    Not by fsspec's transactions: one belongs to a whole file system, so of two threads that keep something at the same
    moment the one ends the other's. And what is kept must outlive a power cut, for rows are written that name it.
    """
    system, path = _locate(key)
    if isinstance(system, LocalFileSystem):
        return _keep_here(Path(path), content)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    with tempfile.NamedTemporaryFile() as file:
        shutil.copyfileobj(content, file, PIECE)
        file.flush()
        system.put_file(file.name, path)  # object stores show nothing until it is whole
        return file.tell()


def sweep(older_than: float) -> int:
    """Remove what processes left that were killed while they kept something, older than so many seconds; how many files."""
    system, root = current_app.extensions["storage"]
    halves = Path(root, HALVES)
    if not (isinstance(system, LocalFileSystem) and halves.is_dir()):
        return 0
    left = [path for path in halves.iterdir() if time.time() - path.stat().st_mtime > older_than]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def remove(key: str) -> None:
    """Remove what is stored under `key`; nothing there is fine."""
    system, path = _locate(key)
    with contextlib.suppress(FileNotFoundError):
        system.rm_file(path)


def has(key: str) -> bool:
    """Whether something is stored under `key`."""
    system, path = _locate(key)
    return bool(system.exists(path))


def open_stored(key: str) -> IO[bytes]:
    """The stored file, open for reading; raises FileNotFoundError."""
    system, path = _locate(key)
    return cast(IO[bytes], system.open(path, "rb"))


def stored_keys(folder: str = "") -> Iterator[str]:
    """The keys of all that is stored (under `folder`), a folder at a time; raises OSError where one cannot be listed."""
    system, top = _locate(folder)
    root: str = system._strip_protocol(_locate("")[1])
    system.invalidate_cache()
    folders = [top] if system.exists(top) else []
    while folders:  # not system.walk(), which passes over a folder in silence that it may not read
        here = folders.pop()
        # an object store may list the folder itself among what is in it
        listed = [entry for entry in system.ls(here, detail=True) if entry["name"].rstrip("/") != here.rstrip("/")]
        inner = (entry["name"] for entry in listed if entry["type"] == "directory")
        folders += sorted((name for name in inner if not name.endswith(f"/{HALVES}")), reverse=True)
        yield from sorted(entry["name"].removeprefix(root).strip("/") for entry in listed if entry["type"] == "file")


def is_writable() -> bool:
    """Whether a file can be kept right now (readiness asks)."""
    try:
        keep("health/probe", b"ok")
        return True
    except Exception:  # whatever the store's client raises: of object stores it is not always an OSError
        return False


def _keep_here(path: Path, content: IO[bytes]) -> int:
    halves = Path(current_app.extensions["storage"][1], HALVES)  # beside the others, for renaming must not become copying
    for folder in (path.parent, halves):
        folder.mkdir(parents=True, exist_ok=True)
    half = halves / secrets.token_hex(8)
    try:
        with open(half, "xb") as file:
            shutil.copyfileobj(content, file, PIECE)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)
    _sync(path.parent)
    return size


def _sync(folder: Path) -> None:
    """Have a new name in a folder outlive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _locate(key: str) -> tuple[fsspec.AbstractFileSystem, str]:
    if key.startswith("/") or ".." in key.split("/"):
        raise ValueError(f"not a storage key: {key!r}")
    system, root = current_app.extensions["storage"]
    return system, f"{root}/{key}"
