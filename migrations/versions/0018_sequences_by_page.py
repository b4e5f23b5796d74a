"""Sequences are drafts that are published: what begins and ends a run stands on the version; when people were here last."""

import secrets
from datetime import time

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
WORD = sa.String(length=24)
SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
TRIGGERS = ("enrolled", "course_completed", "quiet", "module_opened")
GOALS = ("course_completed",)
CONDITIONS = ("not_begun", "begun", "not_finished", "finished")
ENDS = ("finished", "goal", "unsubscribed", "erased")
OPEN = sa.text("ended_at IS NULL")
FROM_SEQUENCES = """
UPDATE sequence_versions SET
  "trigger" = (SELECT sequences."trigger" FROM sequences WHERE sequences.id = sequence_versions.sequence_id),
  goal = (SELECT sequences.goal FROM sequences WHERE sequences.id = sequence_versions.sequence_id)
"""
FROM_VERSIONS = """
UPDATE sequences SET
  "trigger" = (SELECT v."trigger" FROM sequence_versions v WHERE v.sequence_id = sequences.id ORDER BY v.number DESC LIMIT 1),
  goal = (SELECT v.goal FROM sequence_versions v WHERE v.sequence_id = sequences.id ORDER BY v.number DESC LIMIT 1)
WHERE EXISTS (SELECT 1 FROM sequence_versions v WHERE v.sequence_id = sequences.id)
"""
SEEN = """
UPDATE users SET seen_at = (
  SELECT max(at) FROM (
    SELECT users.created_at AS at
    UNION ALL SELECT last_seen_at FROM login_sessions WHERE login_sessions.user_id = users.id
    UNION ALL SELECT started_at FROM enrolments WHERE enrolments.user_id = users.id
    UNION ALL SELECT last_opened_at FROM enrolments WHERE enrolments.user_id = users.id
  ) moments
)
"""


