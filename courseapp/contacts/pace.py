"""How often somebody wants mails that offer something: as often as the site sends them, or one in so many days. What is over waits."""

from courseapp.contacts.models import Contact

PACES = (7, 30)
"""In how many days one, at most."""


def choose_pace(contact: Contact, days: int | None) -> bool:
    """One in so many `days` (of PACES) at most from now on; None: as often as the site sends them. Whether that is a new wish."""
    assert days is None or days in PACES
    is_other, contact.marketing_days = contact.marketing_days != days, days
    return is_other
