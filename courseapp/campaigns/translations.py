"""What is written to become a letter, said in other languages of the site: each reader gets it in their own where it is there."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from courseapp.campaigns.references import targets_of
from courseapp.campaigns.segment_values import languages
from courseapp.contacts.models import Purpose
from courseapp.mailing.text import Text


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
