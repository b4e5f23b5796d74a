"""The one door to files: a local folder or anything fsspec speaks (S3-compatible among them).

Keys are relative paths of our own making (`assets/ab/abc….svg`); nothing a person typed becomes a key.
"""

import contextlib
from collections.abc import Iterator
from typing import IO, cast

import fsspec
from flask import Flask, current_app


def init_storage(app: Flask, address: str) -> None:
    """Bind the folder at `address` (an fsspec URL) to the application."""
    system, root = fsspec.core.url_to_fs(address)
    app.extensions["storage"] = (system, root.rstrip("/"))


def keep(key: str, content: bytes) -> None:
    """Store `content` under `key`, whole or not at all."""
    system, path = _locate(key)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    with system.transaction, system.open(path, "wb") as file:
        file.write(content)


def keep_stream(key: str, content: IO[bytes]) -> int:
    """Store an open file under `key`, a piece at a time, whole or not at all; how many bytes it has."""
    system, path = _locate(key)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    size = 0
    with system.transaction, system.open(path, "wb") as file:
        while piece := content.read(1024 * 1024):
            size += file.write(piece)
    return size


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
        folders += sorted((entry["name"] for entry in listed if entry["type"] == "directory"), reverse=True)
        yield from sorted(entry["name"].removeprefix(root).strip("/") for entry in listed if entry["type"] == "file")


def is_writable() -> bool:
    """Whether a file can be kept right now (readiness asks)."""
    try:
        keep("health/probe", b"ok")
        return True
    except OSError:
        return False


def _locate(key: str) -> tuple[fsspec.AbstractFileSystem, str]:
    if key.startswith("/") or ".." in key.split("/"):
        raise ValueError(f"not a storage key: {key!r}")
    system, root = current_app.extensions["storage"]
    return system, f"{root}/{key}"
