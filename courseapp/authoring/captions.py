"""Captions: WebVTT is looked through, line by line; SubRip (.srt), which telephones and speech programs write, becomes WebVTT."""

import re
from dataclasses import dataclass

from courseapp.authoring.report import Report, Severity
from courseapp.catalog.captions import unescaped

TIME = r"(?:(\d{1,4}):)?([0-5]\d):([0-5]\d)[.,](\d{3})"
TIMING = re.compile(rf"^\s*{TIME}\s+-->\s+{TIME}(.*)$")
TAG = re.compile(r"</?(?:b|i|u|font)(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
SETTING = re.compile(r"^(?:vertical|line|position|size|align|region):[\w.,%-]+$")


@dataclass(frozen=True)
class Cue:
    """Words shown from one moment to another, in thousandths of a second."""

    start: int
    end: int
    words: tuple[str, ...]
    settings: str = ""


def prepare_captions(content: bytes, suffix: str, path: str, report: Report) -> bytes | None:
    """The captions as WebVTT, written anew; None, with the lines reported, where they cannot be shown as they stand."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        report.error("captions_encoding", path, line, "The captions are not UTF-8 text.", "Save them again as UTF-8.")
        return None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd").split("\n")
    if lines[0].startswith("WEBVTT"):  # whatever it is called
        suffix = ".vtt"
    before = report.count(Severity.ERROR)
    cues = _cues_of(lines, suffix, path, report)
    if not cues and report.count(Severity.ERROR) == before:
        report.error("captions_empty", path, 0, "There are no captions in the file.", "Each needs a line such as 00:01.000 --> 00:04.000.")
    if report.count(Severity.ERROR) > before:
        return None
    _warn_of_order(cues, path, report)
    return _written([cue for _line, cue in cues]).encode()


def _cues_of(lines: list[str], suffix: str, path: str, report: Report) -> list[tuple[int, Cue]]:
    cues: list[tuple[int, Cue]] = []
    if suffix == ".vtt" and not re.match(r"WEBVTT(?:[ \t].*)?$", lines[0]):
        report.error("captions_head", path, 1, "The first line is not WEBVTT.", "Begin the file with the line WEBVTT, then an empty line.")
        return []
    number = 1 if suffix == ".vtt" else 0
    while number < len(lines):
        first, block = number, list[str]()
        while number < len(lines) and lines[number].strip():
            block.append(lines[number])
            number += 1
        number += 1
        if block and not (suffix == ".vtt" and re.match(r"(?:NOTE|STYLE|REGION)(?:\s|$)", block[0])) and len(cues) < 50_000:
            found = _cue_of(block, first + 1, suffix, path, report)
            cues += [(first + 1, found)] if found else []
    return cues


def _cue_of(block: list[str], line: int, suffix: str, path: str, report: Report) -> Cue | None:
    place = next((index for index, text in enumerate(block[:2]) if "-->" in text), None)
    if place is None:
        if line > 1 or suffix == ".srt":  # what stands right below WEBVTT belongs to the head
            report.error("captions_broken", path, line, "This has no time.", "Put a line such as 00:01.000 --> 00:04.000 above its words.")
        return None
    found = TIMING.match(block[place])
    if found is None:
        said = f"The time “{block[place].strip()[:60]}” cannot be read."
        report.error("captions_broken", path, line + place, said, "Write 00:01.000 --> 00:04.000.")
        return None
    start, end = _moment(found.groups()[:4]), _moment(found.groups()[4:8])
    if end <= start:
        said, mend = "The words would end before they begin.", "Let the second time be later than the first."
        report.error("captions_broken", path, line + place, said, mend)
        return None
    settings = " ".join(part for part in found[9].split() if SETTING.match(part)) if suffix == ".vtt" else ""
    words = block[place + 1 :]
    if suffix == ".srt":
        words = [unescaped(TAG.sub("", text)) for text in words]
        words = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in words]
    return Cue(start, end, tuple(text.replace("-->", "--&gt;") for text in words), settings)


def _warn_of_order(cues: list[tuple[int, Cue]], path: str, report: Report) -> None:
    latest = 0
    for line, cue in cues:
        if cue.start < latest:
            report.warn(
                "captions_order", path, line, "These words begin before those above them.", "Put the captions in the order of time."
            )
            return
        latest = cue.start


def _moment(parts: tuple[str | None, ...]) -> int:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def _written(cues: list[Cue]) -> str:
    blocks = ["WEBVTT"]
    for cue in cues:
        head = f"{_clock(cue.start)} --> {_clock(cue.end)} {cue.settings}".strip()
        blocks.append("\n".join([head, *cue.words]))
    return "\n\n".join(blocks) + "\n"


def _clock(moment: int) -> str:
    seconds, thousandths = divmod(moment, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"
