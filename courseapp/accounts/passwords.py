"""Passwords: optional, argon2id, and none that everybody guesses first."""

from functools import cache
from typing import TYPE_CHECKING

from flask_babel import gettext as _

from courseapp.accounts.models import User
from courseapp.errors import Refusal

if TYPE_CHECKING:  # a megabyte, and most people never type a password
    from argon2 import PasswordHasher

SHORTEST = 8  # NIST SP 800-63B, 5.1.1.2
LONGEST = 256
FEWEST_GUESSES = 10**6  # zxcvbn's own line between "too guessable" and "very guessable" (Wheeler, USENIX Security 2016)

_DECOY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$kXVhLdXDZ1yV5w2zV0m4mQyVvYwQhV1v4k8s2l5o0mA"


def set_password(user: User, password: str) -> None:
    """Set or replace a password; raises Refusal (400) in words for one that is too short, too long or too common."""
    if len(password) < SHORTEST:
        raise Refusal(_("Please choose at least %(count)s characters. A few words in a row work well.", count=SHORTEST), 400)
    if len(password) > LONGEST:
        raise Refusal(_("Please choose at most %(count)s characters.", count=LONGEST), 400)
    from zxcvbn_rs_py import zxcvbn  # its dictionaries are large, and most people set no password

    if zxcvbn(password[:100], []).guesses < FEWEST_GUESSES:
        raise Refusal(
            _("That password is among the first that others would guess. Please choose another; a few words in a row work well."), 400
        )
    user.password_hash = _hasher().hash(password)


def is_password(user: User | None, password: str) -> bool:
    """Whether this is the user's password. Takes as long for a user who has none, or does not exist."""
    from argon2.exceptions import InvalidHashError, VerificationError  # as above

    kept = user.password_hash if user is not None and user.password_hash else _DECOY
    try:
        matches = _hasher().verify(kept, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return matches and kept is not _DECOY


@cache
def _hasher() -> "PasswordHasher":
    """argon2id with the library's defaults (RFC 9106, low-memory profile)."""
    from argon2 import PasswordHasher  # as above

    return PasswordHasher()
