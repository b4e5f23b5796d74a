"""Archives: what good ones become, and what every kind of hostile one is told. Nothing of a refused one is trusted."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.authoring import unpacking, watched
from courseapp.authoring.pieces import digest_of
from courseapp.authoring.report import Report
from courseapp.authoring.unpacking import Large, Refused, lift_single_folder, safe_path, unpack

HOSTILE_NAMES = ("../outside.md", "/etc/passwd", "a/../../b.md", "C:\\windows\\x.md", "..\\up.md", "a\0b.md", ".", "/")


def zipped(path: Path, files: dict[str, bytes], **kw: int) -> Path:
    """A ZIP archive of these files."""
    with zipfile.ZipFile(path, "w", kw.pop("kind", zipfile.ZIP_DEFLATED)) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def taken(archive: Path, folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """What an archive became, and the codes of what was reported; Refused counts as nothing."""
    report = Report()
    folder.mkdir()
    try:
        unpack(archive.name, archive, folder, report, lambda _done, _total: None)
    except Refused:
        assert report.has_errors
        return {}, [row.code for row in report.rows]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}, [
        row.code for row in report.rows
    ]


def test_a_plain_archive_is_laid_out(tmp_path: Path) -> None:
    files = {"course.md": b"words", "01-a/lesson.md": b"more", "01-a/päge.svg": b"<svg/>"}
    assert taken(zipped(tmp_path / "a.zip", files), tmp_path / "out") == (files, [])


def test_large_files_are_hashed_on_the_way_and_taken_from_where_they_are_kept(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    archive = zipped(tmp_path / "a.zip", {"a.wav": content, "b.wav": content[::-1], "c.md": b"words"})
    first, again = Large(), tmp_path / "again"
    for folder in (tmp_path / "first", again):
        folder.mkdir()
    unpack("a.zip", archive, tmp_path / "first", Report(), lambda _done, _total: None, large=first)
    assert first.found == {name: digest_of(tmp_path / "first" / name) for name in ("a.wav", "b.wav")}
    moved = (tmp_path / "first/a.wav").rename(tmp_path / "moved.wav")
    assert first.digests.of(moved) == first.found["a.wav"]
    spoilt = tmp_path / "first/b.wav"
    spoilt.write_bytes(bytes(len(content)))
    assert first.digests.of(spoilt) == digest_of(spoilt)  # it was written to since
    large = Large({"a.wav": (first.found["a.wav"], moved), "b.wav": (first.found["b.wav"], spoilt)})
    unpack("a.zip", archive, again, Report(), lambda _done, _total: None, large=large)
    assert [(again / name).samefile(kept) for name, kept in (("a.wav", moved), ("b.wav", spoilt))] == [True, False]
    assert [(again / name).read_bytes() for name in ("a.wav", "b.wav", "c.md")] == [content, content[::-1], b"words"]
    assert large.found == first.found


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_archives_are_laid_out_and_links_in_them_are_named(tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("a.tar.gz" if mode.endswith("gz") else "a.tar")
    with tarfile.open(name, mode) as archive:  # type: ignore[call-overload]  # the mode is one of two
        member = tarfile.TarInfo("course.md")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"words"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            link = tarfile.TarInfo(f"link-{kind.decode()}.md")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    assert taken(name, tmp_path / "out") == ({"course.md": b"words"}, ["symlink"] * 4)


def test_a_link_in_a_zip_is_named_and_not_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("secret.md")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("course.md", "words")
    assert taken(tmp_path / "a.zip", tmp_path / "out") == ({"course.md": b"words"}, ["symlink"])


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_out_are_refused(name: str) -> None:
    report = Report()
    assert safe_path(name, report) is None
    assert [row.code for row in report.rows] == ["path_outside"]


def test_a_file_without_a_name_is_told_as_that() -> None:
    report = Report()
    assert safe_path("", report) is None
    assert [(row.code, row.message) for row in report.rows] == [("name_odd", "The archive holds a file without a name.")]


@pytest.mark.parametrize("name", ["../outside.md", "/abs.md", "..\\up.md", "C:\\x.md"])
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    found, codes = taken(zipped(tmp_path / "a.zip", {name: b"evil", "course.md": b"words"}), tmp_path / "out")
    assert (found, codes) == ({"course.md": b"words"}, ["path_outside"])
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "a.zip", tmp_path / "out", tmp_path / "out" / "course.md"}


def test_a_bomb_ends_early_and_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "FREE_BYTES", 100_000)
    archive = zipped(tmp_path / "a.zip", {f"{n}.md": bytes(5_000_000) for n in range(5)})
    found, codes = taken(archive, tmp_path / "out")
    assert (found, codes) == ({}, ["archive_too_large"])
    assert list((tmp_path / "out").iterdir()) == []  # its list of files told so


def test_an_archive_that_lies_about_sizes_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "FREE_BYTES", 1_000)
    archive = zipped(tmp_path / "a.zip", {"a.md": bytes(3_000_000)})
    raw = bytearray(archive.read_bytes())
    directory = raw.rfind(b"PK\x01\x02")
    raw[22:26] = raw[directory + 24 : directory + 28] = struct.pack("<I", 10)  # ten bytes, it says
    archive.write_bytes(raw)
    assert taken(archive, tmp_path / "out") == ({}, ["archive_broken"])
    assert (tmp_path / "out" / "a.md").stat().st_size <= 10


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """David Fifield's bomb: many entries of the directory point at the same packed bytes."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    kernel = packed.compress(bytes(100_000)) + packed.flush()
    crc = zlib.crc32(bytes(100_000))
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(kernel), 100_000, 4, 0) + b"a.md"
    body = head + kernel
    rows = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(kernel), 100_000, 4, 0, 0, 0, 0, 0, 0) + name
        for name in (b"a.md", b"b.md", b"c.md")
    )
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 3, 3, len(rows), len(body), 0)
    (tmp_path / "a.zip").write_bytes(body + rows + end)
    assert taken(tmp_path / "a.zip", tmp_path / "out") == ({}, ["overlapping"])


