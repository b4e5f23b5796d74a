"""Films: played by every browser in the end, with nothing said of place or time; or told in words how to become so."""

import json
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp.authoring import films
from courseapp.authoring.boxes import BrokenBoxesError, blank, facts_of
from courseapp.authoring.films import prepare_film, prepare_sound
from courseapp.authoring.pieces import Made
from courseapp.authoring.report import Unfit

SECRETS = {"location": "+48.2000+011.5750/", "title": "Maria", "creation_time": "2026-01-02T03:04:05Z"}
NO_TELL = lambda _done, _total: None  # noqa: E731  # a name for nothing to be done


@pytest.fixture
def ffmpeg() -> None:
    """Skips, by name, where there is no ffmpeg."""
    if not films.has_ffmpeg():
        pytest.skip("FFMPEG CANNOT RUN HERE: it is not on the PATH (Debian: apt-get install ffmpeg)")


@pytest.fixture
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has none."""
    monkeypatch.setattr(films, "has_ffmpeg", lambda: False)


def filmed(target: Path, *how: str, size: str = "320x240", seconds: float = 2, sound: bool = True) -> Path:
    """A film made by ffmpeg, with what a telephone would note."""
    inputs = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=15:duration={seconds}"]
    inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"] if sound else []
    notes = [part for name, value in SECRETS.items() for part in ("-metadata", f"{name}={value}")]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *inputs, *how, *notes, str(target)], check=True, timeout=60)
    return target


def probed(location: Path) -> dict[str, Any]:
    """What ffprobe says of a file."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(location)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def prepared(location: Path, tell: Callable[[int, int], None] = NO_TELL) -> list[Made]:
    """What a film became."""
    place = location.with_suffix(".pieces")
    place.mkdir()
    return prepare_film(location, location.suffix, place, tell)


H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
SOURCES = {
    "plays.mp4": H264,
    "hevc.mov": ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-c:a", "aac"),
    "old.mkv": ("-c:v", "mpeg4", "-c:a", "mp3"),
    "ten-bits.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-c:a", "aac"),
}


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("name", SOURCES)
def test_what_a_telephone_films_plays_everywhere_in_the_end(tmp_path: Path, name: str) -> None:
    film, still = prepared(filmed(tmp_path / name, *SOURCES[name]))
    found = probed(film.location)
    assert film.media_type == "video/mp4"
    assert [(stream["codec_name"], stream.get("pix_fmt")) for stream in found["streams"]] == [("h264", "yuv420p"), ("aac", None)]
    assert float(found["format"]["duration"]) == pytest.approx(2, abs=0.2)
    assert facts_of(film.location).starts_at_once
    assert (still.media_type.partition("/")[0], still.width, still.height) == ("image", 320, 240)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("name", ["plays.mp4", "hevc.mov"])
def test_where_and_when_a_film_was_made_is_not_served(tmp_path: Path, name: str) -> None:
    source = filmed(tmp_path / name, *SOURCES[name], "-movflags", "use_metadata_tags")
    assert b"Maria" in source.read_bytes()
    assert b"+48.2" in source.read_bytes()
    film = prepared(source)[0].location
    assert not [word for word in (b"Maria", b"+48.2", b"2026-01") if word in film.read_bytes()]
    assert set(probed(film)["format"].get("tags", {})) <= {"major_brand", "minor_version", "compatible_brands", "encoder"}


