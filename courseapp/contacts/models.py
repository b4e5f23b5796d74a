"""Contacts, consents, suppressions."""

import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.extensions import Model


class Purpose(enum.StrEnum):
    """Why a mail is sent; the three are never mixed. Service mail needs no consent and carries no offer."""

    SERVICE = "service"
    COURSE = "course"
    MARKETING = "marketing"


class ConsentAction(enum.StrEnum):
    """What happened to a consent: asked for with an unconfirmed address, given, or withdrawn."""

    ASKED = "asked"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class SuppressionReason(enum.StrEnum):
    """Why an address gets no mail, whatever it consented to."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    ASKED = "asked"


class Contact(Model):
    """An address that may be written to. `address` is as typed, `address_key` normalised; both are gone once erased."""

    __tablename__ = "contacts"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    address: Mapped[str | None] = mapped_column(sa.String(254))
    address_key: Mapped[str | None] = mapped_column(sa.String(254), unique=True)
    address_mac: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    first_name: Mapped[str | None] = mapped_column(sa.String(80))
    zone: Mapped[str] = mapped_column(sa.String(64), default="UTC")
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    created_at: Mapped[Moment]
    confirmed_at: Mapped[Moment | None]
    erased_at: Mapped[Moment | None]
    mail_paused_until: Mapped[Moment | None]  # see resting.py
    marketing_days: Mapped[int | None] = mapped_column(sa.SmallInteger)  # see pace.py

    @property
    def is_confirmed(self) -> bool:
        """Whether someone who reads this address's mail has said so."""
        return self.confirmed_at is not None


class Consent(Model):
    """One entry of the append-only log: what was said about one purpose, to which wording, where, when."""

    __tablename__ = "consents"
    __table_args__ = (sa.Index("ix_consents_contact_purpose", "contact_id", "purpose", "id", postgresql_include=["action"]),)

    id: Mapped[PrimaryKey]
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    action: Mapped[ConsentAction] = mapped_column(enum_of(ConsentAction))
    wording: Mapped[str] = mapped_column(sa.String(40))
    source: Mapped[str] = mapped_column(sa.String(40))
    network: Mapped[str | None] = mapped_column(sa.String(40))
    at: Mapped[Moment]


class Suppression(Model):
    """An address that gets no mail. Only a keyed hash is kept, so that it survives the erasure of the contact."""

    __tablename__ = "suppressions"

    id: Mapped[PrimaryKey]
    address_mac: Mapped[str] = mapped_column(sa.String(64), unique=True)
    reason: Mapped[SuppressionReason] = mapped_column(enum_of(SuppressionReason))
    at: Mapped[Moment]
