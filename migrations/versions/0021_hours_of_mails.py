"""A mail keeps at which hours and on which days it may come; what is under way is found by its stream, and runs that are
due by their sequence."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
DUE = sa.text("next_run_at IS NOT NULL")
UNDER_WAY = sa.text("state IN ('pending', 'leased', 'submitting')")


def upgrade() -> None:
    op.add_column("messages", sa.Column("window_start", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("window_end", sa.Time(), nullable=True))
    op.add_column("messages", sa.Column("weekdays", sa.String(length=7), nullable=True))
    op.create_index(
        "ix_messages_under_way", "messages", ["stream_id", "due_at"], unique=False, postgresql_where=UNDER_WAY, sqlite_where=UNDER_WAY
    )
    op.drop_index("ix_sequence_runs_due", table_name="sequence_runs")
    columns = ["sequence_id", "next_run_at", "id"]
    op.create_index("ix_sequence_runs_due", "sequence_runs", columns, unique=False, postgresql_where=DUE, sqlite_where=DUE)


def downgrade() -> None:
    op.drop_index("ix_sequence_runs_due", table_name="sequence_runs")
    op.create_index("ix_sequence_runs_due", "sequence_runs", ["next_run_at"], unique=False, postgresql_where=DUE, sqlite_where=DUE)
    op.drop_index("ix_messages_under_way", table_name="messages")
    for name in ("weekdays", "window_end", "window_start"):
        op.drop_column("messages", name)