def test_too_many_files_are_refused_before_any_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 10)
    archive = zipped(tmp_path / "a.zip", {f"{n}.md": b"" for n in range(11)})
    assert taken(archive, tmp_path / "out") == ({}, ["too_many_files"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_locked_archive_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"course.md": b"words"})
    raw = bytearray(archive.read_bytes())
    directory = raw.rfind(b"PK\x01\x02")
    raw[6] |= 1
    raw[directory + 8] |= 1
    archive.write_bytes(raw)
    assert taken(archive, tmp_path / "out") == ({}, ["encrypted"])


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.97])
def test_a_cut_off_archive_is_refused(tmp_path: Path, keep: float) -> None:
    for name, archive in (("a.zip", zipped(tmp_path / "whole.zip", {"a.md": b"words" * 1000, "b.md": bytes(range(256)) * 99})),):
        (tmp_path / name).write_bytes(archive.read_bytes()[: int(archive.stat().st_size * keep)])
        assert taken(tmp_path / name, tmp_path / "out") == ({}, ["archive_broken"])


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.md": bytes(range(256)) * 40}, kind=zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[500] ^= 0xFF
    archive.write_bytes(raw)
    assert taken(archive, tmp_path / "out") == ({}, ["archive_broken"])


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    for name in ("a.zip", "b.tar", "c.tar.gz"):
        (tmp_path / name).write_bytes(b"%PDF-1.7 not an archive")
        assert taken(tmp_path / name, tmp_path / f"out-{name}") == ({}, ["archive_broken"])


def test_two_files_of_one_name_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.md", "first")
        archive.writestr("A.md", "second")
    assert taken(tmp_path / "a.zip", tmp_path / "out") == ({"a.md": b"first"}, ["name_twice"])


def test_names_come_in_composed_and_in_utf8_even_without_the_mark(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("u\u0308bung.md", "decomposed, as a Mac writes it")
    raw = (tmp_path / "a.zip").read_bytes().replace(b"\x00\x08", b"\x00\x00")  # the mark for UTF-8 taken away, as some programs forget it
    (tmp_path / "a.zip").write_bytes(raw)
    found, codes = taken(tmp_path / "a.zip", tmp_path / "out")
    assert (list(found), codes) == (["übung.md"], [])


def test_what_systems_add_is_left_out(tmp_path: Path) -> None:
    files = {"__MACOSX/._a.md": b"x", ".DS_Store": b"x", "course/.git/config": b"x", "course/course.md": b"words"}
    assert taken(zipped(tmp_path / "a.zip", files), tmp_path / "out") == ({"course/course.md": b"words"}, [])


def test_one_folder_around_everything_is_lifted(tmp_path: Path) -> None:
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "course.md").write_text("words")
    (tmp_path / "__MACOSX").mkdir()
    assert lift_single_folder(tmp_path) == tmp_path / "outer" / "inner"
    (tmp_path / "outer" / "note.md").write_text("words")
    assert lift_single_folder(tmp_path) == tmp_path / "outer"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_ends_without_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = tmp_path_factory.mktemp("damage")
    suffix = data.draw(st.sampled_from([".zip", ".tar", ".tar.gz"]))
    whole = place / f"whole{suffix}"
    if suffix == ".zip":
        zipped(whole, {"course.md": b"words " * 50, "a/b.md": bytes(range(256))})
    else:
        with tarfile.open(whole, "w:gz" if suffix.endswith("gz") else "w") as archive:  # type: ignore[call-overload]  # as above
            member = tarfile.TarInfo("course.md")
            member.size = 300
            archive.addfile(member, io.BytesIO(b"words " * 50))
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    broken = place / f"broken{suffix}"
    broken.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    found, codes = taken(broken, place / "out")
    assert all((place / "out" / path).resolve().is_relative_to(place / "out") for path in found)
    assert found or codes or suffix != ".zip"
