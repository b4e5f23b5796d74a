"""What is said in a film, as paragraphs to read, made of its captions (WebVTT, https://www.w3.org/TR/webvtt1/)."""

import re
from html import unescape

PAUSE = 3.0  # seconds of silence that begin a new paragraph
LONG = 500  # characters after which the next sentence begins one
_TIMES = re.compile(r"^\s*((?:\d+:)?\d\d:\d\d\.\d{3})\s+-->\s+((?:\d+:)?\d\d:\d\d\.\d{3})(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")
_NUMBERED = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
_TAG = re.compile(r"<[^<>]*>")  # of no text does it look at a letter twice for each bracket


def transcript_of(captions: str) -> tuple[str, ...]:
    """The paragraphs of a WebVTT file; of what is none, none.

    Notes, styles, cue names and positions are left out. Who speaks is named where that changes. A line that a cue repeats from
    the one before, as rolling captions do, stands once.
    """
    paragraphs: list[str] = []
    ended, speaker, last = 0.0, "", ""
    for begins, ends, lines in _cues(captions):
        for line in lines:
            voice = _VOICE.search(line)
            said_by = _plain(voice.group(1)) if voice else speaker
            words = _plain(line)
            if not words or words == last:
                continue
            before = paragraphs[-1] if paragraphs else ""
            is_long = len(before) > LONG and before.endswith((".", "!", "?"))
            if not before or is_long or said_by != speaker or begins - ended > PAUSE:
                paragraphs.append(f"{said_by}: {words}" if said_by and said_by != speaker else words)
            else:
                paragraphs[-1] += f" {words}"
            speaker, last = said_by, words
            ended = max(ended, ends)
    return tuple(paragraphs)


def unescaped(text: str) -> str:
    """Text with letters in the place of their names and numbers; a number without end stands for none."""
    return unescape(_NUMBERED.sub("\N{REPLACEMENT CHARACTER}", text))


def _cues(captions: str) -> list[tuple[float, float, list[str]]]:
    """Each cue: when it begins and ends in seconds, and its lines."""
    text = captions.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("WEBVTT"):
        return []
    found = []
    for block in re.split(r"\n{2,}", text)[1:]:
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines[:2]):  # above the times there may be a name
            if times := _TIMES.match(line):
                found.append((_seconds(times.group(1)), _seconds(times.group(2)), lines[number + 1 :]))
                break
    return found


def _seconds(stamp: str) -> float:
    total = 0.0
    for part in stamp.split(":"):
        total = total * 60 + float(part)
    return total


def _plain(line: str) -> str:
    return " ".join(unescaped(_TAG.sub("", line)).split())
