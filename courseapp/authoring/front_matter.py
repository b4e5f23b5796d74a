"""A file's front matter: YAML read with care, and its values as clean ones, each wrong one reported with its line."""

import codecs
import difflib
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import yaml
from babel import Locale, UnknownLocaleError

from courseapp.authoring.report import MOST_ALIKE, Report

if TYPE_CHECKING:  # as in reading.py
    from courseapp.authoring.receiving import SourceFile

LARGEST_TEXT = 200_000  # bytes of a lesson: some 30,000 words, and more than anybody reads in one
LONGEST_LINE = 20_000  # letters; what looks for quotation marks and links takes longer with the square of it
LARGEST_FRONT = 50_000  # letters of front matter
LONGEST_NUMBER = 1_000  # digits and signs
DEEPEST = 20  # lists within lists; no field has more than two
KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
FENCED = re.compile(r"---\n(.*?\n)---[ \t]*(?:\n|$)", re.DOTALL)  # front matter at the head of a text
BROKEN = (  # what libyaml says, what that means for whoever wrote the file, and how to mend it
    (
        "mapping values are not allowed",
        "there is a colon where none may be",
        "Put text with a colon in it between double quotes, and begin each field at the edge of its line.",
    ),
    ("unexpected end of stream", "a quotation mark is opened and never closed", "Close it at the end of the same line."),
    (
        "expected key",
        "something stands behind the end of a value",
        "Put the whole text between double quotes, with “ ” or ’ inside it.",
    ),
    (
        "cannot start any token",
        "a value begins with a sign that means something else here",
        "Put text that begins with @, %, ` or a tab between double quotes.",
    ),
    ("expected ',' or", "a bracket is opened and not closed", "Put text with brackets in it between double quotes."),
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # no database, page or paper takes them


@dataclass(frozen=True)
class Front:
    """A file's front matter and body, with the lines its fields stand on."""

    file: str
    values: dict[str, Any]
    lines: dict[str, int]
    body: str
    body_line: int

    def line(self, name: str) -> int:
        """The line of a field, or the first."""
        return self.lines.get(name, 1)


def read_front(file: "SourceFile", known: set[str], report: Report) -> Front | None:
    """A file's front matter and body; None, with the reason reported, where it cannot be read."""
    text = words_of_file(file.content(), file.path, report)
    if text is None:
        return None
    if odd := CONTROL.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        words = f"There is a character here that cannot be shown (U+{ord(odd.group()):04X})."
        report.error("control_character", file.path, line, words, "Delete it, and type the words around it anew.")
        return None
    found = FENCED.match(text)
    if found is None:
        report.error(
            "front_missing",
            file.path,
            1,
            "The file does not begin with front matter.",
            "Begin it with a line ---, the fields, and another line ---.",
        )
        return None
    values = read_fields(found.group(1), file.path, report)
    if values is None:
        return None
    lines = {
        m.group(1): number for number, line in enumerate(found.group(1).split("\n"), start=2) if (m := re.match(r"([\w-]+)\s*:", line))
    }
    for name in [name for name in map(str, values) if name not in known][:MOST_ALIKE]:
        near = difflib.get_close_matches(name[:40], known, 1)
        mend = f"Did you mean “{near[0]}”?" if near else f"Known are: {', '.join(sorted(known))}."
        report.warn("field_unknown", file.path, lines.get(name, 1), f"The field “{name}” is not known and was left out.", mend)
    return Front(file.path, values, lines, text[found.end() :], text[: found.end()].count("\n") + 1)


def words_of_file(content: bytes, path: str, report: Report) -> str | None:
    """A text file's words, with plain line ends. What older editors write is read too, and said; None, said too, where nothing fits
    or where it is too long.

    Windows-1252 is only guessed where no byte could be UTF-8: a file that is UTF-8 in one place is damaged in the other.
    """
    mend = "Look whether letters such as é and quotation marks are right. Saving it as UTF-8 ends this message."
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name, encoding = "UTF-16", "utf-16"
    else:
        name, encoding = "UTF-8", "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        has_utf8 = re.search(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", content)
        if encoding == "utf-16" or has_utf8 or re.search(rb"[\x00-\x08\x81\x8d\x8f\x90\x9d]", content):
            report.error("not_utf8", path, 0, f"The file is not {name} text (byte {error.start}).", "Save it again as UTF-8.")
            return None
        name, text = "Windows-1252", content.decode("cp1252")
    if name != "UTF-8":
        report.warn("not_utf8_read", path, 0, f"The file is not UTF-8; it was read as {name}.", mend)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return None if is_too_long(text, path, report) else text


def is_too_long(text: str, file: str, report: Report) -> bool:
    """Whether a text, or a line of it, is longer than can be looked through in good time; that is reported."""
    if (size := len(text.encode("utf-8", "replace"))) > LARGEST_TEXT:
        words = f"The text has {size:,} bytes; {LARGEST_TEXT:,} is the most."
        report.error("text_too_long", file, 0, words, "Split it into two lessons.")
        return True
    long = [(number, len(line)) for number, line in enumerate(text.split("\n"), start=1) if len(line) > LONGEST_LINE]
    for number, length in long:
        words = f"This line has {length:,} letters; {LONGEST_LINE:,} is the most."
        report.error("line_too_long", file, number, words, "Divide it into paragraphs, with an empty line between them.")
    return bool(long)


class _PlainLoader(yaml.CSafeLoader):
    """YAML read by libyaml, in an eighth of the time; without a number that has no end."""

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """A whole number that can be written down again; 1:59:59 is one too, and takes the longer the longer it is."""
        if len(node.value) > LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem=f"it holds a number of {len(node.value):,} digits", problem_mark=node.start_mark)
        number: int = self.construct_yaml_int(node)
        return number


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_number)


