"""Hostile archives: bombs, names that lead out, links, lists without end, and what is cut off, locked or damaged."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from typing import NamedTuple

from tests.authoring.folders import SVG, lesson, small_files
from tests.authoring.hostile import Item, Table

MB = 1_000_000
OUTSIDE = "outside.md"  # what must never appear beside the folder that something is unpacked into
UMLAUT = "Übung"


def zip_of(files: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def course_zip(**more: str | bytes) -> bytes:
    """The small course, with further files or others in their place."""
    return zip_of(small_files(**more))


def refused(archive: bytes, code: str, name: str = "course.zip") -> Item:
    """An archive that is refused."""
    return Item(((name, archive),), code)


class Listed(NamedTuple):
    """An entry as an archive lists it; `place` is where it begins."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    place: int


def raw_zip(entries: list[Listed], body: bytes) -> bytes:
    """A ZIP archive put together by hand (APPNOTE 4.3)."""
    rows = b""
    for name, *facts, place in entries:
        method, *sizes = facts
        head = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, method, 0, 0, *sizes, len(name), 0, 0, 0, 0, 0, place)
        rows += head + name
    count = len(entries) & 0xFFFF
    return body + rows + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(rows), len(body), 0)


def local_head(name: bytes, method: int, crc: int, packed: int, size: int) -> bytes:
    """What stands before an entry's bytes (APPNOTE 4.3.7)."""
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, method, 0, 0, crc, packed, size, len(name), 0) + name


def kernel_of(size: int) -> tuple[bytes, int]:
    """So many zeros, packed, and their checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush(), zlib.crc32(bytes(size))


def overlapping() -> bytes:
    """David Fifield's first kind: 2,000 entries that all point at the same packed zeros, 40 GB in all."""
    size = 20 * MB
    kernel, crc = kernel_of(size)
    entries = [Listed(b"%04d.md" % number, 8, crc, len(kernel), size, 0) for number in range(2000)]
    return raw_zip(entries, local_head(b"0000.md", 8, crc, len(kernel), size) + kernel)


def quoting() -> bytes:
    """His second kind: each entry's bytes quote the head of the next as text, so that all share one kernel and no two are alike."""
    size = MB
    data, crc = kernel_of(size)
    entries: list[Listed] = []
    content = bytes(size)
    body = b""
    for number in reversed(range(100)):
        name = b"%03d.md" % number
        head = local_head(name, 8, crc, len(data), len(content))
        body = head + data
        entries.append(Listed(name, 8, crc, len(data), len(content), len(body)))
        data = struct.pack("<BHH", 0, len(head), len(head) ^ 0xFFFF) + head + data
        content = head + content
        crc = zlib.crc32(content)
    return raw_zip([entry._replace(place=len(body) - entry.place) for entry in entries], body)


def lying(says: int, holds: int, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive whose one entry says another size than it has, in both places."""
    raw = bytearray(zip_of({"course.md": bytes(holds)}, method))
    directory = raw.rfind(b"PK\x01\x02")
    raw[22:26] = raw[directory + 24 : directory + 28] = struct.pack("<I", says)
    return bytes(raw)


def marked_as_locked() -> bytes:
    """An archive whose entries say that they are locked with a password."""
    raw = bytearray(course_zip())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = raw.find(mark)
        while start >= 0:
            raw[start + place] |= 1
            start = raw.find(mark, start + 4)
    return bytes(raw)


def listing_only(count: int) -> bytes:
    """A list of so many files, and none of them."""
    row = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    return row * count + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(row) * count, 0, 0)


def many_entries() -> bytes:
    """65,536 entries, which take the larger form of ZIP."""
    return zip_of({f"{number:05}.md": b"" for number in range(65_536)}, zipfile.ZIP_STORED)


def greedy_lzma() -> bytes:
    """LZMA whose own head asks for four gigabytes to unpack in."""
    raw = bytearray(zip_of({"course.md": b"words"}, zipfile.ZIP_LZMA))
    place = raw.index(b"\x09\x04\x05\x00")
    raw[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    return bytes(raw)


def of_deflate64() -> bytes:
    """What Windows makes of files beyond two gigabytes."""
    return raw_zip([Listed(b"a.md", 9, 1, 3, 3, 0)], local_head(b"a.md", 9, 1, 3, 3) + b"abc")


def linked_zip(target: str) -> bytes:
    """The course with a link in it."""
    buffer = io.BytesIO(course_zip())
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("01-beginning/secret.md")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, target)
    return buffer.getvalue()


def twice(first: str, second: str) -> bytes:
    """The course with two more files whose names meet."""
    buffer = io.BytesIO(course_zip())
    with zipfile.ZipFile(buffer, "a") as archive:
        for name in (first, second):
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it stands, where zipfile would warn
            archive.writestr(info, "words")
    return buffer.getvalue()


def tar_of(files: dict[str, str | bytes], *more: tarfile.TarInfo, mode: str = "w:gz", form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of these files and members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]  # of tarfile's modes
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            raw = content.encode() if isinstance(content, str) else content
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
        for member in more:
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    """A member of a tar."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


def tar(code: str, *more: tarfile.TarInfo) -> Item:
    """The course as a tar with these members."""
    return refused(tar_of(small_files(), *more), code, "course.tar.gz")


def swollen_gap() -> bytes:
    """A tar with 100 MB that are of no file, packed to 100 KB."""
    return gzip.compress(member("a", b"Z", size=100 * MB).tobuf(tarfile.GNU_FORMAT) + bytes(100 * MB), 9)


def noted_at_length() -> bytes:
    """A tar whose first member is preceded by 100 MB of notes about it, packed to 100 KB."""
    head = member("PaxHeaders/x", tarfile.XHDTYPE, size=100 * MB).tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress(head + bytes(100 * MB), 9)


def notes_without_end() -> bytes:
    """A tar of many notes about all that follows, each with another name; tarfile keeps them all."""
    parts = []
    for number in range(2000):
        words = b"x%07d" % number + b"=" + b"y" * 30_000 + b"\n"
        body = b"%d %s" % (len(words) + 6, words)
        parts.append(member("g", tarfile.XGLTYPE, size=len(body)).tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512))
        parts.append(member(f"{number}.md").tobuf(tarfile.USTAR_FORMAT))
    return gzip.compress(b"".join(parts) + bytes(1024), 1)


