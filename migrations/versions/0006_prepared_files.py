"""Files as they are served beside files as they were sent: pieces of assets, and what was made of which content."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "prepared_files",
        sa.Column("id", big, nullable=False),
        sa.Column("source_digest", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=40), nullable=False),
        sa.Column("part", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=80), nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prepared_files")),
        sa.UniqueConstraint("source_digest", "recipe", "part", name=op.f("uq_prepared_files_source_digest_recipe_part")),
    )
    with op.batch_alter_table("prepared_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_prepared_files_digest"), ["digest"], unique=False)
    with op.batch_alter_table("assets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("part_of", sa.String(length=300), nullable=True))
        batch_op.add_column(sa.Column("source_digest", sa.String(length=64), nullable=True))
    op.execute("UPDATE assets SET source_digest = digest")  # until now what was sent was what is served
    with op.batch_alter_table("assets", schema=None) as batch_op:
        batch_op.alter_column("source_digest", existing_type=sa.String(length=64), nullable=False)


def downgrade() -> None:
    op.execute("DELETE FROM assets WHERE part_of IS NOT NULL")
    with op.batch_alter_table("assets", schema=None) as batch_op:
        batch_op.drop_column("source_digest")
        batch_op.drop_column("part_of")
    with op.batch_alter_table("prepared_files", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_prepared_files_digest"))
    op.drop_table("prepared_files")