def _refuse_not_plain(text: str) -> None:
    """Raises where something refers to another place, for a few lines of that can stand for gigabytes, or is nested without end."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="it refers to another place (*…)", problem_mark=event.start_mark)  # type: ignore[arg-type]  # libyaml's marks are no yaml.Mark
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="a bracket is opened in a bracket too many times", problem_mark=event.start_mark)  # type: ignore[arg-type]  # as above


def read_fields(text: str, path: str, report: Report) -> dict[Any, Any] | None:
    """The fields of front matter; None, with the reason reported, where it is no YAML or no fields."""
    if len(text) > LARGEST_FRONT:
        words = f"The front matter has {len(text):,} letters; {LARGEST_FRONT:,} is the most."
        report.error("front_too_long", path, 1, words, "Put what is to be read below it.")
        return None
    try:
        _refuse_not_plain(text)
        values = _PlainLoader(text).get_single_data()
    except Exception as error:  # beside YAMLError, PyYAML lets through whatever a value leads to: 2026-13-45, !!bool x, 1000 brackets
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "a value in it is none, such as a day that is in no calendar"
        usual = (said, "Put text with a colon or quotes in it between double quotes.")
        words, mend = next(((plain, mend) for sign, plain, mend in BROKEN if sign in said), usual)
        report.error("front_broken", path, (mark.line + 2) if mark else 1, f"The front matter cannot be read: {words}.", mend)
        return None
    if not isinstance(values, dict):
        report.error("front_broken", path, 1, "The front matter is no list of fields.", "Write one “name: value” a line.")
        return None
    return values


class Words:
    """Front matter's values as clean ones; each that is missing or wrong is reported, and a harmless one stands in."""

    def __init__(self, front: Front, report: Report) -> None:
        self._front, self._report = front, report

    def _wrong(self, name: str, message: str, mend: str) -> None:
        self._report.error(f"{name}_wrong", self._front.file, self._front.line(name), message, mend)

    def text(self, name: str, longest: int, default: str | None = None) -> str:
        """One text on one line; without a `default` it must be there."""
        value = self._front.values.get(name)
        if value is None or value == "":
            if default is None:
                self._report.error(
                    f"{name}_missing",
                    self._front.file,
                    self._front.line(name),
                    f"The field “{name}” is missing.",
                    f"Add “{name}: …” to the front matter.",
                )
            return default or ""
        if not _is_text(value):
            self._wrong(name, f"“{name}” should be one text.", "Put it on one line, between double quotes.")
            return ""
        text = " ".join(str(value).split())
        if len(text) > longest:
            self._wrong(name, f"“{name}” has {len(text)} characters; {longest} is the most.", "Shorten it.")
        return text[:longest]

    def key(self, name: str) -> str:
        """A stable id."""
        text = self.text(name, 60)
        if text and not KEY.fullmatch(text):
            self._wrong(name, f"“{text}” cannot be an id.", "Use small letters, digits and single hyphens, such as your-first-visit.")
        return text

    def number(self, name: str, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._front.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._wrong(name, f"“{name}” should be a whole number from {least} to {most}.", f"Write for example “{name}: 5”.")
            return least
        return value

    def choice(self, name: str, choices: list[str], default: str | None) -> str:
        """One of `choices`; without a `default` it must be there."""
        value = self._front.values.get(name)
        if value is None and default is not None:
            return default
        if value not in choices:
            self._wrong(name, f"“{name}” should be one of {', '.join(choices)}.", f"Write for example “{name}: {choices[0]}”.")
            return default or choices[-1]  # the strictest stands in, so that nothing opens by mistake
        return str(value)

    def list_of_text(self, name: str) -> list[str]:
        """A list of texts; empty where there is none."""
        value = self._front.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(_is_text(item) for item in value):
            self._wrong(name, f"“{name}” should be a list.", "Write each entry on a line of its own, after “- ”.")
            return []
        return [str(item) for item in value]

    def questions(self, name: str) -> list[dict[str, str]]:
        """Questions with their answers."""
        value = self._front.values.get(name)
        if value is None:
            return []
        fields = {"question", "answer"}
        if not isinstance(value, list) or not all(
            isinstance(q, dict) and set(q) == fields and all(map(_is_text, q.values())) for q in value
        ):
            self._wrong(name, f"“{name}” should be a list of questions with answers.", "Write “- question: …” and below it “  answer: …”.")
            return []
        return [{"question": str(entry["question"]), "answer": str(entry["answer"])} for entry in value]

    def language(self, name: str) -> str:
        """A language's code; English where none is given."""
        text = self.text(name, 16, "en")
        try:
            Locale.parse(text, sep="-")
        except (ValueError, UnknownLocaleError):
            self._wrong(name, f"“{text}” is no language we know.", "Write a code such as en, de or pt-BR.")
            return "en"
        return text

    def day(self, name: str) -> date | None:
        """A date, or None."""
        value = self._front.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, datetime):  # a day with a time of day
            return value.date()
        if not isinstance(value, date):
            shown = f"“{str(value)[:40]}”" if _is_text(value) else f"“{name}”"
            self._wrong(name, f"{shown} is no date.", "Write it as 2026-11-22.")
            return None
        return value


def _is_text(value: object) -> bool:
    """Whether YAML read one text, or a number or date that may stand for one; not yes or no, which it makes of unquoted words."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        return False
    return not (isinstance(value, int) and value.bit_length() > 128) and not CONTROL.search(str(value))
