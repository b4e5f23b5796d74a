"""Clicks on links of letters: a number for each link and day, and nothing of who clicked (decision 0018).

Where they are counted a link to a page of ours ends with `#from=<letter>.<number>`, the same for every reader. A browser sends that to
no server; the script of the page posts it once and takes it out of the address.
"""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

import sqlalchemy as sa
from flask import current_app

from courseapp.contacts.models import Purpose
from courseapp.extensions import db, insert_into
from courseapp.mailing.fields import MARK, Field, mark
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.models import Letter, LinkClicks
from courseapp.mailing.text import Text
from courseapp.site import Site

COUNTED = frozenset({Purpose.COURSE, Purpose.MARKETING})
LETTER = re.compile(r"[0-9a-z]{16}")
NUMBER = re.compile(r"[1-9][0-9]{0,3}")

ByDay = dict[date, int]


@dataclass(frozen=True)
class Link:
    """A link of a letter that can be counted: its number among all links, its words, and where it leads, by name where that is known."""

    number: int
    words: str
    title: str
    path: str


def are_counted(purpose: Purpose, site: Site) -> bool:
    """Whether clicks in letters of a purpose are counted as things stand. In service mail they never are."""
    return site.counts_clicks and purpose in COUNTED


def links_of(letter_id: int) -> tuple[Link, ...]:
    """The links of a published letter whose clicks can be counted, in the order of its text."""
    return links_in(kept_letter(letter_id))


def links_in(text: Text) -> tuple[Link, ...]:
    """The same of a text, published or not."""
    return _links_in(text, current_app.config["PUBLIC_URL"])


@lru_cache(maxsize=256)
def _links_in(text: Text, site: str) -> tuple[Link, ...]:
    from courseapp.mailing.blocks import counted_links, pointed, reader  # what reads letters is large, and few web processes do

    if text.purpose not in COUNTED:
        return ()
    fields: list[Field] = []
    targets = dict(text.targets)
    tokens = pointed(reader().parse(mark(text.body, fields)), targets, site)
    found = []
    for number, link, words in counted_links(tokens, site):
        target = targets.get(link.meta.get("reference", ""))
        shown = MARK.sub(lambda match: fields[int(match[1])].default or "…", words)
        path = str(link.attrGet("href"))[len(site) :] or "/"
        found.append(Link(number, shown, target.title if target is not None else "", path))
    return tuple(found)


def count_click(letter: str, number: str, now: datetime) -> bool:
    """Add one to the clicks of today on a link of a letter, in the caller's transaction; whether there is such a link.

    Args:
        letter: the id in addresses, and `number` that of the link, as whoever posts them has them: anybody may, so what no letter
            holds counts nowhere, and nobody can fill the table.
    """
    if not (LETTER.fullmatch(letter) and NUMBER.fullmatch(number)):
        return False
    letter_id = db.session.scalar(sa.select(Letter.id).where(Letter.public_id == letter))
    if letter_id is None or int(number) not in {link.number for link in links_of(letter_id)}:
        return False
    own = {"letter_id": letter_id, "link": int(number), "day": now.astimezone(UTC).date()}
    first = insert_into(LinkClicks).values(**own, count=1)
    db.session.execute(first.on_conflict_do_update(index_elements=list(own), set_={"count": LinkClicks.count + 1}))
    return True


def clicks_by_day(letter_ids: Collection[int], before: date) -> dict[tuple[int, int], ByDay]:
    """How many clicks there were on the days before one: by letter and link, and by day."""
    query = sa.select(LinkClicks.letter_id, LinkClicks.link, LinkClicks.day, LinkClicks.count)
    found: dict[tuple[int, int], ByDay] = defaultdict(dict)
    for letter_id, link, day, count in db.session.execute(query.where(LinkClicks.letter_id.in_(letter_ids), LinkClicks.day < before)):
        found[letter_id, link][day] = count
    return found
