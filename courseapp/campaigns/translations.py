"""What is written to become a letter, said in other languages of the site: each reader gets it in their own where it is there."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from babel.lists import format_list
from flask_babel import format_decimal, get_locale, ngettext
from flask_babel import gettext as _

from courseapp.campaigns.references import targets_of
from courseapp.campaigns.segment_values import languages
from courseapp.contacts.models import Purpose
from courseapp.learning.enrolment import FEWEST
from courseapp.mailing.text import Text, name_of_language


@dataclass(frozen=True)
class Translation:
    """The words of a letter in another language."""

    language: str
    subject: str
    preheader: str
    body: str

    def text(self, purpose: Purpose) -> Text:
        """As it would be published now."""
        return Text(self.language, self.subject, self.preheader, self.body, purpose, targets_of(self.body))


Translations = tuple[Translation, ...]


def kept_translations(translations: Translations) -> list[dict[str, str]]:
    """Translations as JSON."""
    return [asdict(each) for each in translations]


def translations_from(facts: Iterable[Mapping[str, Any]]) -> Translations:
    """What `kept_translations` kept; of a published letter's too, which keep their targets beside."""
    return tuple(Translation(*(str(each[name]) for name in ("language", "subject", "preheader", "body"))) for each in facts)


def translation_in(translations: Translations, language: str) -> Translation | None:
    """The one in a language, or None."""
    return next((each for each in translations if each.language == language), None)


def with_translation(translations: Translations, changed: Translation) -> Translations:
    """With one in place of that in its language, or as one more; in the order of their languages."""
    return tuple(sorted((*without_language(translations, changed.language), changed), key=lambda each: each.language))


def without_language(translations: Translations, language: str) -> Translations:
    """Without the one in a language."""
    return tuple(each for each in translations if each.language != language)


def languages_beside(language: str, translations: Translations) -> dict[str, bool]:
    """The languages beside that in which something was first written, and whether it is there in each.

    They are those of the site, and any in which it was written while the site had that too: it goes out in them still.
    """
    written = {each.language for each in translations}
    return {tag: tag in written for tag in [*languages(), *sorted(written - languages().keys())] if tag != language}


def names_of(language: str, translations: Translations) -> str:
    """The languages that something is written in, in words; empty where it is one alone."""
    tags = [language, *(each.language for each in translations)]
    return format_list([name_of_language(tag) for tag in tags], locale=get_locale()) if translations else ""


def shares_of(text: Text, readers: Mapping[str, int]) -> str:
    """How many get a letter in which of its languages, in one sentence; empty where it has one, or nobody gets it.

    Pages tell how many it goes to. So where in one language they are fewer than five, the language of most has no number either.

    Args:
        readers: how many read each language, by its tag.
    """
    counts = Counter({each.language: 0 for each in (text, *text.others)})
    for tag, count in readers.items():
        counts[text.in_language(tag).language] += count
    if len(counts) < 2 or not counts.total():
        return ""
    has_few = any(0 < count < FEWEST for count in counts.values())
    ordered = counts.most_common()
    parts = [_share(tag, count) for tag, count in (ordered[1:] if has_few else ordered)]
    if has_few:
        parts.append(_("everybody else in %(language)s", language=name_of_language(ordered[0][0])))
    return str(_("By language: %(parts)s.", parts=format_list(parts, locale=get_locale())))


def _share(tag: str, count: int) -> str:
    if 0 < count < FEWEST:
        people = _("fewer than five people")
    else:
        people = ngettext("%(amount)s person", "%(amount)s people", count, amount=format_decimal(count)) if count else _("nobody")
    return str(_("%(people)s in %(language)s", people=people, language=name_of_language(tag)))
