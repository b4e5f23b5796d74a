"""The first owner's link, and invitations."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.accounts.models import Role, User
from courseapp.columns import BigId, Moment, PrimaryKey, PublicId
from courseapp.contacts.models import Contact
from courseapp.extensions import Model


class OwnerLink(Model):
    """A link by which an installation without an owner gets its first. Only the hash of its token is kept."""

    __tablename__ = "owner_links"

    id: Mapped[PrimaryKey]
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]


class Invitation(Model):
    """A mailed offer of roles to whoever reads an address's mail. Without `invited_by` it comes from the owner's link."""

    __tablename__ = "invitations"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"), index=True)
    invited_by_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    roles: Mapped[str] = mapped_column(sa.String(60))
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    accepted_at: Mapped[Moment | None]
    withdrawn_at: Mapped[Moment | None]

    contact: Mapped[Contact] = relationship()
    invited_by: Mapped[User | None] = relationship()

    @property
    def role_list(self) -> list[Role]:
        """The roles it offers."""
        return [Role(name) for name in self.roles.split()]
