"""Numbers of people are never given again, also on SQLite; and whether any lesson shows a file."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

SHOWN = """
UPDATE assets SET is_shown = (is_public OR EXISTS (
  SELECT 1 FROM lessons JOIN revisions ON revisions.lesson_id = lessons.id AND revisions.number = lessons.revision_number
  WHERE lessons.course_id = assets.course_id AND lessons.retired_at IS NULL
    AND (revisions.html LIKE '%/assets/' || assets.public_id || '.%' OR revisions.adapted_html LIKE '%/assets/' || assets.public_id || '.%')
))
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL's numbers have always gone on
        with op.batch_alter_table("users", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    with op.batch_alter_table("assets") as batch_op:
        batch_op.add_column(sa.Column("is_shown", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute(SHOWN)
    with op.batch_alter_table("assets") as batch_op:
        batch_op.alter_column("is_shown", server_default=None, existing_type=sa.Boolean(), existing_nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("assets") as batch_op:
        batch_op.drop_column("is_shown")
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("users", recreate="always", table_kwargs={"sqlite_autoincrement": False}) as batch_op:
            batch_op.create_primary_key("pk_users", ["id"])  # whose name SQLite does not keep with AUTOINCREMENT