@pytest.mark.usefixtures("ffmpeg")
def test_what_plays_already_is_not_made_anew(tmp_path: Path) -> None:
    def frames(location: Path) -> bytes:
        command = ["ffmpeg", "-v", "error", "-i", str(location), "-map", "0:v", "-c", "copy", "-f", "framemd5", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout.partition(b"#dimensions")[2]

    source = filmed(tmp_path / "a.mp4", *H264)
    assert frames(prepared(source)[0].location) == frames(source)
    webm = filmed(tmp_path / "b.webm", "-c:v", "libvpx", "-c:a", "libopus")
    film = prepared(webm)[0]
    assert film.media_type == "video/webm"
    hashes = [[line.rpartition(b",")[2] for line in frames(one).splitlines()] for one in (film.location, webm)]
    assert hashes[0] == hashes[1]  # its times begin at nought, its pictures are the same
    assert b"Maria" not in film.location.read_bytes()


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(("size", "shown"), [("2560x1440", (1280, 720)), ("1440x2560", (720, 1280)), ("640x360", (640, 360))])
def test_a_film_is_no_larger_than_it_is_shown_and_never_blown_up(tmp_path: Path, size: str, shown: tuple[int, int]) -> None:
    how = ("-c:v", "libx264" if size != "640x360" else "mpeg4", "-preset", "ultrafast")
    film = prepared(filmed(tmp_path / "a.mp4", *how, size=size, seconds=0.4, sound=False))[0]
    picture = probed(film.location)["streams"][0]
    assert (picture["width"], picture["height"]) == shown


@pytest.mark.usefixtures("ffmpeg")
def test_how_far_a_conversion_is_is_said_and_it_can_be_stopped(tmp_path: Path) -> None:
    source = filmed(tmp_path / "a.mkv", "-c:v", "mpeg4", size="1280x720", seconds=20, sound=False)
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        if done >= 1:
            raise InterruptedError

    began = time.monotonic()
    with pytest.raises(InterruptedError):
        prepared(source, tell)
    assert told[-1][1] == 20
    assert time.monotonic() - began < 15
    assert not _children()


@pytest.mark.usefixtures("ffmpeg")
def test_a_conversion_that_takes_too_long_is_ended_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = filmed(tmp_path / "a.mkv", "-c:v", "mpeg4", size="1280x720", seconds=30, sound=False)
    monkeypatch.setattr(films, "LONGEST_WORK", 0.5)
    with pytest.raises(Unfit) as refused:
        prepared(source)
    assert (refused.value.code, "HandBrake" in refused.value.mend) == ("film_too_slow", True)
    assert not _children()


def _children() -> list[str]:
    """The programs this process has started and not waited for."""
    found = []
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        for child in (task / "children").read_text().split():
            name = Path(f"/proc/{child}/comm")
            if name.exists() and "ff" in name.read_text():
                found.append(name.read_text())
    return found


@pytest.mark.usefixtures("ffmpeg")
def test_more_output_than_is_allowed_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = filmed(tmp_path / "a.mp4", *H264, size="1280x720", seconds=4)
    monkeypatch.setattr(films, "MOST_OUTPUT", 100_000)
    with pytest.raises(Unfit):
        prepared(source)
    assert sum(file.stat().st_size for file in source.with_suffix(".pieces").iterdir()) <= 200_000


LIST = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov"])
def test_a_list_of_other_files_is_followed_nowhere(tmp_path: Path, name: str) -> None:
    """HLS and concat lists make ffmpeg open files and addresses: the kind is said to it, and it may open nothing else."""
    heard = _listener()
    secret = filmed(tmp_path / "secret.ts", "-c:v", "mpeg2video", seconds=0.4, sound=False)
    for words in (
        LIST.format(f"file://{secret}"),
        LIST.format(f"http://127.0.0.1:{heard.port}/x.ts"),
        f"ffconcat version 1.0\nfile {secret}\n",
    ):
        (tmp_path / name).write_text(words)
        shutil.rmtree(tmp_path / "a.pieces", ignore_errors=True)
        with pytest.raises(Unfit) as refused:
            prepared(tmp_path / name)
        assert refused.value.code == "film_broken"
    assert heard.count() == 0


@pytest.mark.usefixtures("ffmpeg")
def test_a_film_whose_pictures_lie_elsewhere_asks_for_nothing(tmp_path: Path) -> None:
    """MOV may refer to another file or address for its data (dref)."""
    heard = _listener()
    content = filmed(tmp_path / "a.mov", *H264).read_bytes()
    address = f"http://127.0.0.1:{heard.port}/x".encode() + b"\0"
    place = content.index(b"dref")
    assert content[place + 12 : place + 20] == struct.pack(">I4s", 12, b"url ")
    (tmp_path / "a.mov").write_bytes(
        content[: place + 20] + bytes(4) + address[: len(content) - place - 24] + content[place + 24 + len(address) :]
    )
    with pytest.raises(Unfit):
        prepared(tmp_path / "a.mov")
    assert heard.count() == 0


class _Listener:
    """A server that counts who comes."""

    def __init__(self) -> None:
        import socket

        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, self._heard = self._socket.getsockname()[1], 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                line, _address = self._socket.accept()
            except OSError:
                return
            self._heard += 1
            line.close()

    def count(self) -> int:
        """How many came; it closes."""
        time.sleep(0.1)
        self._socket.close()
        return self._heard


def _listener() -> _Listener:
    return _Listener()


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_film_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    how = H264 if name == "a.mp4" else ("-c:v", "libvpx", "-c:a", "libopus")
    source = filmed(tmp_path / name, *how)
    source.write_bytes(source.read_bytes()[: 200 if name == "a.webm" else -2000])
    with pytest.raises(Unfit) as refused:
        prepared(source)
    assert refused.value.code == "film_broken"


@pytest.mark.usefixtures("ffmpeg")
def test_sound_under_the_name_of_a_film_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", str(source)], check=True)
    with pytest.raises(Unfit, match="no picture"):
        prepared(source)


# Without ffmpeg: boxes made by hand


def box(kind: bytes, *content: bytes) -> bytes:
    """A box (ISO/IEC 14496-12, 4.2)."""
    whole = b"".join(content)
    return struct.pack(">I4s", 8 + len(whole), kind) + whole


def track(handler: bytes, codec: bytes, inside: bytes = b"") -> bytes:
    """A track of one sample entry."""
    when = struct.pack(">IIIIII", 0, 3_900_000_000, 3_900_000_001, 1, 0, 90_000)
    head = box(b"tkhd", when, bytes(52), struct.pack(">II", 640 << 16, 360 << 16))
    entry = struct.pack(">II", 0, 1) + box(codec, bytes(78), inside)
    table = box(b"stbl", box(b"stsd", entry))
    return box(b"trak", head, box(b"mdia", box(b"mdhd", when), box(b"hdlr", bytes(8), handler, bytes(13)), box(b"minf", table)))


def by_hand(*tracks: bytes, beside: bytes = b"") -> bytes:
    """A film of these tracks that says where it was made, in all the places where telephones say so."""
    place = b"+48.2000+011.5750/"
    notes = box(b"udta", box(b"\xa9xyz", place)) + box(b"meta", box(b"keys", b"com.apple.quicktime.location.ISO6709"), box(b"ilst", place))
    film = box(b"mvhd", struct.pack(">III", 0, 3_900_000_000, 3_900_000_001), bytes(88))
    return (
        box(b"ftyp", b"isom", bytes(4))
        + beside
        + box(b"moov", film, *tracks, notes)
        + box(b"uuid", bytes(16), b"Maria")
        + box(b"mdat", b"pictures")
    )


HIGH = box(b"avcC", bytes([1, 100, 0, 31]))
PICTURES, SOUND = track(b"vide", b"avc1", HIGH), track(b"soun", b"mp4a")


@pytest.mark.usefixtures("without_ffmpeg")
def test_without_ffmpeg_a_film_that_plays_comes_in_without_its_notes(tmp_path: Path) -> None:
    content = by_hand(PICTURES, SOUND)
    (tmp_path / "a.mp4").write_bytes(content)
    (film,) = prepared(tmp_path / "a.mp4")
    clean = film.location.read_bytes()
    assert (film.media_type, len(clean), clean[-8:]) == ("video/mp4", len(content), b"pictures")
    assert not [word for word in (b"+48.2", b"quicktime.location", b"Maria", struct.pack(">I", 3_900_000_000)) if word in clean]
    assert (tmp_path / "a.mp4").read_bytes() == content, "what was sent is not touched"
    assert facts_of(film.location).codecs == ["avc1", "mp4a"]


@pytest.mark.usefixtures("without_ffmpeg")
@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.mp4", by_hand(track(b"vide", b"hvc1"), SOUND), "film_unplayable"),
        ("a.mp4", by_hand(track(b"vide", b"avc1", box(b"avcC", bytes([1, 110, 0, 31]))), SOUND), "film_unplayable"),
        ("a.mp4", by_hand(PICTURES, track(b"soun", b"samr")), "film_unplayable"),
        ("a.mp4", by_hand(PICTURES, SOUND, track(b"meta", b"mebx")), "film_telling"),
        ("a.mp4", by_hand(SOUND), "wrong_content"),
        ("a.mov", by_hand(PICTURES, SOUND), "film_unplayable"),
        ("a.3gp", by_hand(track(b"vide", b"h263"), SOUND), "film_unplayable"),
        ("a.mkv", b"\x1aE\xdf\xa3", "film_unplayable"),
        ("a.mp4", by_hand(PICTURES)[:-200], "film_broken"),
        ("a.mp4", box(b"ftyp", b"heic") + box(b"meta", bytes(40)), "film_broken"),
        ("a.mp4", box(b"ftyp", b"isom") + b"<html><script>alert(1)</script></html>", "film_broken"),
    ],
)
def test_without_ffmpeg_everything_else_is_told_how_to_become_playable(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unfit) as refused:
        prepared(tmp_path / name)
    assert refused.value.code == code
    assert refused.value.mend


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack(">I4s", 8, b"moov") * 300_000,
        struct.pack(">I4sQ", 1, b"moov", 2**63),
        struct.pack(">I4s", 4, b"moov"),
        box(b"moov", *[box(b"trak") * 10] * 30_000),
        struct.pack(">I4s", 0, b"moov") * 1000,
    ],
    ids=["empty", "many", "endless", "too small", "crowded", "nested"],
)
def test_boxes_made_to_trouble_their_reader_are_refused_quickly(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    began = time.process_time()
    with pytest.raises(BrokenBoxesError):
        facts_of(tmp_path / "a.mp4")
    assert time.process_time() - began < 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=5)), min_size=1, max_size=4))
