"""What a letter says, apart from where it is kept: a draft's and a published one's alike."""

from dataclasses import dataclass

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
    """A letter's words, for what purpose it is sent, and what its references lead to."""

    language: str
    subject: str
    preheader: str
    body: str
    purpose: Purpose
    targets: tuple[tuple[str, Target], ...] = ()
