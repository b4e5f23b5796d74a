"""Where people stopped in films and sound."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "media_positions",
        sa.Column("user_id", ID, autoincrement=False, nullable=False),
        sa.Column("asset_id", ID, autoincrement=False, nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_media_positions_asset_id_assets"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_media_positions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "asset_id", name=op.f("pk_media_positions")),
    )
    with op.batch_alter_table("media_positions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_media_positions_asset_id"), ["asset_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("media_positions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_media_positions_asset_id"))

    op.drop_table("media_positions")
