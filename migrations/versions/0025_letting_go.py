"""What was put off while a stream was paused is made due slice by slice once it runs again."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("streams", sa.Column("letting_go_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("streams", "letting_go_at")
