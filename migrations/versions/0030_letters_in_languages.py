"""A letter, and what is written to become one, may say the same in other languages."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
TABLES = ("letters", "broadcasts", "experiments")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("translations", sa.JSON(), server_default="[]", nullable=False))
        with op.batch_alter_table(table) as batch_op:
            batch_op.alter_column("translations", server_default=None)


def downgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("translations")
