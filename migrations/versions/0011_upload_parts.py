"""Files that arrive piece by piece."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "upload_parts",
        sa.Column("id", big, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("user_id", big, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("told", sa.String(length=2000), nullable=False),
        sa.Column("size", big, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("upload_id", big, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_upload_parts_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_upload_parts_upload_id_uploads"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_parts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_upload_parts_public_id")),
    )
    with op.batch_alter_table("upload_parts", schema=None) as batch_op:
        for name in ("user_id", "expires_at", "upload_id"):
            batch_op.create_index(batch_op.f(f"ix_upload_parts_{name}"), [name], unique=False)


def downgrade() -> None:
    op.drop_table("upload_parts")
