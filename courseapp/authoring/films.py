"""Films and sound: what browsers play is kept, without what a telephone notes beside it; the rest is converted where ffmpeg is there.

The one door to ffmpeg. It reads a file whose kind we have found out ourselves, may open nothing else (neither network nor other
files), is slowed down, bounded in time, output and memory, and ends with the process that started it.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from courseapp.authoring.boxes import BrokenBoxesError, blank, facts_of
from courseapp.authoring.pieces import Made
from courseapp.authoring.report import Unfit

RECIPE = "film-1"
FILMS = {".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm"}
DEMUXERS = {".webm": "matroska", ".mkv": "matroska"}  # all others are boxes
SOUNDS = {"aac", "mp3"}
SHORT_SIDE = 720  # of what is converted; a film that plays as it is may have SHORT_SIDE_KEPT
SHORT_SIDE_KEPT = 1080
LONGEST_WORK = 1800  # seconds of one conversion; the task has 3000 for everything
LONGEST_SILENCE = 90  # seconds without a word on progress
MOST_OUTPUT = 1_000_000_000  # bytes
SPARE = 20_000_000  # bytes; with less on the disk it is the disk's fault, not the film's
MOST_MEMORY = 4_000_000_000  # address space; decoding 4K takes about a gigabyte of it
HOW_TO = (
    "Convert it to MP4 with H.264 and AAC, such as with HandBrake (preset “Fast 720p30”). "
    "On an iPhone: Settings → Camera → Formats → Most Compatible, before filming."
)
PLAYED_PROFILES = {66, 77, 88, 100}  # H.264: baseline, main, extended, high (14496-10, Annex A)

Tell = Callable[[int, int], None]
"""Told how many of how many seconds are done; may raise to stop."""


@dataclass(frozen=True)
class Film:
    """What a film is made of."""

    duration: float
    video: str | None
    audio: str | None
    short_side: int
    is_plain: bool  # eight bits, in the one arrangement of colours that all browsers play


def has_ffmpeg() -> bool:
    """Whether films can be converted here."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


def recipe() -> str:
    """What a film would be made by here; another where ffmpeg has come or gone."""
    return RECIPE if has_ffmpeg() else f"{RECIPE}-without"


def prepare_film(location: Path, suffix: str, folder: Path, tell: Tell) -> list[Made]:
    """The files a film is served as, written to `folder`: the film, and a still where ffmpeg could make one. Raises Unfit, in words."""
    if suffix not in DEMUXERS:
        _refuse_other_than_film(location)
    if not has_ffmpeg():
        return [_kept_as_it_is(location, suffix, folder)]
    film = _probed(location, suffix)
    is_webm = suffix == ".webm" and film.video in {"vp8", "vp9", "av1"} and film.audio in {"opus", "vorbis", None}
    is_mp4 = suffix not in DEMUXERS and film.video == "h264" and film.is_plain and film.audio in {*SOUNDS, None}
    target = folder / ("film.webm" if is_webm else "film.mp4")
    if (is_webm or is_mp4) and film.short_side <= SHORT_SIDE_KEPT:
        how = ["-c", "copy"]
    else:
        target, how = folder / "film.mp4", _conversion()
    command = [*_reading(location, suffix), "-map", "0:v:0", "-map", "0:a:0?", "-sn", "-dn", *how, *_writing(target)]
    _run(command, film.duration, tell)
    made = _probed(target, target.suffix)  # what was written can be read, and is not empty
    if made.duration < film.duration * 0.9 - 2:
        raise Unfit("film_broken", "The film is damaged or cut off.", HOW_TO)
    return [Made("", f"video/{target.suffix[1:]}", target), *_still_of(target, folder, film.duration)]


