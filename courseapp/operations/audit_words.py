"""What staff do, in words: each type of event that is theirs, with what it belongs to. What people do themselves has no words here."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.accounts.models import Role
from courseapp.billing.attention import ATTENTION_WORDS
from courseapp.organisation.history import FIELD_WORDS
from courseapp.organisation.staff import ROLE_NAMES


class Matter(enum.StrEnum):
    """What an act belongs to. Marketers see mail alone."""

    MAIL = "mail"
    COURSES = "courses"
    PEOPLE = "people"
    MONEY = "money"
    SITE = "site"


MATTER_WORDS = {
    Matter.MAIL: _l("Mail"),
    Matter.COURSES: _l("Courses"),
    Matter.PEOPLE: _l("People and roles"),
    Matter.MONEY: _l("Paid tiers"),
    Matter.SITE: _l("The site"),
}
SEEN_BY = {Role.OWNER: frozenset(Matter), Role.MARKETER: frozenset({Matter.MAIL})}

OF_MAIL = {
    "broadcast_made": _l("Wrote a broadcast"),
    "broadcast_scheduled": _l("Scheduled a broadcast to be sent"),
    "broadcast_taken_back": _l("Took a scheduled broadcast back"),
    "broadcast_given_back": _l("A broadcast could not begin and is a draft again"),
    "broadcast_paused": _l("Paused a broadcast"),
    "broadcast_resumed": _l("Let a broadcast go on"),
    "broadcast_judged": _l("Judged two letters of a broadcast, and chose the %(better)s for the rest"),
    "broadcast_letter_chosen": _l("Chose the %(better)s letter of a broadcast for the rest"),
    "broadcast_cancelled": _l("Cancelled what had not left of a broadcast"),
    "broadcast_retried": _l("Had failed mails of a broadcast tried again"),
    "sequence_published": _l("Published version %(version)s of a sequence"),
    "sequence_paused": _l("Paused a sequence"),
    "sequence_resumed": _l("Let a sequence go on"),
    "sequence_archived": _l("Put a sequence away"),
    "sequence_brought_back": _l("Brought a sequence back"),
    "sequence_migrated": _l("Moved people under way to version %(version)s of a sequence"),
    "segment_saved": _l("Saved a segment"),
    "segment_archived": _l("Put a segment away"),
    "segment_brought_back": _l("Brought a segment back"),
    "letter_tried": _l("Tried a letter out on staff"),
    "stream_paused": _l("Held a kind of mail back"),
    "stream_paused_itself": _l("A kind of mail paused itself: too much went wrong"),
    "stream_resumed": _l("Let a kind of mail run again"),
    "uncertain_sent_again": _l("Had a mail in doubt sent once more"),
    "uncertain_left": _l("Left a mail in doubt as it is"),
    "contacts_import_looked": _l("Had a list of contacts looked through, about %(lines)s lines"),
    "contacts_import_vouched": _l("Vouched for a list of contacts: its people confirmed their addresses elsewhere"),
    "contacts_import_begun": _l("Began to bring contacts in from a file, with the consents they gave"),
    "contacts_import_stopped": _l("Stopped an import of contacts"),
    "contacts_imported": _l("An import of contacts came to its end"),
    "contacts_export_asked": _l("Asked for a file of contacts"),
    "contacts_exported": _l("A file of contacts was made"),
    "contacts_downloaded": _l("Downloaded a file of contacts"),
}
OF_COURSES = {
    "upload_received": _l("Sent files of a course"),
    "upload_accepted": _l("Brought an upload in"),
    "upload_cancelled": _l("Threw an upload away"),
    "publication_planned": _l("Planned when something is published"),
    "publication_called_off": _l("Called a planned publication off"),
    "course_changed": _l("A course was changed by an import, version %(version)s"),
    "course_published": _l("Published a course"),
    "course_withdrawn": _l("Took a course out of sight"),
    "course_reordered": _l("Changed the order of a course"),
    "lesson_edited": _l("Edited a lesson of a course"),
    "import_undone": _l("Undid an import"),
    "course_marked_sensitive": _l("Marked a course as sensitive: nobody is chosen by it"),
    "course_unmarked": _l("Took the mark of being sensitive from a course"),
    "source_made": _l("Made a link whose starts are counted"),
}
OF_PEOPLE = {
    "staff_found": _l("Looked up an account by its address"),
    "staff_sent_link": _l("Sent somebody a link to sign in"),
    "staff_asked_address": _l("Asked both addresses whether an account may move"),
    "staff_replaced_address": _l("Began to move an account to another address"),
    "staff_ended_sessions": _l("Signed somebody out on every device"),
    "staff_lifted_suppression": _l("Let mail go to somebody’s address again"),
    "staff_lifted_complaint": _l("Let letters go to somebody’s address again, after a complaint"),
    "staff_exported": _l("Downloaded what staff may see of somebody’s data"),
    "staff_exported_consents": _l("Downloaded as proof what somebody agreed to"),
    "staff_erased": _l("Erased somebody who asked for it"),
    "question_answered": _l("Marked a question as answered"),
    "operator_made_link": _l("Made a link on the server that signs in as somebody"),
    "operator_exported": _l("Took out on the server all that is held about somebody"),
    "operator_erased": _l("Erased somebody on the server"),
    "role_granted": _l("Gave the role %(role)s"),
    "role_taken": _l("Took the role %(role)s away"),
    "staff_invited": _l("Invited somebody as %(roles)s"),
    "invitation_withdrawn": _l("Withdrew an invitation"),
}
OF_MONEY = {
    "tier_made": _l("Made a paid tier"),
    "tier_changed": _l("Changed a paid tier"),
    "tier_archived": _l("Put a paid tier away: it is sold no longer"),
    "tier_brought_back": _l("Brought a paid tier back"),
    "plan_made": _l("Made a plan of a paid tier"),
    "plan_changed": _l("Changed a plan of a paid tier"),
    "plan_archived": _l("Put a plan away: it is sold no longer"),
    "price_changed": _l("Changed what a plan costs new buyers"),
    "course_closed": _l("Closed a course to everybody without a tier that opens it"),
    "course_opened": _l("Opened a course to everybody"),
    "access_given": _l("Gave somebody a paid tier"),
    "access_end_changed": _l("Changed until when somebody has a paid tier that was given"),
    "access_withdrawn": _l("Took back a paid tier that was given"),
    "stripe_event_replayed": _l("Had an event of Stripe’s looked at again"),
    "billing_reconciled": _l("Compared paid access with Stripe"),
    "billing_brought_in_line": _l("Brought paid access in line with what Stripe says, in one case"),
    "billing_synced": _l("Brought tiers and prices in line with Stripe"),
    "payments_exported": _l("Downloaded the list of payments"),
    "billing_needs_attention": _l("Something about money needs to be looked at. %(what)s"),
}
OF_SITE = {
    "owner_link_made": _l("Made a link for the first owner on the server"),
    "site_settings_changed": _l("Changed settings: %(fields)s"),
    "audit_exported": _l("Downloaded this list"),
}
WORDS: dict[str, LazyString] = OF_MAIL | OF_COURSES | OF_PEOPLE | OF_MONEY | OF_SITE
MATTERS: dict[Matter, Mapping[str, LazyString]] = {
    Matter.MAIL: OF_MAIL,
    Matter.COURSES: OF_COURSES,
    Matter.PEOPLE: OF_PEOPLE,
    Matter.MONEY: OF_MONEY,
    Matter.SITE: OF_SITE,
}
ON_THE_SERVER = {"owner_link_made", "operator_made_link", "operator_exported", "operator_erased"}
BY_ITSELF = {"stream_paused_itself", "broadcast_given_back", "broadcast_judged", "billing_needs_attention"}
LETTER_WORDS: dict[Any, LazyString] = {"first": _l("first"), "second": _l("second")}
OF_A_ROLE = {"role_granted", "role_taken"}
"""Of these the account is named, for it is of staff; whom of the learners somebody looked up is not told here."""


NAMES: dict[str, Mapping[Any, LazyString]] = {
    "role": ROLE_NAMES,
    "roles": ROLE_NAMES,
    "fields": FIELD_WORDS,
    "better": LETTER_WORDS,
    "what": ATTENTION_WORDS,
}
"""Facts that are told by a name: what each value is called."""
UNSAID = {"logo_size"}  # it changes with the logo


@dataclass(frozen=True)
class Facts:
    """What is filled into words: facts of the event, as people call them."""

    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:  # an erasure took it away
            return "…"
        names = NAMES.get(name, {})
        return ", ".join(str(names.get(each, each)) for each in (value if isinstance(value, list) else [value]) if each not in UNSAID)


def words_of(type: str, facts: Mapping[str, Any]) -> str:
    """What was done, in words."""
    return str(WORDS[type]) % Facts(facts)


def actor_words(type: str, address: str | None, is_known: bool) -> str:
    """Who did it: `is_known` says whether the journal names somebody, who may be gone since."""
    if address is not None:
        return address
    if is_known:
        return str(_("somebody who has left"))
    if type in BY_ITSELF:
        return str(_("the site by itself"))
    return str(_("somebody on the server")) if type in ON_THE_SERVER else str(_("the site or its command line"))
