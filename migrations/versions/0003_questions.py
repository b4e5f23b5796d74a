"""Questions to the people who run the site, and errors reported in lessons."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KINDS = ("sign-in", "mail", "site", "data", "other", "lesson")


def upgrade() -> None:
    op.create_table(
        "questions",
        sa.Column("id", ID, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.Enum(*KINDS, name="questionkind", native_enum=False, create_constraint=True, length=24), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("lesson_id", ID, nullable=True),
        sa.Column("address", sa.String(length=254), nullable=True),
        sa.Column("address_mac", sa.String(length=64), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_questions_lesson_id_lessons"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_questions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("public_id", name=op.f("uq_questions_public_id")),
    )
    with op.batch_alter_table("questions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_questions_user_id"), ["user_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_questions_lesson_id"), ["lesson_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_questions_address_mac"), ["address_mac"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("questions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_questions_address_mac"))
        batch_op.drop_index(batch_op.f("ix_questions_lesson_id"))
        batch_op.drop_index(batch_op.f("ix_questions_user_id"))

    op.drop_table("questions")
