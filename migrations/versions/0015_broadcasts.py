"""Broadcasts, and who each is for."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
OPEN = sa.text("state IN ('scheduled', 'expanding', 'sending')")


def upgrade() -> None:
    op.create_table(
        "broadcasts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("purpose", one_of("purpose", "service", "course", "marketing"), nullable=False),
        sa.Column("segment_id", BIG, nullable=True),
        sa.Column("tree", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("preheader", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("window_start", sa.Time(), nullable=False),
        sa.Column("window_end", sa.Time(), nullable=False),
        sa.Column("send_at", MOMENT, nullable=True),
        sa.Column(
            "state", one_of("broadcaststate", "draft", "scheduled", "expanding", "sending", "finished", "cancelled"), nullable=False
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stream_id", BIG, nullable=True),
        sa.Column("letter_id", BIG, nullable=True),
        sa.Column("snapshot_at", MOMENT, nullable=True),
        sa.Column("candidates", sa.Integer(), nullable=False),
        sa.Column("cursor", BIG, nullable=False),
        sa.Column("by_user_id", BIG, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.id"], name=op.f("fk_broadcasts_segment_id_segments"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_broadcasts_stream_id_streams")),
        sa.ForeignKeyConstraint(["letter_id"], ["letters.id"], name=op.f("fk_broadcasts_letter_id_letters")),
        sa.ForeignKeyConstraint(["by_user_id"], ["users.id"], name=op.f("fk_broadcasts_by_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_broadcasts_public_id")),
        sa.UniqueConstraint("stream_id", name=op.f("uq_broadcasts_stream_id")),
    )
    with op.batch_alter_table("broadcasts") as batch_op:
        for name in ("segment_id", "letter_id", "by_user_id"):
            batch_op.create_index(batch_op.f(f"ix_broadcasts_{name}"), [name], unique=False)
        batch_op.create_index("ix_broadcasts_open", ["state"], unique=False, postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_table(
        "broadcast_recipients",
        sa.Column("broadcast_id", BIG, nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_broadcast_recipients_broadcast_id_broadcasts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_broadcast_recipients_contact_id_contacts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("broadcast_id", "contact_id", name=op.f("pk_broadcast_recipients")),
    )
    with op.batch_alter_table("broadcast_recipients") as batch_op:
        batch_op.create_index(batch_op.f("ix_broadcast_recipients_contact_id"), ["contact_id"], unique=False)


def one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def downgrade() -> None:
    op.drop_table("broadcast_recipients")
    op.drop_table("broadcasts")
