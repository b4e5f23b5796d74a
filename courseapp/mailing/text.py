"""What a letter says, apart from where it is kept: a draft's and a published one's alike."""

from dataclasses import dataclass

from babel import Locale
from flask_babel import get_locale

from courseapp.contacts.models import Purpose

LONGEST = 200  # characters of a subject or preheader


@dataclass(frozen=True)
class Target:
    """What a reference of a letter leads to: what it is called, one line about it, and its path on this site."""

    title: str
    words: str
    path: str


@dataclass(frozen=True)
class Text:
    """A letter's words, for what purpose it is sent, and what its references lead to; `others` say the same in other languages."""

    language: str
    subject: str
    preheader: str
    body: str
    purpose: Purpose
    targets: tuple[tuple[str, Target], ...] = ()
    others: tuple["Text", ...] = ()

    def in_language(self, tag: str) -> "Text":
        """What somebody gets who reads this language: the letter in it, or in its main one (`de` for `de-AT`), else as first written."""
        if not self.others or tag == self.language:
            return self
        found = {other.language: other for other in self.others}
        return found.get(tag) or found.get(tag.partition("-")[0]) or self


def name_of_language(tag: str) -> str:
    """A language as the page calls it in its own, such as “German” for `de`."""
    return Locale.parse(tag, sep="-").get_display_name(get_locale()) or tag