def prepare_sound(location: Path, suffix: str, folder: Path) -> list[Made]:
    """Sound without what is noted beside it (name, place, pictures): M4A in place, MP3 by leaving its tags; [] where there is nothing."""
    target = folder / f"sound{suffix}"
    if suffix == ".m4a":
        try:
            facts = facts_of(location)
        except BrokenBoxesError as error:
            raise Unfit("sound_broken", "The recording is damaged, or is something else.", "Save it again as M4A or MP3.") from error
        if set(facts.codecs) & {"avc1", "hvc1", "hev1"}:
            raise Unfit("wrong_content", "This is a film, not a recording.", "Name it “.mp4”.")
        if not facts.telling:
            return []
        shutil.copyfile(location, target)
        blank(target, facts)
        return [Made("", "audio/mp4", target)]
    if suffix == ".mp3" and (span := _span_without_tags(location)) is not None:
        with location.open("rb") as source, open(target, "wb") as file:
            source.seek(span[0])
            left = span[1] - span[0]
            while left and (piece := source.read(min(left, 1024 * 1024))):
                left -= file.write(piece)
        return [Made("", "audio/mpeg", target)]
    return []


def _span_without_tags(location: Path) -> tuple[int, int] | None:
    """Where an MP3's sound begins and ends; None where it has no tags (ID3v2 before it: id3.org, 2.4.0 §3.1; ID3v1: the last 128 bytes)."""
    with location.open("rb") as file:
        end = whole = file.seek(0, 2)
        start = 0
        for _tag in range(8):
            file.seek(start)
            head = file.read(10)
            if len(head) < 10 or head[:3] != b"ID3":
                break
            size = (head[6] & 0x7F) << 21 | (head[7] & 0x7F) << 14 | (head[8] & 0x7F) << 7 | head[9] & 0x7F
            start += 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(max(0, end - 128))
        end -= 128 if file.read(3) == b"TAG" else 0
    if (start, end) == (0, whole):
        return None
    if start >= end:
        raise Unfit("sound_broken", "The recording holds nothing but notes about itself.", "Save it again as MP3.")
    return start, end


def _refuse_other_than_film(location: Path) -> None:
    try:
        facts = facts_of(location)
    except BrokenBoxesError as error:
        raise Unfit("film_broken", "The film is damaged or cut off, or is no film at all.", HOW_TO) from error
    if "vide" not in facts.tracks:
        raise Unfit("wrong_content", "There is no picture in this film.", "Sound alone is named “.m4a” or “.mp3”.")


def _kept_as_it_is(location: Path, suffix: str, folder: Path) -> Made:
    """Without ffmpeg: what browsers play, with its notes blanked; all else is told how to become so."""
    if suffix == ".webm":
        return Made("", "video/webm", location)
    without = "This server cannot convert films."
    if suffix not in {".mp4", ".m4v"}:
        raise Unfit("film_unplayable", f"Browsers do not play “{suffix}” films. {without}", HOW_TO)
    facts = facts_of(location)
    video = [codec for codec, track in zip(facts.codecs, facts.tracks, strict=False) if track == "vide"]
    sounds = [codec for codec, track in zip(facts.codecs, facts.tracks, strict=False) if track == "soun"]
    if video != ["avc1"] or facts.profile not in PLAYED_PROFILES or set(sounds) - {"mp4a", ".mp3"}:
        words = f"Most browsers do not play this film ({', '.join(sorted(set(facts.codecs)))}). {without}"
        raise Unfit("film_unplayable", words, HOW_TO)
    if set(facts.tracks) - {"vide", "soun"}:
        words = f"The film holds more than picture and sound, which may tell where it was made. {without}"
        raise Unfit("film_telling", words, HOW_TO)
    target = folder / "film.mp4"
    shutil.copyfile(location, target)
    blank(target, facts)
    return Made("", "video/mp4", target)


def _probed(location: Path, suffix: str) -> Film:
    wanted = "stream=codec_type,codec_name,width,height,pix_fmt:format=duration"
    command = ["ffprobe", "-v", "error", "-protocol_whitelist", "file", "-f", DEMUXERS.get(suffix, "mov")]
    command += ["-show_entries", wanted, "-of", "json", f"file:{location}"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=60, check=True, stdin=subprocess.DEVNULL, preexec_fn=_bounded)  # noqa: S603  # fixed words and a name of our own making; the child bounds itself
        found = json.loads(answer.stdout)
        videos = [stream for stream in found["streams"] if stream.get("codec_type") == "video"]
        sounds = [stream for stream in found["streams"] if stream.get("codec_type") == "audio"]
        if not videos:
            raise ValueError("no picture")
        first = videos[0]
        sides = (int(first.get("width") or 0), int(first.get("height") or 0))
        duration = float(found["format"].get("duration") or 0)
        is_plain = first.get("pix_fmt") in {"yuv420p", "yuvj420p"}
        return Film(duration, first.get("codec_name"), sounds[0].get("codec_name") if sounds else None, min(sides), is_plain)
    except (subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise Unfit("film_broken", "The film is damaged or cut off, or is no film at all.", HOW_TO) from error


def _reading(location: Path, suffix: str) -> list[str]:
    quiet = ["-nostdin", "-hide_banner", "-v", "error", "-y", "-progress", "pipe:1", "-nostats"]
    # the demuxer is said, so that a list of other files under a film's name is not followed; nothing but files is opened
    return ["ffmpeg", *quiet, "-protocol_whitelist", "file", "-f", DEMUXERS.get(suffix, "mov"), "-i", f"file:{location}"]


def _conversion() -> list[str]:
    side = SHORT_SIDE
    scale = f"scale='if(gt(iw,ih),-2,min({side},trunc(iw/2)*2))':'if(gt(iw,ih),min({side},trunc(ih/2)*2),-2)'"
    picture = ["-vf", scale, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-profile:v", "high", "-pix_fmt", "yuv420p"]
    return [*picture, "-fpsmax", "30", "-threads", "2", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"]


def _writing(target: Path) -> list[str]:
    bare = ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    start = ["-movflags", "+faststart"] if target.suffix == ".mp4" else []
    return [*bare, *start, "-fs", str(MOST_OUTPUT), "-f", target.suffix[1:], f"file:{target}"]


def _still_of(film: Path, folder: Path, duration: float) -> list[Made]:
    """A picture to show before the film plays; none where none can be made, for the film is worth more than its still."""
    from courseapp.authoring.pictures import prepare_picture

    shot = folder / "still.png"
    at = ["-ss", f"{min(1.0, duration / 2):.2f}"]
    command = _reading(film, film.suffix)
    try:
        _run([*command[:-2], *at, *command[-2:], "-frames:v", "1", "-f", "image2", f"file:{shot}"], 0, lambda _done, _total: None)
        still = folder / "still"
        still.mkdir()
        pieces = prepare_picture(shot, ".png", still)
    except (Unfit, OSError):
        return []
    best = pieces[-1]
    return [Made(f"poster{best.location.suffix}", best.media_type, best.location, best.width, best.height)]


def _run(command: Sequence[str], duration: float, tell: Tell) -> None:
    """Run ffmpeg to its end, passing on how far it is; whatever happens it does not outlive this call."""
    process = subprocess.Popen(  # noqa: S603  # fixed words and names of our own making
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_bounded,  # noqa: PLW1509  # ends it with its parent, which nothing else can; the worker runs no threads here
    )
    try:
        _follow(process, duration, tell)
        if process.wait(30) != 0:
            if shutil.disk_usage(Path(command[-1].removeprefix("file:")).parent).free < SPARE:
                raise OSError(errno.ENOSPC, "No space left on device")
            raise Unfit("film_broken", "The film could not be read to its end.", HOW_TO)
    except subprocess.TimeoutExpired as error:
        raise _too_slow() from error
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _follow(process: "subprocess.Popen[bytes]", duration: float, tell: Tell) -> None:
    assert process.stdout is not None
    end, heard, rest = time.monotonic() + LONGEST_WORK, time.monotonic(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if time.monotonic() > end or time.monotonic() - heard > LONGEST_SILENCE:
                raise _too_slow()
            if selector.select(1.0):
                piece = os.read(process.stdout.fileno(), 65536)
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                heard, rest = time.monotonic(), rest[-200:]
                for line in lines:
                    name, _equals, value = line.partition(b"=")
                    if name == b"out_time_us" and value.strip().isdigit():
                        tell(min(int(int(value) / 1e6), int(duration)), int(duration))


def _too_slow() -> Unfit:
    return Unfit("film_too_slow", f"Converting the film took longer than {LONGEST_WORK // 60} minutes.", HOW_TO)


def _bounded() -> None:
    """In the child: little priority, bounded memory and output, and an end when the parent ends (prctl(2), PR_SET_PDEATHSIG = 1)."""
    os.nice(10)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
