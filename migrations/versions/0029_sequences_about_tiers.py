"""A sequence may begin when a tier was bought or a payment failed, and end when a tier is bought."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TRIGGERS = ("enrolled", "lesson_completed", "course_completed", "quiet", "module_opened")
GOALS = ("course_completed",)
OF_TIERS = "('tier_bought', 'payment_failed')"


def _allow(triggers, goals):
    for name, words in (("trigger", triggers), ("goal", goals)):
        with op.batch_alter_table("sequence_versions") as batch_op:
            batch_op.drop_constraint(op.f(f"ck_sequence_versions_{name}"), type_="check")
        with op.batch_alter_table("sequence_versions") as batch_op:
            batch_op.create_check_constraint(op.f(f"ck_sequence_versions_{name}"), sa.column(name).in_(words))


def upgrade() -> None:
    with op.batch_alter_table("sequence_versions") as batch_op:
        for name in ("tier_id", "goal_tier_id"):
            batch_op.add_column(sa.Column(name, BIG, nullable=True))
            batch_op.create_foreign_key(op.f(f"fk_sequence_versions_{name}_tiers"), "tiers", [name], ["id"], ondelete="CASCADE")
            batch_op.create_index(op.f(f"ix_sequence_versions_{name}"), [name], unique=False)
    _allow((*TRIGGERS, "tier_bought", "payment_failed"), (*GOALS, "tier_bought"))


def downgrade() -> None:
    # what began by a tier begins by nothing older versions know: its runs go on, and it is put away, so that nobody enrols into it
    op.execute(
        "UPDATE sequences SET archived_at = CURRENT_TIMESTAMP WHERE archived_at IS NULL AND id IN "
        f"(SELECT sequence_id FROM sequence_versions WHERE \"trigger\" IN {OF_TIERS})"
    )
    op.execute(f"UPDATE sequence_versions SET \"trigger\" = 'enrolled' WHERE \"trigger\" IN {OF_TIERS}")
    op.execute("UPDATE sequence_versions SET goal = NULL WHERE goal = 'tier_bought'")
    _allow(TRIGGERS, GOALS)
    with op.batch_alter_table("sequence_versions") as batch_op:
        for name in ("tier_id", "goal_tier_id"):
            batch_op.drop_index(op.f(f"ix_sequence_versions_{name}"))
            batch_op.drop_constraint(op.f(f"fk_sequence_versions_{name}_tiers"), type_="foreignkey")
            batch_op.drop_column(name)
