"""Uploads wait as drafts, know which course they were held against, and are published at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("course_slug", sa.String(length=60), nullable=True))
        batch_op.add_column(sa.Column("course_version", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("decided_by_id", BIG, nullable=True))
        batch_op.add_column(sa.Column("problem", sa.String(length=20), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_uploads_decided_by_id_users"), "users", ["decided_by_id"], ["id"], ondelete="SET NULL")
        batch_op.create_index(batch_op.f("ix_uploads_decided_by_id"), ["decided_by_id"], unique=False)
    op.create_table(
        "publications",
        sa.Column("id", BIG, nullable=False),
        sa.Column("upload_id", BIG, nullable=True),
        sa.Column("course_id", BIG, nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("without_review", sa.Boolean(), nullable=False),
        sa.Column("by_user_id", BIG, nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.String(length=20), nullable=True),
        sa.CheckConstraint("(upload_id IS NULL) <> (course_id IS NULL)", name=op.f("ck_publications_one_thing")),
        sa.ForeignKeyConstraint(["by_user_id"], ["users.id"], name=op.f("fk_publications_by_user_id_users"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_publications_course_id_courses"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_publications_upload_id_uploads"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
    )
    is_open = sa.text("ended_at IS NULL")
    with op.batch_alter_table("publications", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_publications_by_user_id"), ["by_user_id"], unique=False)
        batch_op.create_index("ix_publications_due", ["at"], unique=False, postgresql_where=is_open, sqlite_where=is_open)
        for thing in ("upload", "course"):
            batch_op.create_index(f"ix_publications_{thing}_id", [f"{thing}_id"], unique=False)
            batch_op.create_index(f"ix_publications_{thing}_open", [f"{thing}_id"], unique=True, postgresql_where=is_open, sqlite_where=is_open)


def downgrade() -> None:
    op.drop_table("publications")
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_uploads_decided_by_id"))
        batch_op.drop_constraint(batch_op.f("fk_uploads_decided_by_id_users"), type_="foreignkey")
        batch_op.drop_column("problem")
        batch_op.drop_column("decided_by_id")
        batch_op.drop_column("course_version")
        batch_op.drop_column("course_slug")
