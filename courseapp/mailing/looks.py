"""A letter as those who get it would see it, before anybody does: as one reader or another, in the light and in the dark.

A page shows it by the macro of `mailing/_previews.html`, and answers the addresses of its frames with `in_frame(html_in(…))`.
"""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from flask import Response, current_app, make_response
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.mailing.fields import filled_in, words_of_progress
from courseapp.mailing.links import url_with_token
from courseapp.mailing.text import Text, name_of_language

if TYPE_CHECKING:  # what reads letters is large
    from courseapp.mailing.problems import Problem

FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
ADDRESS = re.compile(r"(?::\n| \()https?://[^\s)]+\)?")  # as plain text has it behind the words of a link
SCHEME = "(prefers-color-scheme: dark)"


class Look(enum.StrEnum):
    """What a mail program may make of a letter."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Reader:
    """Somebody who could get a letter; `key` stands in addresses."""

    key: str
    words: LazyString | str
    first_name: str


READERS = (
    Reader("named", _l("has told us a name"), "Ada"),
    Reader("nameless", _l("has told us no name"), ""),
    Reader("long", _l("has a very long name"), "Maximiliane-Philippa Friederike Charlotte von und zu Hohenstein-Schwarzenfels"),
    Reader("script", _l("writes in another script"), "Александра"),
)


@dataclass(frozen=True)
class Choice:
    """A reader to look as, and the address of the page that does."""

    words: LazyString | str
    url: str
    is_here: bool


@dataclass(frozen=True)
class Seen:
    """All that a page shows of a letter: `frames` has the address of each look, `weight` is in bytes; `languages` where it has several,
    `language` the tag of a translation."""

    subject: str
    preheader: str
    text: str
    weight: int
    problems: "list[Problem]"
    choices: list[Choice]
    language: str | None
    languages: list[Choice]
    frames: dict[str, str]


def reader_named(key: str) -> Reader:
    """The example reader of a key in an address; the first where there is none."""
    return next((reader for reader in READERS if reader.key == key), READERS[0])


def seen_by(
    whole: Text,
    reader: Reader,
    language: str,
    problems: "list[Problem]",
    page_url: Callable[[str, str | None], str],
    frame_url: Callable[[str, str | None, str], str],
) -> Seen:
    """What a reader would get of a letter.

    Args:
        language: which they read, as an address asks for it; another than the letter has falls to that in which it was first written.
        problems: of the letter as things stand now (`problems_of_letter`).
        page_url: gives the address of the page that looks as another reader, by key and language (None for the first); `frame_url` that
            of a frame, by key, language and look.
    """
    from courseapp.mailing.message import built, weight_of  # what builds mails is large, and most web processes show none

    text = whole.in_language(language)
    asked = None if text is whole else text.language
    others = [(other.language, other.language) for other in whole.others]
    languages = [(None, whole.language), *others] if others else []
    values = values_of(reader, text.language)
    found = built(text, values)
    return Seen(
        subject=found.subject,
        preheader=filled_in(text.preheader, values),
        text=found.text,
        weight=weight_of(text),
        language=asked,
        problems=problems,
        choices=[Choice(other.words, page_url(other.key, asked), other.key == reader.key) for other in READERS],
        languages=[Choice(name_of_language(tag), page_url(reader.key, ask), ask == asked) for ask, tag in languages],
        frames={look.value: frame_url(reader.key, asked, look.value) for look in Look},
    )


def first_words(body: str, language: str, most: int = 170) -> str:
    """How a letter begins, as plain text of so many letters at most, for where several stand together."""
    from courseapp.mailing.blocks import bodies_of  # as above

    plain = bodies_of(filled_in(body, values_of(reader_named("nameless"), language)), {}, "").text
    return shorten(ADDRESS.sub("", plain), most, placeholder=" …")


def html_in(text: Text, reader: Reader, look: Look) -> str:
    """A letter's HTML held to one look, whatever the browser that shows it prefers."""
    from courseapp.mailing.message import built  # as above

    html = built(text, values_of(reader, text.language)).html
    html = html.replace(SCHEME, "all" if look is Look.DARK else "not all")
    return html.replace('content="light dark"', f'content="{look.value}"')


def values_of(reader: Reader, language: str) -> Mapping[str, str]:
    """What fills a letter of this language in for a look; its links change nobody's mails."""
    return {
        "first_name": reader.first_name,
        "continue_url": current_app.config["PUBLIC_URL"] + "/",
        "progress_words": words_of_progress(2, 12, language),
        "unsubscribe_url": url_with_token("mailing.unsubscribe", "example"),
        "preferences_url": url_with_token("mailing.preferences", "example"),
    }


def in_frame(html: str) -> Response:
    """A mail's HTML as the answer to a frame: its own styles are allowed there, and nothing else."""
    answer = make_response(html)
    answer.headers["Content-Security-Policy"] = FRAME_POLICY
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer
