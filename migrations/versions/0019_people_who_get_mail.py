"""A pause that people take from their mail; files of contacts that come in and go out."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
IMPORT_STATES = ("sent", "checking", "ready", "running", "finished", "cancelled", "failed")
EXPORT_STATES = ("writing", "ready", "expired", "failed")


def _words(name, values):
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _moment(name, nullable=True):
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("contacts", _moment("mail_paused_until"))
    op.create_table(
        "contact_imports",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("by_user_id", BIG, nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", _words("importstate", IMPORT_STATES), nullable=False),
        sa.Column("encoding", sa.String(length=20), nullable=False),
        sa.Column("delimiter", sa.String(length=1), nullable=False),
        sa.Column("has_names", sa.Boolean(), nullable=False),
        sa.Column("heads", sa.JSON(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        _moment("stated_at"),
        sa.Column("is_confirmed", sa.Boolean(), nullable=False),
        sa.Column("cursor", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("problem", sa.String(length=20), nullable=True),
        _moment("leased_until"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("stream_id", BIG, nullable=True),
        _moment("created_at", nullable=False),
        _moment("finished_at"),
        sa.ForeignKeyConstraint(["by_user_id"], ["users.id"], name=op.f("fk_contact_imports_by_user_id_users"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_contact_imports_stream_id_streams")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_imports")),
        sa.UniqueConstraint("public_id", name=op.f("uq_contact_imports_public_id")),
        sa.UniqueConstraint("stream_id", name=op.f("uq_contact_imports_stream_id")),
    )
    op.create_index(op.f("ix_contact_imports_by_user_id"), "contact_imports", ["by_user_id"])
    op.create_index(op.f("ix_contact_imports_state"), "contact_imports", ["state"])
    op.create_table(
        "import_findings",
        sa.Column("id", BIG, nullable=False),
        sa.Column("import_id", BIG, nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["contact_imports.id"], name=op.f("fk_import_findings_import_id_contact_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_findings")),
    )
    op.create_index("ix_import_findings_import", "import_findings", ["import_id", "id"])
    op.create_table(
        "contact_exports",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("by_user_id", BIG, nullable=True),
        sa.Column("segment_name", sa.String(length=120), nullable=True),
        sa.Column("tree", sa.JSON(), nullable=False),
        sa.Column("state", _words("exportstate", EXPORT_STATES), nullable=False),
        sa.Column("cursor", BIG, nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        _moment("created_at", nullable=False),
        _moment("finished_at"),
        _moment("expires_at"),
        sa.ForeignKeyConstraint(["by_user_id"], ["users.id"], name=op.f("fk_contact_exports_by_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_exports")),
        sa.UniqueConstraint("public_id", name=op.f("uq_contact_exports_public_id")),
    )
    op.create_index(op.f("ix_contact_exports_by_user_id"), "contact_exports", ["by_user_id"])
    op.create_index(op.f("ix_contact_exports_state"), "contact_exports", ["state"])


def downgrade() -> None:
    op.drop_table("contact_exports")
    op.drop_table("import_findings")
    op.drop_table("contact_imports")
    op.drop_column("contacts", "mail_paused_until")