def with_holes() -> bytes:
    """A file of 400 MB that is nothing but a hole."""
    head = bytearray(member("course.md", tarfile.GNUTYPE_SPARSE, size=0).tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % (400 * MB)  # what it comes to when it is laid out
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head[:512])
    return bytes(head) + bytes(1024)


def wrong_sum() -> bytes:
    """A .tar.gz whose own checksum does not fit."""
    raw = bytearray(tar_of(small_files()))
    raw[-8] ^= 0xFF
    return bytes(raw)


def nameless() -> bytes:
    """A whole course, and an entry whose name is empty: zipfile's own is_dir() breaks at it."""
    raw = io.BytesIO(course_zip())
    with zipfile.ZipFile(raw, "a") as archive:
        archive.writestr(zipfile.ZipInfo("\0"), b"whose?")
    return raw.getvalue()


ARCHIVES: Table = {
    "zip bomb, flat": lambda: refused(zip_of({"course.md": bytes(100 * MB)}), "archive_too_large"),
    "zip bomb, flat, of many files": lambda: refused(zip_of({f"{n}.png": bytes(10 * MB) for n in range(8)}), "archive_too_large"),
    "zip bomb, nested": lambda: Item(
        (("course.zip", zip_of({f"{n}.zip": zip_of({"a.zip": zip_of({"b.md": bytes(5 * MB)})}) for n in range(16)})),), "course_missing"
    ),
    "zip bomb, nested in a course": lambda: Item(
        (("course.zip", course_zip(**{"01-beginning/inner.zip": zip_of({"b.md": bytes(90 * MB)})})),), "kind_unknown", is_ready=True
    ),
    "zip bomb, overlapping": lambda: refused(overlapping(), "overlapping"),
    "zip bomb, overlapping by quoting": lambda: refused(quoting(), "overlapping"),
    "zip bomb by bzip2": lambda: refused(lying(10, 40 * MB, zipfile.ZIP_BZIP2), "archive_method"),
    "zip bomb by lzma": lambda: refused(lying(10, 40 * MB, zipfile.ZIP_LZMA), "archive_method"),
    "zip that asks for four gigabytes to unpack in": lambda: refused(greedy_lzma(), "archive_method"),
    "zip by a method nobody reads": lambda: refused(of_deflate64(), "archive_method"),
    "zip that says less than it holds": lambda: refused(lying(10, 100 * MB), "archive_broken"),
    "zip that says more than it holds": lambda: refused(lying(4_000 * MB, 10), "archive_too_large"),
    "tar bomb": lambda: refused(tar_of({"course.md": bytes(100 * MB)}), "file_too_large", "course.tar.gz"),
    "tar bomb of many files": lambda: refused(tar_of({f"{n}.png": bytes(10 * MB) for n in range(8)}), "archive_too_large", "course.tgz"),
    "tar bomb between files": lambda: refused(swollen_gap(), "archive_too_large", "course.tar.gz"),
    "tar with a hole": lambda: refused(with_holes(), "symlink", "course.tar"),
    "tar with notes of 100 MB": lambda: refused(noted_at_length(), "archive_too_large", "course.tar.gz"),
    "tar with notes without end": lambda: refused(notes_without_end(), "course_missing", "course.tar.gz"),
    "tar by xz": lambda: refused(lzma.compress(tar_of(small_files(), mode="w")), "archive_broken", "course.tar"),
    "tar bomb by bzip2": lambda: refused(bz2.compress(bytes(40 * MB)), "archive_broken", "course.tar.gz"),
    "path traversal": lambda: refused(course_zip(**{f"../{OUTSIDE}": "evil"}), "path_outside"),
    "path traversal, deep": lambda: refused(course_zip(**{f"01-beginning/../../../{OUTSIDE}": "evil"}), "path_outside"),
    "path traversal, as Windows writes it": lambda: refused(course_zip(**{f"..\\..\\{OUTSIDE}": "evil"}), "path_outside"),
    "path traversal by the name of the upload": lambda: Item(((f"../../{OUTSIDE}", b"evil"),), "path_outside"),
    "path traversal in a tar": lambda: tar("path_outside", member(f"../{OUTSIDE}")),
    "absolute path": lambda: refused(course_zip(**{f"/tmp/{OUTSIDE}": "evil"}), "path_outside"),
    "absolute path with a drive": lambda: refused(course_zip(**{f"C:\\{OUTSIDE}": "evil"}), "path_outside"),
    "absolute path in a tar": lambda: tar("path_outside", member(f"/tmp/{OUTSIDE}")),
    "symlink": lambda: refused(linked_zip("/etc/passwd"), "symlink"),
    "symlink in a tar": lambda: tar("symlink", member("01-beginning/secret.md", tarfile.SYMTYPE, "/etc/passwd")),
    "symlink out of a tar, and a file through it": lambda: tar(
        "symlink", member("out", tarfile.SYMTYPE, "../.."), member(f"out/{OUTSIDE}", size=4)
    ),
    "hardlink in a tar": lambda: tar("symlink", member("01-beginning/secret.md", tarfile.LNKTYPE, "/etc/passwd")),
    "device in a tar": lambda: tar("symlink", member("01-beginning/zero.md", tarfile.CHRTYPE)),
    "pipe in a tar": lambda: tar("symlink", member("01-beginning/pipe.md", tarfile.FIFOTYPE)),
    "65,536 entries": lambda: refused(many_entries(), "too_many_files"),
    "a list of 300,000 entries and nothing else": lambda: refused(listing_only(300_000), "too_many_files"),
    "65,536 entries in a tar": lambda: refused(
        tar_of({f"{number:05}.md": b"" for number in range(65_536)}, mode="w"), "too_many_files", "course.tar"
    ),
    "duplicate names": lambda: refused(twice("01-beginning/03.md", "01-beginning/03.md"), "name_twice"),
    "duplicate names but for their case": lambda: refused(twice("01-beginning/03.md", "01-beginning/03.MD"), "name_twice"),
    "duplicate names, accents apart and together": lambda: refused(
        twice(f"01-beginning/{UMLAUT}.md", f"01-beginning/{unicodedata.normalize('NFD', UMLAUT)}.md"), "name_twice"
    ),
    "a file and a folder of one name": lambda: refused(twice("01-beginning/x.md", "01-beginning/x.md/y.md"), "name_twice"),
    "a folder and a file of one name": lambda: refused(twice("01-beginning/x.md/y.md", "01-beginning/x.md"), "name_twice"),
    "duplicate names in a tar": lambda: tar("name_twice", member("course.md")),
    "duplicate names of single files": lambda: Item((("course.md", b"one"), ("course.md", b"two")), "name_twice"),
    "truncated": lambda: refused(course_zip()[:-100], "archive_broken"),
    "truncated in the middle": lambda: refused(course_zip()[:1000], "archive_broken"),
    "truncated tar": lambda: refused(tar_of(small_files(), mode="w")[:1536], "archive_broken", "course.tar"),
    "truncated tar, packed": lambda: refused(tar_of(small_files())[:-300], "archive_broken", "course.tar.gz"),
    "tar with a wrong sum": lambda: refused(wrong_sum(), "archive_broken", "course.tar.gz"),
    "empty": lambda: refused(b"", "archive_broken"),
    "encrypted": lambda: refused(marked_as_locked(), "encrypted"),
    "a file without a name": lambda: refused(nameless(), "name_odd"),
    "a file without a name in a tar": lambda: tar("name_odd", member("")),
    "names in NFD": lambda: Item(
        (
            (
                "course.zip",
                course_zip(
                    **{
                        f"01-beginning/03-{unicodedata.normalize('NFD', UMLAUT)}.md": lesson("three", f"![A square]({UMLAUT}.svg)\n"),
                        f"01-beginning/{unicodedata.normalize('NFD', UMLAUT)}.svg": SVG,
                    }
                ),
            ),
        ),
        "",
        is_ready=True,
        shows='alt="A square"',
    ),
}