def upgrade() -> None:
    _versions_up()
    _sequences_up()
    with op.batch_alter_table("sequence_steps") as batch_op:
        batch_op.add_column(sa.Column("condition", WORD, nullable=True))
        batch_op.create_check_constraint(op.f("ck_sequence_steps_condition"), sa.column("condition").in_(CONDITIONS))
    kwargs = {"recreate": "always", "table_kwargs": {"sqlite_autoincrement": True}} if _is_sqlite() else {}
    with op.batch_alter_table("sequence_runs", **kwargs) as batch_op:
        batch_op.add_column(sa.Column("occasion", sa.String(length=40), nullable=False, server_default=""))
        batch_op.drop_constraint(op.f("uq_sequence_runs_sequence_id_contact_id_course_id"), type_="unique")
        batch_op.drop_constraint(op.f("ck_sequence_runs_runend"), type_="check")
    with op.batch_alter_table("sequence_runs", **kwargs) as batch_op:
        batch_op.alter_column("occasion", server_default=None, existing_type=sa.String(length=40), existing_nullable=False)
        batch_op.create_check_constraint(op.f("ck_sequence_runs_runend"), sa.column("end").in_((*ENDS, "active", "stopped")))
        batch_op.create_unique_constraint(
            op.f("uq_sequence_runs_sequence_id_contact_id_course_id_occasion"), ["sequence_id", "contact_id", "course_id", "occasion"]
        )
    op.create_index("ix_sequence_runs_open", "sequence_runs", ["version_id", "position"], postgresql_where=OPEN, sqlite_where=OPEN)
    op.add_column("users", sa.Column("seen_at", MOMENT, nullable=True))
    op.execute(SEEN)
    op.create_index("ix_users_seen_at", "users", ["seen_at"])


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _versions_up() -> None:
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.add_column(sa.Column("language", sa.String(length=16), nullable=False, server_default="en"))
        batch_op.add_column(sa.Column("trigger", WORD, nullable=True))
        batch_op.add_column(sa.Column("trigger_days", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("course_id", BIG, nullable=True))
        batch_op.add_column(sa.Column("goal", WORD, nullable=True))
        batch_op.add_column(sa.Column("window_start", sa.Time(), nullable=True))
        batch_op.add_column(sa.Column("window_end", sa.Time(), nullable=True))
        batch_op.add_column(sa.Column("weekdays", sa.String(length=7), nullable=False, server_default="1234567"))
        batch_op.add_column(sa.Column("by_user_id", BIG, nullable=True))
    op.execute(FROM_SEQUENCES)
    versions = sa.table("sequence_versions", sa.column("window_start", sa.Time), sa.column("window_end", sa.Time))
    op.execute(sa.update(versions).values(window_start=time(0), window_end=time(0)))
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.alter_column("language", server_default=None, existing_type=sa.String(length=16), existing_nullable=False)
        batch_op.alter_column("weekdays", server_default=None, existing_type=sa.String(length=7), existing_nullable=False)
        batch_op.alter_column("trigger", nullable=False, existing_type=WORD)
        batch_op.alter_column("window_start", nullable=False, existing_type=sa.Time())
        batch_op.alter_column("window_end", nullable=False, existing_type=sa.Time())
        batch_op.create_check_constraint(op.f("ck_sequence_versions_trigger"), sa.column("trigger").in_(TRIGGERS))
        batch_op.create_check_constraint(op.f("ck_sequence_versions_goal"), sa.column("goal").in_(GOALS))
        batch_op.create_foreign_key(op.f("fk_sequence_versions_course_id_courses"), "courses", ["course_id"], ["id"], ondelete="CASCADE")
        batch_op.create_foreign_key(op.f("fk_sequence_versions_by_user_id_users"), "users", ["by_user_id"], ["id"], ondelete="SET NULL")
        batch_op.create_index(op.f("ix_sequence_versions_course_id"), ["course_id"], unique=False)
        batch_op.create_index(op.f("ix_sequence_versions_by_user_id"), ["by_user_id"], unique=False)


def _sequences_up() -> None:
    with op.batch_alter_table("sequences") as batch_op:
        batch_op.add_column(sa.Column("public_id", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("draft", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("draft_version", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("changed_at", MOMENT, nullable=True))
        batch_op.add_column(sa.Column("by_user_id", BIG, nullable=True))
        batch_op.add_column(sa.Column("archived_at", MOMENT, nullable=True))
        batch_op.drop_column("trigger")
        batch_op.drop_column("goal")
    op.execute("UPDATE sequences SET changed_at = created_at")
    sequences = sa.table("sequences", sa.column("id", sa.BigInteger), sa.column("public_id", sa.String))
    for sequence_id in op.get_bind().execute(sa.select(sequences.c.id)).scalars().all():
        public_id = "".join(secrets.choice(SIGNS) for _sign in range(16))
        op.execute(sa.update(sequences).where(sequences.c.id == sequence_id).values(public_id=public_id))
    with op.batch_alter_table("sequences") as batch_op:
        batch_op.alter_column("public_id", nullable=False, existing_type=sa.String(length=16))
        batch_op.alter_column("draft_version", server_default=None, existing_type=sa.Integer(), existing_nullable=False)
        batch_op.alter_column("changed_at", nullable=False, existing_type=MOMENT)
        batch_op.create_unique_constraint(op.f("uq_sequences_public_id"), ["public_id"])
        batch_op.create_foreign_key(op.f("fk_sequences_by_user_id_users"), "users", ["by_user_id"], ["id"], ondelete="SET NULL")
        batch_op.create_index(op.f("ix_sequences_by_user_id"), ["by_user_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_users_seen_at", table_name="users")
    op.drop_column("users", "seen_at")
    op.drop_index("ix_sequence_runs_open", table_name="sequence_runs")
    op.execute("DELETE FROM sequence_runs WHERE occasion <> ''")
    op.execute("""UPDATE sequence_runs SET "end" = 'finished' WHERE "end" IN ('active', 'stopped')""")
    with op.batch_alter_table("sequence_runs") as batch_op:
        batch_op.drop_constraint(op.f("uq_sequence_runs_sequence_id_contact_id_course_id_occasion"), type_="unique")
        batch_op.drop_constraint(op.f("ck_sequence_runs_runend"), type_="check")
        batch_op.drop_column("occasion")
    kwargs = {"recreate": "always", "table_kwargs": {"sqlite_autoincrement": False}} if _is_sqlite() else {}
    with op.batch_alter_table("sequence_runs", **kwargs) as batch_op:
        if _is_sqlite():
            batch_op.create_primary_key("pk_sequence_runs", ["id"])  # whose name SQLite does not keep with AUTOINCREMENT
        batch_op.create_check_constraint(op.f("ck_sequence_runs_runend"), sa.column("end").in_(ENDS))
        batch_op.create_unique_constraint(
            op.f("uq_sequence_runs_sequence_id_contact_id_course_id"), ["sequence_id", "contact_id", "course_id"]
        )
    with op.batch_alter_table("sequence_steps") as batch_op:
        batch_op.drop_constraint(op.f("ck_sequence_steps_condition"), type_="check")
        batch_op.drop_column("condition")
    _sequences_down()
    _versions_down()


def _sequences_down() -> None:
    with op.batch_alter_table("sequences") as batch_op:
        batch_op.add_column(sa.Column("trigger", sa.String(length=40), nullable=False, server_default="enrolled"))
        batch_op.add_column(sa.Column("goal", sa.String(length=40), nullable=True))
    op.execute(FROM_VERSIONS)
    with op.batch_alter_table("sequences") as batch_op:
        batch_op.alter_column("trigger", server_default=None, existing_type=sa.String(length=40), existing_nullable=False)
        batch_op.drop_index(op.f("ix_sequences_by_user_id"))
        batch_op.drop_constraint(op.f("fk_sequences_by_user_id_users"), type_="foreignkey")
        batch_op.drop_constraint(op.f("uq_sequences_public_id"), type_="unique")
        for name in ("public_id", "draft", "draft_version", "changed_at", "by_user_id", "archived_at"):
            batch_op.drop_column(name)


def _versions_down() -> None:
    with op.batch_alter_table("sequence_versions") as batch_op:
        batch_op.drop_index(op.f("ix_sequence_versions_by_user_id"))
        batch_op.drop_index(op.f("ix_sequence_versions_course_id"))
        batch_op.drop_constraint(op.f("fk_sequence_versions_by_user_id_users"), type_="foreignkey")
        batch_op.drop_constraint(op.f("fk_sequence_versions_course_id_courses"), type_="foreignkey")
        batch_op.drop_constraint(op.f("ck_sequence_versions_goal"), type_="check")
        batch_op.drop_constraint(op.f("ck_sequence_versions_trigger"), type_="check")
        for name in ("language", "trigger", "trigger_days", "course_id", "goal", "window_start", "window_end", "weekdays", "by_user_id"):
            batch_op.drop_column(name)
