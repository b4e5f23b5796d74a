"""What is wrong with a letter before anybody gets it: each with its place, its line, and how to mend it.

Everything but a warning keeps it from being published. All of it is asked of the text alone; whoever asks has looked up
what its references lead to (`references_in`), and says which fields its mails fill in.
"""

import enum
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from flask import current_app
from flask_babel import gettext as _
from markdown_it.token import Token

from courseapp.contacts.models import Purpose
from courseapp.mailing.blocks import is_of, kind_of, reader
from courseapp.mailing.dead_links import fault_of_link
from courseapp.mailing.fields import ALLOWED, ALWAYS_FILLED, FIELD, MARK, Field, fields_in, mark
from courseapp.mailing.text import LONGEST, Text, name_of_language

HEAVIEST = 100_000  # bytes of HTML: Gmail cuts a mail off at 102 KB, and with it the link that stops these mails
READABLE_SUBJECT = 78  # characters, RFC 5322, 2.1.1; telephones show half of that
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PICTURE = re.compile(r"!\[[^\]\n]*\]\(")
BOX_LINE = re.compile(r":::.*")


class Kind(enum.StrEnum):
    """What a problem is about."""

    MISSING = "missing"
    ONE_LINE = "one_line"
    CHARACTERS = "characters"
    TOO_LONG = "too_long"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_BROKEN = "field_broken"
    FIELD_EMPTY = "field_empty"
    LINK_DEAD = "link_dead"
    REFERENCE_UNKNOWN = "reference_unknown"
    PICTURE = "picture"
    BOX_UNKNOWN = "box_unknown"
    OFFER = "offer"
    HEAVY = "heavy"
    LINKS_DIFFER = "links_differ"
    LANGUAGE_TWICE = "language_twice"


