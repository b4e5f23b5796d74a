"""Whom a broadcast is for is kept in pages until their mails are in the outbox, which says it from then on; no row for each of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERS = sa.JSON().with_variant(postgresql.ARRAY(sa.BigInteger()), "postgresql")
PAGE = 2_000

pages = sa.table(
    "broadcast_pages", sa.column("broadcast_id", BIG), sa.column("number", sa.Integer), sa.column("contact_ids", NUMBERS),
    sa.column("people", sa.Integer),
)  # fmt: skip
recipients = sa.table("broadcast_recipients", sa.column("broadcast_id", BIG), sa.column("contact_id", BIG))
broadcasts = sa.table("broadcasts", *(sa.column(name) for name in ("id", "state", "cursor", "stream_id")))
contacts = sa.table("contacts", sa.column("id"), sa.column("erased_at"))
messages = sa.table("messages", sa.column("stream_id"), sa.column("contact_id"))


def upgrade() -> None:
    op.create_table(
        "broadcast_pages",
        sa.Column("broadcast_id", BIG, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("contact_ids", NUMBERS, nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_broadcast_pages_broadcast_id_broadcasts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("broadcast_id", "number", name=op.f("pk_broadcast_pages")),
    )
    here = op.get_bind()
    half_done = sa.select(broadcasts.c.id, broadcasts.c.cursor).where(broadcasts.c.state == "expanding")
    for broadcast_id, cursor in here.execute(half_done).all():
        own = sa.and_(recipients.c.broadcast_id == broadcast_id, recipients.c.contact_id > cursor)
        ids = here.scalars(sa.select(recipients.c.contact_id).where(own).order_by(recipients.c.contact_id)).all()
        for number, start in enumerate(range(0, len(ids), PAGE)):
            part = list(ids[start : start + PAGE])
            here.execute(sa.insert(pages).values(broadcast_id=broadcast_id, number=number, contact_ids=part, people=len(part)))
    op.drop_table("broadcast_recipients")
    with op.batch_alter_table("broadcasts") as batch_op:
        batch_op.drop_column("cursor")


def downgrade() -> None:
    with op.batch_alter_table("broadcasts") as batch_op:
        batch_op.add_column(sa.Column("cursor", BIG, server_default="0", nullable=False))
    with op.batch_alter_table("broadcasts") as batch_op:
        batch_op.alter_column("cursor", server_default=None)
    op.create_table(
        "broadcast_recipients",
        sa.Column("broadcast_id", BIG, nullable=False),
        sa.Column("contact_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_broadcast_recipients_broadcast_id_broadcasts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_broadcast_recipients_contact_id_contacts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("broadcast_id", "contact_id", name=op.f("pk_broadcast_recipients")),
    )
    op.create_index("ix_broadcast_recipients_contact_id", "broadcast_recipients", ["contact_id"], unique=False)
    here = op.get_bind()
    have_mail = sa.select(broadcasts.c.id, messages.c.contact_id).join_from(broadcasts, messages, messages.c.stream_id == broadcasts.c.stream_id)
    here.execute(sa.insert(recipients).from_select(["broadcast_id", "contact_id"], have_mail.distinct()))
    last = sa.select(sa.func.coalesce(sa.func.max(recipients.c.contact_id), 0)).where(recipients.c.broadcast_id == broadcasts.c.id)
    here.execute(sa.update(broadcasts).values(cursor=last.scalar_subquery()))
    for broadcast_id, ids in here.execute(sa.select(pages.c.broadcast_id, pages.c.contact_ids)).all():
        here.execute(sa.insert(recipients), [{"broadcast_id": broadcast_id, "contact_id": number} for number in ids])
    erased = sa.select(contacts.c.id).where(contacts.c.erased_at.is_not(None))
    here.execute(sa.delete(recipients).where(recipients.c.contact_id.in_(erased)))
    op.drop_table("broadcast_pages")
