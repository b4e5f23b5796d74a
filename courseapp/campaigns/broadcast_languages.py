"""A broadcast said in other languages: what is written in them, and taken out again. Each reader gets it in theirs, where it is there."""

from datetime import datetime

from flask_babel import gettext as _

from courseapp.campaigns.broadcasts import begin_change, end_change, translations_of
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.models import Broadcast
from courseapp.campaigns.translations import Translation, kept_translations, translations_from, with_translation, without_language


def translate(broadcast: Broadcast, first: Translation, second: Translation, version: int, by_user_id: int, now: datetime) -> None:
    """Say a draft in another language, its second letter too where it has one. Raises Refusal where it is none any more, or
    where somebody else changed it since `version`.
    """
    begin_change(broadcast, version)
    broadcast.translations = kept_translations(with_translation(translations_of(broadcast), first))
    experiment = experiment_of(broadcast)
    if experiment is not None and experiment.has_second:
        experiment.translations = kept_translations(with_translation(translations_from(experiment.translations), second))
    end_change(broadcast, by_user_id, now)


def take_out_language(broadcast: Broadcast, language: str, version: int, by_user_id: int, now: datetime) -> None:
    """Take what is written in another language out of a draft, for good. Raises Refusal likewise."""
    begin_change(broadcast, version, _("Somebody else has changed this broadcast meanwhile. Nothing was taken out; look at it again."))
    for holder in (broadcast, experiment_of(broadcast)):
        if holder is not None:
            holder.translations = kept_translations(without_language(translations_from(holder.translations), language))
    end_change(broadcast, by_user_id, now)
