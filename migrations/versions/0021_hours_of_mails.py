"""A mail keeps at which hours and on which days it may come; what is under way is found by its stream."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
UNDER_WAY = sa.text("state IN ('pending', 'leased', 'submitting')")


def upgrade() -> None:
    op.add_column("messages", sa.Column("window_start", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("window_end", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("weekdays", sa.String(length=7), nullable=True))
    op.create_index(
        "ix_messages_under_way", "messages", ["stream_id", "due_at"], unique=False, postgresql_where=UNDER_WAY, sqlite_where=UNDER_WAY
    )


def downgrade() -> None:
    op.drop_index("ix_messages_under_way", table_name="messages")
    for name in ("weekdays", "window_end", "window_start"):
        op.drop_column("messages", name)
