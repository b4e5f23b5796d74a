"""Two letters of a broadcast tried out against each other, and people held out by lot."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = ("draft", "scheduled", "expanding", "sending", "finished", "cancelled")
OPEN = "state IN ('scheduled', 'expanding', {}'sending')"
ARMS = ("first", "second", "held", "rest")
MEASURES = ("did", "finished", "clicks")

broadcasts = sa.table("broadcasts", *(sa.column(name) for name in ("id", "state", "send_at", "stream_id", "letter_id")))
experiments = sa.table("experiments", sa.column("broadcast_id"), sa.column("rest_letter_id"))
streams = sa.table("streams", sa.column("id"), sa.column("paused_at"), sa.column("paused_why"))
pages = sa.table("broadcast_pages", sa.column("arm"))


def _words(name, values):
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _states(states, trying):
    """The states a broadcast may be in, and the index of those that are open."""
    op.drop_index("ix_broadcasts_open", table_name="broadcasts")
    with op.batch_alter_table("broadcasts") as batch_op:
        batch_op.drop_constraint(op.f("ck_broadcasts_broadcaststate"), type_="check")
    with op.batch_alter_table("broadcasts") as batch_op:
        batch_op.create_check_constraint(op.f("ck_broadcasts_broadcaststate"), sa.column("state").in_(states))
    where = sa.text(OPEN.format(trying))
    op.create_index("ix_broadcasts_open", "broadcasts", ["state"], unique=False, postgresql_where=where, sqlite_where=where)


def upgrade() -> None:
    _states(("draft", "scheduled", "expanding", "trying", "sending", "finished", "cancelled"), "'trying', ")
    with op.batch_alter_table("broadcast_pages") as batch_op:
        batch_op.add_column(sa.Column("arm", sa.String(length=24), server_default="first", nullable=False))
        batch_op.create_check_constraint(op.f("ck_broadcast_pages_arm"), sa.column("arm").in_(ARMS))
    with op.batch_alter_table("broadcast_pages") as batch_op:
        batch_op.alter_column("arm", server_default=None, existing_type=sa.String(length=24), existing_nullable=False)
    op.create_table(
        "experiments",
        sa.Column("broadcast_id", BIG, autoincrement=False, nullable=False),
        sa.Column("has_second", sa.Boolean(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("preheader", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tried_percent", sa.SmallInteger(), nullable=False),
        sa.Column("held_percent", sa.SmallInteger(), nullable=False),
        sa.Column("measure", _words("measure", MEASURES), nullable=False),
        sa.Column("within_days", sa.SmallInteger(), nullable=False),
        sa.Column("letter_id", BIG, nullable=True),
        sa.Column("rest_letter_id", BIG, nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judge_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_by_hand", sa.Boolean(), nullable=False),
        sa.Column("better", _words("arm", ARMS), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["broadcast_id"], ["broadcasts.id"], name=op.f("fk_experiments_broadcast_id_broadcasts"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["letter_id"], ["letters.id"], name=op.f("fk_experiments_letter_id_letters")),
        sa.ForeignKeyConstraint(["rest_letter_id"], ["letters.id"], name=op.f("fk_experiments_rest_letter_id_letters")),
        sa.PrimaryKeyConstraint("broadcast_id", name=op.f("pk_experiments")),
    )
    op.create_index("ix_experiments_letter_id", "experiments", ["letter_id"], unique=False)
    op.create_index("ix_experiments_rest_letter_id", "experiments", ["rest_letter_id"], unique=False)


def downgrade() -> None:
    here = op.get_bind()
    # What has not begun is a draft again, for it would go to everybody. Who was to get none gets none. The rest gets the better letter
    # where it is known; else it waits, paused, until somebody lets it have the first.
    tried = sa.select(experiments.c.broadcast_id)
    not_begun = sa.and_(broadcasts.c.state == "scheduled", broadcasts.c.id.in_(tried))
    here.execute(sa.update(broadcasts).where(not_begun).values(state="draft", send_at=None))
    here.execute(sa.delete(pages).where(pages.c.arm == "held"))
    better = sa.select(experiments.c.rest_letter_id).where(experiments.c.broadcast_id == broadcasts.c.id).scalar_subquery()
    known = sa.select(experiments.c.broadcast_id).where(experiments.c.rest_letter_id.is_not(None))
    here.execute(sa.update(broadcasts).where(broadcasts.c.id.in_(known)).values(letter_id=better))
    waits = sa.select(broadcasts.c.stream_id).where(broadcasts.c.state == "trying")
    paused = sa.update(streams).where(streams.c.id.in_(waits), streams.c.paused_at.is_(None))
    here.execute(paused.values(paused_at=sa.func.current_timestamp(), paused_why="Its letters were being tried out."))
    here.execute(sa.update(broadcasts).where(broadcasts.c.state == "trying").values(state="expanding"))
    op.drop_index("ix_experiments_rest_letter_id", table_name="experiments")
    op.drop_index("ix_experiments_letter_id", table_name="experiments")
    op.drop_table("experiments")
    with op.batch_alter_table("broadcast_pages") as batch_op:
        batch_op.drop_constraint(op.f("ck_broadcast_pages_arm"), type_="check")
    with op.batch_alter_table("broadcast_pages") as batch_op:
        batch_op.drop_column("arm")
    _states(STATES, "")
