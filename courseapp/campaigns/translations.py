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


def other_languages(language: str) -> dict[str, str]:
    """The languages of the site beside that in which something was first written, each by what it calls itself."""
    return {tag: words for tag, words in languages().items() if tag != language}
