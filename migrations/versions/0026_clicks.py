"""Clicks on links of letters: a number for each link and day, where an owner has them counted."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "link_clicks",
        sa.Column("letter_id", BIG, nullable=False),
        sa.Column("link", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["letter_id"], ["letters.id"], name=op.f("fk_link_clicks_letter_id_letters"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("letter_id", "link", "day", name=op.f("pk_link_clicks")),
    )


def downgrade() -> None:
    op.drop_table("link_clicks")
