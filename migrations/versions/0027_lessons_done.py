"""A sequence may begin when somebody has done a lesson; who did one lately is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TRIGGERS = ("enrolled", "course_completed", "quiet", "module_opened")


def _triggers(names):
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.drop_constraint(op.f("ck_sequence_versions_trigger"), type_="check")
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.create_check_constraint(op.f("ck_sequence_versions_trigger"), sa.column("trigger").in_(names))


def upgrade() -> None:
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.add_column(sa.Column("lesson_id", BIG, nullable=True))
        batch_op.create_foreign_key(op.f("fk_sequence_versions_lesson_id_lessons"), "lessons", ["lesson_id"], ["id"], ondelete="SET NULL")
        batch_op.create_index(op.f("ix_sequence_versions_lesson_id"), ["lesson_id"], unique=False)
    _triggers(("enrolled", "lesson_completed", *TRIGGERS[1:]))
    op.create_index("ix_completions_lesson_completed", "completions", ["lesson_id", "completed_at"], unique=False)
    op.drop_index("ix_completions_lesson_id", table_name="completions")


def downgrade() -> None:
    op.create_index("ix_completions_lesson_id", "completions", ["lesson_id"], unique=False)
    op.drop_index("ix_completions_lesson_completed", table_name="completions")
    # one that began by a lesson begins by nothing older versions know: its runs go on, and it is put away, so that nobody enrols into it
    op.execute(
        "UPDATE sequences SET archived_at = CURRENT_TIMESTAMP WHERE archived_at IS NULL AND id IN "
        "(SELECT sequence_id FROM sequence_versions WHERE \"trigger\" = 'lesson_completed')"
    )
    op.execute("UPDATE sequence_versions SET \"trigger\" = 'enrolled' WHERE \"trigger\" = 'lesson_completed'")
    _triggers(TRIGGERS)
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.drop_index(op.f("ix_sequence_versions_lesson_id"))
        batch_op.drop_constraint(op.f("fk_sequence_versions_lesson_id_lessons"), type_="foreignkey")
        batch_op.drop_column("lesson_id")