def test_whatever_is_broken_in_a_film_its_size_stays_and_the_reader_answers(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[tuple[int, bytes]]
) -> None:
    content = bytearray(by_hand(PICTURES, SOUND))
    for place, rubbish in breaks:
        place %= len(content)
        content[place : place + len(rubbish)] = rubbish[: len(content) - place]
    file = tmp_path_factory.mktemp("boxes") / "a.mp4"
    file.write_bytes(bytes(content))
    try:
        blank(file, facts_of(file))
    except BrokenBoxesError:
        return
    assert file.stat().st_size == len(content)


# Sound


def sounded(folder: Path, name: str, content: bytes) -> bytes:
    """What a recording is served as."""
    (folder / name).write_bytes(content)
    made = prepare_sound(folder / name, Path(name).suffix, folder)
    return made[0].location.read_bytes() if made else content


FRAMES = b"\xff\xfb\x90\x00" + bytes(400)


def test_an_mp3_loses_its_tags_and_nothing_else(tmp_path: Path) -> None:
    before = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 72]) + b"Maria".ljust(200)
    assert sounded(tmp_path, "a.mp3", before + FRAMES + b"TAG" + b"Maria".ljust(125)) == FRAMES
    assert sounded(tmp_path, "b.mp3", before + before + FRAMES) == FRAMES
    assert sounded(tmp_path, "c.mp3", FRAMES) == FRAMES
    with pytest.raises(Unfit):
        sounded(tmp_path, "d.mp3", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + FRAMES)


def test_a_voice_memo_loses_where_and_when_it_was_made(tmp_path: Path) -> None:
    clean = sounded(tmp_path, "a.m4a", by_hand(SOUND))
    assert b"+48.2" not in clean
    assert b"Maria" not in clean
    assert clean.endswith(b"pictures")
    with pytest.raises(Unfit, match="film"):
        sounded(tmp_path, "b.m4a", by_hand(PICTURES, SOUND))
    with pytest.raises(Unfit):
        sounded(tmp_path, "c.m4a", b"\0\0\0\x0cftypM4A <html>")
