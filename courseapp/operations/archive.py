"""The one file of a backup: a tar, compressed by gzip, which is written and read in one go, a piece at a time.

    format.json                  what this is: written first, so that a stranger is refused at once
    tables/<name>/000001.jsonl   rows, one JSON object a line, in pieces; tables in the order of their foreign keys
    files/<key>                  what `storage` keeps
    manifest.json                last: every part with its size and SHA-256, how many rows, and a seal over it all

Whoever has no SECRET_KEY cannot make the seal: so a changed file is told from a whole one, also where its sums were mended.
"""

import gzip
import hashlib
import hmac
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from typing import IO, Any, Self, cast

from courseapp.contacts.address import keyed_hash

FORMAT = 1
KIND = "courseapp backup"
FIRST, LAST = "format.json", "manifest.json"
TOLD = {"tables": dict, "parts": dict, "missing": list, "settings": list, "counters": dict}
PIECE = 1024 * 1024
LONGEST_LIST = 512 * 1024 * 1024  # bytes of manifest: some four million parts
LONGEST_HEADER = 64 * 1024  # bytes of a member's long name and the like, which tarfile reads at once
COMPRESSION = 3  # of 9: media do not shrink, and rows shrink to a fifth even so

Tell = Callable[[str], None]


class BadBackup(Exception):
    """A backup that cannot be used; the message says why and what to do."""


@dataclass
class Contents:
    """What a backup says of itself.

    `parts` maps a part's name to [size, SHA-256]; `missing` are files that were not there; `counters` is how far the numbers of a table
    went that are never given again.
    """

    made_at: str
    migration: str
    key: str
    tables: dict[str, int] = field(default_factory=dict)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows of all tables together."""
        return sum(self.tables.values())

    @property
    def files(self) -> int:
        """How many stored files."""
        return sum(name.startswith("files/") for name in self.parts)

    @property
    def has_own_key(self) -> bool:
        """Whether it was made under the SECRET_KEY that is set now."""
        return hmac.compare_digest(self.key, key_mark(self.made_at))


def key_mark(made_at: str) -> str:
    """What tells one SECRET_KEY from another without telling anything of either."""
    return keyed_hash("backup-key", made_at)


class Hashed:
    """A file that is summed up while it is read."""

    def __init__(self, file: IO[bytes], tell: Tell | None = None) -> None:
        self._file, self._tell = file, tell
        self._sum, self.size, self.lines = hashlib.sha256(), 0, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if self._tell is not None and self.size:
            self._tell(f"{self.size // 1_000_000} MB of one part")  # which may take long by itself
        return self._seen(self._file.read(size))

    def __iter__(self) -> Iterator[bytes]:
        while line := self._seen(self._file.readline()):
            yield line

    def finish(self) -> list[Any]:
        """Read what is left; size and SHA-256 of all."""
        while self.read(PIECE):
            pass
        return [self.size, self._sum.hexdigest()]

    def _seen(self, piece: bytes) -> bytes:
        self._sum.update(piece)
        self.size += len(piece)
        self.lines += piece.count(b"\n")
        return piece


class Writer:
    """Writes a backup into an open file, part by part; at the end of its block the manifest."""

    def __init__(self, file: IO[bytes], contents: Contents, tell: Tell) -> None:
        self.contents, self._tell = contents, tell
        self._zip = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=COMPRESSION)
        self._tar = tarfile.open(fileobj=self._zip, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE)  # noqa: SIM115  # closed in __exit__
        facts = {"kind": KIND, "format": FORMAT, "made_at": contents.made_at, "migration": contents.migration, "key": contents.key}
        self.add(FIRST, json.dumps(facts).encode())

    def add(self, name: str, content: bytes) -> None:
        """One part that is held in memory."""
        self.add_file(name, BytesIO(content), len(content))

    def add_file(self, name: str, file: IO[bytes], size: int) -> None:
        """One part, read from an open file; raises OSError where it ends before its size."""
        info, hashed = tarfile.TarInfo(name), Hashed(file, self._tell)
        info.size, info.mode = size, 0o600
        self._tar.addfile(info, cast(IO[bytes], hashed))
        self._tar.members.clear()  # type: ignore[attr-defined]  # else it keeps each for good
        self.contents.parts[name] = hashed.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            self._finish()
        for part in (self._tar, self._zip):  # after an error too, or they try to write when they are collected
            with suppress(OSError, tarfile.TarError) if kind is not None else nullcontext():
                part.close()

    def _finish(self) -> None:
        body = json.dumps({name: getattr(self.contents, name) for name in TOLD})
        content = json.dumps({"seal": keyed_hash("backup", body), "body": body}).encode()
        info = tarfile.TarInfo(LAST)
        info.size, info.mode = len(content), 0o600
        self._tar.addfile(info, BytesIO(content))


class Member(tarfile.TarInfo):
    """A member of a backup: a plain file. Its header is not believed to be as long as it says, nor the file to have holes."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self | None:
        if not self.isreg() and self.size > LONGEST_HEADER:
            raise tarfile.ReadError("too long a header")
        found: Self | None = super()._proc_member(tar)  # type: ignore[misc]  # the hook that tarfile leaves for this
        return found

    @property
    def is_plain(self) -> bool:
        """Whether it is a file that is as long as what follows."""
        return self.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not self.issparse()


