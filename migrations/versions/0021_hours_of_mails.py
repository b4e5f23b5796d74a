"""A mail keeps at which hours and on which days it may come."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("messages", sa.Column("window_start", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("window_end", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("weekdays", sa.String(length=7), nullable=True))


def downgrade() -> None:
    for name in ("weekdays", "window_end", "window_start"):
        op.drop_column("messages", name)
