"""Letters have an id in addresses, a purpose of their own, and keep what their references lead to."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
PURPOSES = "service", "course", "marketing"
OF_SEQUENCES = """
UPDATE letters SET purpose = (
  SELECT sequences.purpose FROM sequence_steps
  JOIN sequence_versions ON sequence_versions.id = sequence_steps.version_id
  JOIN sequences ON sequences.id = sequence_versions.sequence_id
  WHERE sequence_steps.letter_id = letters.id ORDER BY sequence_steps.id LIMIT 1
) WHERE EXISTS (SELECT 1 FROM sequence_steps WHERE sequence_steps.letter_id = letters.id)
"""


def upgrade() -> None:
    with op.batch_alter_table("letters") as batch_op:
        batch_op.add_column(sa.Column("public_id", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("purpose", sa.String(length=24), nullable=False, server_default="course"))
        batch_op.add_column(sa.Column("targets", sa.JSON(), nullable=False, server_default="{}"))
    op.execute(OF_SEQUENCES)
    letters = sa.table("letters", sa.column("id", sa.BigInteger), sa.column("public_id", sa.String))
    for letter_id in op.get_bind().execute(sa.select(letters.c.id)).scalars().all():
        public_id = "".join(secrets.choice(SIGNS) for _sign in range(16))
        op.execute(sa.update(letters).where(letters.c.id == letter_id).values(public_id=public_id))
    with op.batch_alter_table("letters") as batch_op:
        batch_op.alter_column("public_id", nullable=False, existing_type=sa.String(length=16))
        batch_op.alter_column("purpose", server_default=None, existing_type=sa.String(length=24), existing_nullable=False)
        batch_op.alter_column("targets", server_default=None, existing_type=sa.JSON(), existing_nullable=False)
        batch_op.create_check_constraint(op.f("ck_letters_purpose"), sa.column("purpose").in_(PURPOSES))
        batch_op.create_unique_constraint(op.f("uq_letters_public_id"), ["public_id"])


def downgrade() -> None:
    with op.batch_alter_table("letters") as batch_op:
        batch_op.drop_constraint(op.f("uq_letters_public_id"), type_="unique")
        batch_op.drop_constraint(op.f("ck_letters_purpose"), type_="check")
        batch_op.drop_column("public_id")
        batch_op.drop_column("purpose")
        batch_op.drop_column("targets")
