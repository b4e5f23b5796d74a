"""Whoever gets mails that offer something may want fewer of them than the site sends."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.add_column("contacts", sa.Column("marketing_days", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("contacts") as batch_op:
        batch_op.drop_column("marketing_days")
