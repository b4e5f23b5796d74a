"""Users, roles, sessions, sign-in requests, changes of address."""

import enum
from typing import Any

import sqlalchemy as sa
from flask_login import UserMixin
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.contacts.models import Contact
from courseapp.extensions import Model


class Role(enum.StrEnum):
    """What a person may do beside learning; several per person."""

    INSTRUCTOR = "instructor"
    MARKETER = "marketer"
    OWNER = "owner"


class User(UserMixin, Model):
    """A person who uses the site. Without a contact it is a guest: known to one browser alone."""

    __tablename__ = "users"
    # the journal names people by number, also as the one who did something: nobody may come after them under the same one
    __table_args__ = {"sqlite_autoincrement": True}
    __allow_unmapped__ = True  # for what the request knows beside the row

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    contact_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("contacts.id"), unique=True)
    name: Mapped[str | None] = mapped_column(sa.String(80))
    password_hash: Mapped[str | None] = mapped_column(sa.String(200))
    created_at: Mapped[Moment]
    disabled_at: Mapped[Moment | None]
    seen_at: Mapped[Moment | None] = mapped_column(index=True)  # when they were here last, to the hour; it outlives their sessions

    contact: Mapped[Contact | None] = relationship()

    # What the present request knows beside the row; set by `sessions.user_of_token`.
    session_id: int | None = None
    session_token: str | None = None
    roles: frozenset[str] = frozenset()

    @property
    def is_guest(self) -> bool:
        """Whether nobody has confirmed an address for this user."""
        return self.contact_id is None

    def has_role(self, *wanted: str) -> bool:
        """Whether this person holds one of the roles; an owner holds them all."""
        return Role.OWNER.value in self.roles or any(role in self.roles for role in wanted)

    def get_id(self) -> str | None:
        """What flask-login keeps in the cookie: the session's token, never the user's id."""
        return self.session_token

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, User) and self.id == other.id

    def __hash__(self) -> int:
        return hash(("user", self.id))


class RoleGrant(Model):
    """That a person holds a role since then."""

    __tablename__ = "role_grants"
    __table_args__ = (sa.UniqueConstraint("user_id", "role"),)

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role] = mapped_column(enum_of(Role))
    granted_at: Mapped[Moment]


class LoginSession(Model):
    """One signed-in browser. The cookie holds a token of which only the hash is kept; deleting the row ends the session."""

    __tablename__ = "login_sessions"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    device: Mapped[str] = mapped_column(sa.String(60))
    created_at: Mapped[Moment]
    last_seen_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class SignInRequest(Model):
    """A mailed link and its six-digit code. `guest_id` is the guest who asks to be joined to the address.

    The link proves control of the address in any browser; the code counts only in the browser that asked.
    """

    __tablename__ = "sign_in_requests"

    id: Mapped[PrimaryKey]
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"), index=True)
    guest_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    code_mac: Mapped[str] = mapped_column(sa.String(64))
    browser_mac: Mapped[str] = mapped_column(sa.String(64), index=True)
    purposes: Mapped[str] = mapped_column(sa.String(60), default="")
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]

    contact: Mapped[Contact] = relationship()
    guest: Mapped[User | None] = relationship()


class AddressChange(Model):
    """A wish to move to another address; it happens once both addresses have said yes."""

    __tablename__ = "address_changes"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    new_contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"), index=True)
    old_token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    new_token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    old_confirmed_at: Mapped[Moment | None]
    new_confirmed_at: Mapped[Moment | None]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]

    user: Mapped[User] = relationship()
    new_contact: Mapped[Contact] = relationship()

    @property
    def is_old_lost(self) -> bool:
        """Whether staff answered for the old address, because nobody can read it any more."""
        return self.old_confirmed_at == self.created_at