class Place(enum.StrEnum):
    """Which part of a letter a problem stands in."""

    SUBJECT = "subject"
    PREHEADER = "preheader"
    BODY = "body"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, with the line from 1, what, and how to mend it. A warning does not hinder publishing.

    `language` is that of a translation; empty for the letter as it was first written.
    """

    kind: Kind
    place: Place
    line: int
    words: str
    mend: str
    is_warning: bool = False
    language: str = ""

    def __str__(self) -> str:
        where = {
            Place.SUBJECT: _("subject"),
            Place.PREHEADER: _("preheader"),
            Place.BODY: _("line %(number)s", number=self.line),
        }[self.place]
        return f"{', '.join(filter(None, (self.language_name, where)))}: {self.words} {self.mend}"

    @property
    def language_name(self) -> str:
        """What a page calls the language of a translation; empty as above."""
        return name_of_language(self.language) if self.language else ""


def problems_of_letter(text: Text, filled: Set[str] = ALWAYS_FILLED) -> list[Problem]:
    """What is wrong with a letter, by language, place and line; what it weighs only where nothing else hinders it.

    Args:
        filled: the merge fields that its mails have for everybody; the others need words for where they are empty.
    """
    found = _of_one(text, filled)
    tags = [text.language, *(other.language for other in text.others)]
    for tag in sorted({tag for tag in tags if tags.count(tag) > 1}):
        words = _("It is there twice in %(language)s.", language=name_of_language(tag))
        found.append(Problem(Kind.LANGUAGE_TWICE, Place.BODY, 1, words, _("Take one of them out, or give it another language.")))
    for other in text.others:
        found += [replace(problem, language=other.language) for problem in (*_of_one(other, filled), *_of_links(text, other))]
    return found


def _of_one(text: Text, filled: Set[str]) -> list[Problem]:
    found = []
    for place, words in ((Place.SUBJECT, text.subject), (Place.PREHEADER, text.preheader), (Place.BODY, text.body)):
        found += [*_of_words(place, words), *_of_fields(place, words, filled)]
    found += [*_of_lengths(text), *_of_body(text)]
    if not hindering(found):
        found += _of_weight(text)
    return sorted(found, key=lambda problem: (list(Place).index(problem.place), problem.line))


def hindering(problems: list[Problem]) -> list[Problem]:
    """Those that keep a letter from being published."""
    return [problem for problem in problems if not problem.is_warning]


def references_in(body: str) -> frozenset[str]:
    """What a letter refers to on this site, such as `lesson:introduction/breathing`."""
    links = (str(link.attrGet("href")) for _line, link in _links(reader(strict=False).parse(mark(body, []))))
    return frozenset(link for link in links if kind_of(link))


def _of_words(place: Place, words: str) -> Iterator[Problem]:
    if not words.strip():
        said = {
            Place.SUBJECT: (_("The subject is empty."), _("Say in a few words what the letter is for.")),
            Place.PREHEADER: (_("The preheader is empty."), _("Write the line that inboxes show after the subject.")),
            Place.BODY: (_("The text is empty."), _("Write the letter.")),
        }[place]
        yield Problem(Kind.MISSING, place, 1, *said)
    for number, line in enumerate(words.split("\n") if place is Place.BODY else [words], 1):
        if CONTROL.search(line.rstrip("\r").replace("\t", " ") if place is Place.BODY else line):
            what = _("There is a line break or another control character.")
            yield Problem(Kind.ONE_LINE, place, number, what, _("Write it on one line, and take such characters out."))
        if any("\ue000" <= character <= "\uf8ff" for character in line):
            what = _("There are private-use characters, which mail programs show as empty boxes.")
            yield Problem(Kind.CHARACTERS, place, number, what, _("Take them out, or use a usual sign in their place."))


def _of_fields(place: Place, words: str, filled: Set[str]) -> Iterator[Problem]:
    for at, field in fields_in(words):
        if field.name not in ALLOWED:
            known = ", ".join(sorted(ALLOWED))
            yield Problem(
                Kind.FIELD_UNKNOWN,
                place,
                at,
                _("There is no merge field “%(name)s”.", name=field.name),
                _("Use one of these: %(names)s.", names=known),
            )
        elif field.name not in filled and not field.default.strip():
            example = f'{{{{ {field.name} | default("…") }}}}'
            yield Problem(
                Kind.FIELD_EMPTY,
                place,
                at,
                _("For some people “%(name)s” is empty, and a gap would stand there.", name=field.name),
                _("Give it words for that: %(example)s", example=example),
            )
    for number, line in enumerate(FIELD.sub("", words).split("\n"), 1):
        if "{{" in line or "{%" in line:
            yield Problem(
                Kind.FIELD_BROKEN,
                place,
                number,
                _("A “{{” or “{%%” opens no merge field."),
                _('Write a field on one line as {{ name }} or {{ name | default("words") }}, and take other braces out.'),
            )


def _of_lengths(text: Text) -> Iterator[Problem]:
    for place, words in ((Place.SUBJECT, text.subject), (Place.PREHEADER, text.preheader)):
        if len(words) > LONGEST:
            yield Problem(
                Kind.TOO_LONG,
                place,
                1,
                _("It has %(count)s characters.", count=len(words)),
                _("Shorten it to %(most)s at most.", most=LONGEST),
            )
    shown = FIELD.sub(lambda match: match[2] or "", text.subject)
    if READABLE_SUBJECT < len(shown) <= LONGEST:
        yield Problem(
            Kind.TOO_LONG,
            Place.SUBJECT,
            1,
            _("The subject has %(count)s characters; most inboxes cut it off.", count=len(shown)),
            _("Say what matters in the first forty, and keep it under %(most)s.", most=READABLE_SUBJECT),
            is_warning=True,
        )


def _of_body(text: Text) -> Iterator[Problem]:
    fields: list[Field] = []
    marked = mark(text.body, fields)
    tokens = reader(strict=False).parse(marked)
    targets = dict(text.targets)
    may_offer = text.purpose is Purpose.MARKETING
    for line, link in _links(tokens):
        address = str(link.attrGet("href") or "")
        if (said := fault_of_link(address, fields, targets.keys())) is not None:
            yield Problem(Kind.REFERENCE_UNKNOWN if kind_of(address) else Kind.LINK_DEAD, Place.BODY, line, *said)
        if kind_of(address) == "tier" and not may_offer:
            yield _offer(line)
    for token in tokens:
        if token.type == "container_offer_open" and not may_offer:
            yield _offer(token.map[0] + 1 if token.map else 1)
        for number, words in _lines_of(token):
            if PICTURE.search(words):
                yield Problem(
                    Kind.PICTURE,
                    Place.BODY,
                    number,
                    _("Letters carry no pictures: most mail programs hide them, and those from elsewhere tell who opened the mail."),
                    _("Say it in words, or link to the page that shows it."),
                )
            if BOX_LINE.fullmatch(words):
                yield Problem(
                    Kind.BOX_UNKNOWN,
                    Place.BODY,
                    number,
                    _("“%(line)s” opens or closes no box that we know.", line=words[:40]),
                    _("A box begins with “::: note” or “::: offer” and ends with “:::”, each on a line of its own."),
                )


def _of_links(text: Text, other: Text) -> Iterator[Problem]:
    """A translation has the links of the letter in their order, for clicks are counted by their numbers; other sites may differ."""
    first, second = _addresses(text.body), _addresses(other.body)
    pairs = enumerate(zip(first, second, strict=False))
    place = next((number for number, ((_line, one), (_its, its)) in pairs if one != its), min(len(first), len(second)))
    if place == len(first) == len(second):
        return
    line = second[min(place, len(second) - 1)][0] if second else 1
    yield Problem(
        Kind.LINKS_DIFFER,
        Place.BODY,
        line,
        _("It does not have the links of the letter in %(language)s, one by one.", language=name_of_language(text.language)),
        _("Link to the same places of this site in the same order; links to other sites may lead elsewhere."),
    )


def _addresses(body: str) -> list[tuple[int, str]]:
    """The links of a letter, each with its line: where it leads to on this site, and nothing of one that leads elsewhere."""
    fields: list[Field] = []
    links = list(_links(reader(strict=False).parse(mark(body, fields))))
    found = [(line, MARK.sub(lambda match: fields[int(match[1])].name, str(link.attrGet("href") or ""))) for line, link in links]
    return [(line, "" if _is_elsewhere(address) else address) for line, address in found]


def _is_elsewhere(address: str) -> bool:
    return address.startswith(("http:", "https:", "mailto:")) and not is_of(address, current_app.config["PUBLIC_URL"])


def _offer(line: int) -> Problem:
    return Problem(
        Kind.OFFER,
        Place.BODY,
        line,
        _("This offers something that costs money, and people who get this mail did not ask for offers."),
        _("Take it out, or send it as a mail of the purpose “marketing”."),
    )


def _of_weight(text: Text) -> Iterator[Problem]:
    from courseapp.mailing.message import weight_of  # what builds mails is large, and is needed where letters are written alone

    weight = weight_of(text)
    if weight > HEAVIEST:
        yield Problem(
            Kind.HEAVY,
            Place.BODY,
            1,
            _("The letter weighs %(weight)s KB; Gmail cuts off what is beyond 102.", weight=weight // 1000),
            _("Shorten it, or put the long part on a page and link to it."),
        )


def _links(tokens: list[Token]) -> Iterator[tuple[int, Token]]:
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        for child in token.children or []:
            line += child.type in {"softbreak", "hardbreak"}
            if child.type == "link_open":
                yield line, child


def _lines_of(token: Token) -> Iterator[tuple[int, str]]:
    """The lines of a token's text as they were written, with their numbers."""
    if token.type == "inline" and token.map:
        yield from ((token.map[0] + 1 + offset, words) for offset, words in enumerate(token.content.split("\n")))
