"""What people did after mails, and how mail arrived by domain, as both were last counted; events of staff are found by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

OF_LEARNERS = (
    *("lesson_completed", "course_completed", "enrolled", "account_claimed", "address_changed", "address_change_ended"),
    *("consent_given", "consent_withdrawn", "mail_bounced", "mail_complained", "mail_paused", "mail_pause_ended", "person_erased"),
)
OTHERS = sa.text(f"type NOT IN ({', '.join(repr(type) for type in OF_LEARNERS)})")
BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "mail_figures",
        sa.Column("id", BIG, nullable=False),
        sa.Column("broadcast_id", BIG, nullable=True),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
        sa.Column("summed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(broadcast_id IS NULL) <> (version_id IS NULL)", name=op.f("ck_mail_figures_one_subject")),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_mail_figures_broadcast_id_broadcasts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["sequence_versions.id"], name=op.f("fk_mail_figures_version_id_sequence_versions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_figures")),
        sa.UniqueConstraint("broadcast_id", name=op.f("uq_mail_figures_broadcast_id")),
        sa.UniqueConstraint("version_id", name=op.f("uq_mail_figures_version_id")),
    )
    op.create_table(
        "domain_figures",
        sa.Column("days", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("days", name=op.f("pk_domain_figures")),
    )
    op.create_index("ix_events_others", "events", ["id"], unique=False, postgresql_where=OTHERS, sqlite_where=OTHERS)


def downgrade() -> None:
    op.drop_index("ix_events_others", table_name="events")
    op.drop_table("domain_figures")
    op.drop_table("mail_figures")