@contextmanager
def unbroken() -> Iterator[None]:
    """Say in words what the libraries say of a file that is cut off or damaged."""
    try:
        yield
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise BadBackup("The backup is cut off or damaged. Nothing was changed; take another copy.") from error


def parts_of(file: BufferedReader, tell: Tell) -> Iterator[tuple[str, Hashed]]:
    """Every part's name and content, in order; the content is to be read before the next is asked for. Raises BadBackup."""
    if file.peek(2)[:2] != b"\x1f\x8b":
        raise BadBackup("This is no backup of courseapp.")
    with unbroken(), gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
        with tarfile.open(fileobj=unzipped, mode="r|", bufsize=PIECE, tarinfo=Member) as tar:
            while (info := cast(Member | None, tar.next())) is not None:
                content = tar.extractfile(info) if info.is_plain else None
                if content is None:
                    raise BadBackup(f"The backup holds something that is no file: {info.name!r}. It is damaged or was changed.")
                yield info.name, Hashed(content, tell)
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps each for good
        while unzipped.read(PIECE):  # to the end, where gzip's own sum stands
            pass


def verified(file: BufferedReader, tell: Tell) -> Contents:
    """Read a whole backup and hold every part against the manifest; raises BadBackup, and changes nothing."""
    contents: Contents | None = None
    found: dict[str, list[Any]] = {}
    rows: dict[str, int] = {}
    is_ended = False
    with unbroken():
        for name, part in parts_of(file, tell):
            if is_ended or name in found:
                raise BadBackup(f"The backup holds {name!r} twice or behind its end. It is damaged or was changed.")
            if name == LAST:
                is_ended = _read_manifest(part.read(LONGEST_LIST), contents)
                continue
            contents = contents or _first_facts(name, part.read(PIECE))
            found[name] = part.finish()
            folder, _, rest = name.partition("/")
            if folder == "tables":
                table = rest.partition("/")[0]
                rows[table] = rows.get(table, 0) + part.lines
            tell(f"looked at {len(found)} parts")
    if contents is None or not is_ended:
        raise BadBackup("The backup is cut off: its end is missing. Nothing was changed; take another copy.")
    if found != contents.parts or rows != {name: count for name, count in contents.tables.items() if count}:
        wrong = sorted({*found, *contents.parts} - {name for name in found if found[name] == contents.parts.get(name)})
        places = ", ".join(ascii(name)[1:-1] for name in wrong[:3])  # names may hold what a terminal would follow
        raise BadBackup(f"The backup is damaged or was changed, at: {places or 'the number of rows'}.")
    return contents


def _first_facts(name: str, content: bytes) -> Contents:
    try:
        facts = json.loads(content) if name == FIRST else {}
        kind, number = facts.get("kind"), facts.get("format")
    except (ValueError, AttributeError, RecursionError):
        kind = number = None
    if kind != KIND:
        raise BadBackup("This is no backup of courseapp: it does not begin like one.")
    if number != FORMAT:
        raise BadBackup(f"The backup is of format {number}, and this version reads format {FORMAT}. Use the version that made it.")
    try:
        return Contents(str(facts["made_at"]), str(facts["migration"]), str(facts["key"]))
    except KeyError as error:
        raise BadBackup("The backup's beginning is damaged.") from error


def _read_manifest(content: bytes, contents: Contents | None) -> bool:
    """Fill in what the manifest tells, once its seal is found to fit; under another key that cannot be told. Raises BadBackup."""
    try:
        manifest = json.loads(content)
        body, seal = str(manifest["body"]), str(manifest["seal"])
        told = {"counters": {}, **json.loads(body)}  # those made before there were counters have none
        numbers = [*told["tables"].values(), *told["counters"].values()]
        if not all(isinstance(told[name], kind) for name, kind in TOLD.items()) or not all(type(number) is int for number in numbers):
            raise ValueError("not what a manifest holds")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadBackup("The backup's manifest cannot be read. It is damaged or was changed.") from error
    if contents is None:
        raise BadBackup("This is no backup of courseapp: it does not begin like one.")
    if contents.has_own_key and not hmac.compare_digest(seal, keyed_hash("backup", body)):
        raise BadBackup("The backup's manifest was changed after it was made: its seal does not fit.")
    for name in TOLD:
        setattr(contents, name, told[name])
    return True
