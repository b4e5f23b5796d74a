"""Uploads may go into a course that is there: which, as which module, and what their lessons ask of the body."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NEEDS = ("none", "gentle", "touch")


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("into_course_id", big, nullable=True))
        batch_op.add_column(sa.Column("into_module", sa.String(length=60), nullable=True))
        batch_op.add_column(sa.Column("module_title", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("needs_check", sa.Enum(*NEEDS, name="need", native_enum=False, create_constraint=False, length=24), nullable=True))
        batch_op.create_check_constraint(op.f("ck_uploads_need"), sa.column("needs_check").in_(NEEDS))
        batch_op.create_foreign_key(op.f("fk_uploads_into_course_id_courses"), "courses", ["into_course_id"], ["id"], ondelete="CASCADE")
        batch_op.create_index(batch_op.f("ix_uploads_into_course_id"), ["into_course_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_uploads_into_course_id"))
        batch_op.drop_constraint(op.f("fk_uploads_into_course_id_courses"), type_="foreignkey")
        batch_op.drop_constraint(op.f("ck_uploads_need"), type_="check")
        batch_op.drop_column("needs_check")
        batch_op.drop_column("module_title")
        batch_op.drop_column("into_module")
        batch_op.drop_column("into_course_id")
