"""The editor: drafts that are kept while somebody writes, and what a revision came from."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ORIGINS = ("import", "edit", "restore", "review")


def upgrade() -> None:
    op.create_table(
        "lesson_drafts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("lesson_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("typed", sa.JSON(), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=False),
        sa.Column("base_stamp", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_lesson_drafts_lesson_id_lessons"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_lesson_drafts_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lesson_drafts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_lesson_drafts_public_id")),
    )
    with op.batch_alter_table("lesson_drafts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lesson_drafts_lesson_id"), ["lesson_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_lesson_drafts_user_id"), ["user_id"], unique=False)
    with op.batch_alter_table("revisions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reviewer_role", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("origin", sa.String(length=24), server_default="import", nullable=False))
        batch_op.add_column(sa.Column("by_user_id", BIG, nullable=True))
        batch_op.add_column(sa.Column("facts", sa.JSON(), nullable=True))
        batch_op.create_check_constraint("origin", f"origin IN {ORIGINS}")
        batch_op.create_foreign_key(batch_op.f("fk_revisions_by_user_id_users"), "users", ["by_user_id"], ["id"], ondelete="SET NULL")
    with op.batch_alter_table("courses", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reordered_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("courses", schema=None) as batch_op:
        batch_op.drop_column("reordered_at")
    with op.batch_alter_table("revisions", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_revisions_by_user_id_users"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("ck_revisions_origin"), type_="check")
        batch_op.drop_column("facts")
        batch_op.drop_column("by_user_id")
        batch_op.drop_column("origin")
        batch_op.drop_column("reviewer_role")
    op.drop_table("lesson_drafts")
