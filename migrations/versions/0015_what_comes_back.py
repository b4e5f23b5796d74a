"""What comes back of mails: reports of delivery, complaints, requests to stop."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SOURCES = ("mailbox", "ses", "postmark")
KINDS = ("bounced", "soft", "delayed", "passed-on", "delivered", "complained", "stop", "auto-reply", "other")
OUTCOMES = ("applied", "repeated", "ignored", "unmatched", "forged")


def _words(name, values):
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def upgrade() -> None:
    op.create_table(
        "returns",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("source", _words("returnsource", SOURCES), nullable=False),
        sa.Column("kind", _words("returnkind", KINDS), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=True),
        sa.Column("header_id", sa.String(length=200), nullable=True),
        sa.Column("address_mac", sa.String(length=64), nullable=True),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", _words("returnoutcome", OUTCOMES), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_returns")),
        sa.UniqueConstraint("key", name=op.f("uq_returns_key")),
    )
    with op.batch_alter_table("returns", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_returns_public_id"), ["public_id"], unique=False)
        batch_op.create_index(
            "ix_returns_due",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("settled_at IS NULL"),
            sqlite_where=sa.text("settled_at IS NULL"),
        )


def downgrade() -> None:
    with op.batch_alter_table("returns", schema=None) as batch_op:
        batch_op.drop_index("ix_returns_due")
        batch_op.drop_index(batch_op.f("ix_returns_public_id"))

    op.drop_table("returns")
