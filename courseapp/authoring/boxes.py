"""MP4, M4A and MOV are boxes in boxes (ISO/IEC 14496-12): what is in a file, and where it says more than it shows.

Nothing is decoded. What a telephone notes of place, time and owner stands in boxes named udta, meta and uuid; renaming each to
`free` and filling it with zeros takes it away without moving a byte of the film, so no program for films is needed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"}
TELLING = {b"udta", b"meta", b"uuid"}
DATED = {b"mvhd", b"tkhd", b"mdhd"}
TABLES = {*DATED, b"hdlr", b"stsd"}
MOST_BOXES = 100_000
LARGEST_TABLE = 64_000_000  # bytes of a box that is read as a whole


class BrokenBoxesError(ValueError):
    """The file is not made of boxes, or they do not fit into one another."""


@dataclass(frozen=True)
class Box:
    """A box: its kind, where its content begins, where it ends."""

    kind: bytes
    start: int
    end: int
    place: int  # where its four letters stand

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.end - self.start


@dataclass
class Facts:
    """What a file says of itself. `codecs` are the names of sample entries (avc1, hvc1, mp4a), sizes are in pixels."""

    brand: str = ""
    codecs: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    profile: int | None = None
    width: int = 0
    height: int = 0
    starts_at_once: bool = True
    telling: list[Box] = field(default_factory=list)
    dated: list[tuple[int, int]] = field(default_factory=list)  # where it says when it was made: place and length


def facts_of(location: Path) -> Facts:
    """What is in the file. Raises BrokenBoxesError where it is something else."""
    facts, seen, count = Facts(), set[bytes](), [0]
    with location.open("rb") as file:
        end = file.seek(0, 2)
        for box in _boxes(file, 0, end, count):
            if box.kind == b"moov" and b"moov" in seen:
                raise BrokenBoxesError("two films in one")
            seen.add(box.kind)
            if box.kind == b"ftyp":
                file.seek(box.start)
                facts.brand = file.read(4).decode("latin-1").strip()
            elif box.kind == b"moov":
                facts.starts_at_once = b"mdat" not in seen
            _look_into(file, box, facts, count, 0)  # what tells may also stand beside the film, at the top
    if b"moov" not in seen or not facts.codecs:
        raise BrokenBoxesError("no film in it")
    return facts


def blank(location: Path, facts: Facts) -> None:
    """Take away what `facts` found telling, in place."""
    with location.open("r+b") as file:
        for box in facts.telling:
            file.seek(box.place)
            file.write(b"free")
            file.seek(box.start)
            left = box.size
            while left:
                left -= file.write(bytes(min(left, 1024 * 1024)))
        for place, length in facts.dated:
            file.seek(place)
            file.write(bytes(length))


def _boxes(file: IO[bytes], start: int, end: int, count: list[int]) -> Iterator[Box]:
    while start < end:
        count[0] += 1
        file.seek(start)
        head = file.read(8)
        if len(head) < 8 or count[0] > MOST_BOXES:
            raise BrokenBoxesError("cut off")
        size, kind = struct.unpack(">I4s", head)
        content = start + 8
        if size == 1:
            size, content = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], start + 16
        elif size == 0:
            size = end - start
        if size < content - start or start + size > end or not all(32 <= letter < 127 or letter == 0xA9 for letter in kind):
            raise BrokenBoxesError("no box")
        yield Box(kind, content, start + size, start + 4)
        start += size


def _look_into(file: IO[bytes], box: Box, facts: Facts, count: list[int], depth: int) -> None:
    if box.kind in TELLING:
        facts.telling.append(box)
    elif box.kind in HOLDERS and depth < 12:
        for inner in _boxes(file, box.start, box.end, count):
            _look_into(file, inner, facts, count, depth + 1)
    elif box.kind in TABLES and box.size < LARGEST_TABLE:
        file.seek(box.start)
        content = file.read(box.size)
        _read_table(box.kind, content, facts)
        if box.kind in DATED and box.size >= 20:
            facts.dated.append((box.start + 4, 16 if content[0] == 1 else 8))  # two moments, of 64 bits in version 1


def _read_table(kind: bytes, content: bytes, facts: Facts) -> None:
    if kind == b"hdlr":
        handler = content[8:12].decode("latin-1")
        if handler not in {"alis", "url "}:  # of the data, not of the track (QuickTime)
            facts.tracks.append(handler)
    elif kind == b"tkhd" and len(content) >= 8:
        width, height = struct.unpack(">II", content[-8:])
        facts.width, facts.height = max(facts.width, width >> 16), max(facts.height, height >> 16)
    elif kind == b"stsd" and len(content) >= 16:
        facts.codecs.append(content[12:16].decode("latin-1"))
        place = content.find(b"avcC")
        if place >= 0 and len(content) > place + 5:
            facts.profile = content[place + 5]
