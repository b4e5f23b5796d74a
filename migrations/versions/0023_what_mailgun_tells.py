"""What comes back of mails may be told by Mailgun too."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

SOURCES = ("mailbox", "ses", "postmark")


def upgrade() -> None:
    _allow((*SOURCES, "mailgun"))


def downgrade() -> None:
    op.execute("DELETE FROM returns WHERE source = 'mailgun'")  # what followed from them stands in other tables, and stays
    _allow(SOURCES)


def _allow(sources: tuple[str, ...]) -> None:
    with op.batch_alter_table("returns") as batch_op:
        batch_op.drop_constraint(op.f("ck_returns_returnsource"), type_="check")
        batch_op.create_check_constraint(op.f("ck_returns_returnsource"), sa.column("source").in_(sources))
