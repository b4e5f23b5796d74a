"""How fast mail leaves, servers in trouble, and what watches over streams."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TROUBLE = sa.text("state IN ('failed', 'bounced', 'complained')")
UNCERTAIN = sa.text("state = 'uncertain'")


def upgrade() -> None:
    op.create_table(
        "mail_buckets",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("paid_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_buckets")),
        sa.UniqueConstraint("key", name=op.f("uq_mail_buckets_key")),
    )
    op.create_table(
        "mail_breakers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("tripped_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_breakers")),
        sa.UniqueConstraint("key", name=op.f("uq_mail_breakers_key")),
    )
    with op.batch_alter_table("streams") as batch_op:
        batch_op.add_column(sa.Column("watched_from", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_messages_trouble", "messages", ["stream_id", "settled_at"], postgresql_where=TROUBLE, sqlite_where=TROUBLE)
    op.create_index("ix_messages_uncertain", "messages", ["id"], postgresql_where=UNCERTAIN, sqlite_where=UNCERTAIN)


def downgrade() -> None:
    op.drop_index("ix_messages_uncertain", table_name="messages")
    op.drop_index("ix_messages_trouble", table_name="messages")
    with op.batch_alter_table("streams") as batch_op:
        batch_op.drop_column("watched_from")
    op.drop_table("mail_breakers")
    op.drop_table("mail_buckets")
