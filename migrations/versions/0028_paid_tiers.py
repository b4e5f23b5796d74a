"""Paid tiers: what is sold, who bought it, what it opens; courses that are not for everybody."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

BEFORE = (
    *("lesson_completed", "course_completed", "enrolled", "account_claimed", "address_changed", "address_change_ended"),
    *("consent_given", "consent_withdrawn", "mail_bounced", "mail_complained", "mail_paused", "mail_pause_ended", "person_erased"),
)
OF_LEARNERS = (*BEFORE, "tier_bought", "access_granted", "access_revoked", "payment_failed")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index_others(of_learners):
    """The index of events that are not learners' doing."""
    op.drop_index("ix_events_others", table_name="events")
    others = sa.text(f"type NOT IN ({', '.join(repr(type) for type in of_learners)})")
    op.create_index("ix_events_others", "events", ["id"], unique=False, postgresql_where=others, sqlite_where=others)


def upgrade() -> None:
    _index_others(OF_LEARNERS)
    with op.batch_alter_table("courses") as batch_op:
        batch_op.add_column(sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "reconciliations",
        sa.Column("id", BIG, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_fixing", sa.Boolean(), nullable=False),
        sa.Column("looked_at", sa.Integer(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "stripe_events",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_listed", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(length=40), nullable=True),
        sa.Column("problem", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_events")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_stripe_events_stripe_id")),
    )
    op.create_index(
        "ix_stripe_events_open",
        "stripe_events",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
        sqlite_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "tiers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("neutral_name", sa.String(length=80), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sensitive_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tiers")),
        sa.UniqueConstraint("key", name=op.f("uq_tiers_key")),
        sa.UniqueConstraint("product_id", name=op.f("uq_tiers_product_id")),
        sa.UniqueConstraint("public_id", name=op.f("uq_tiers_public_id")),
    )
    op.create_table(
        "plans",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column(
            "interval",
            sa.Enum("once", "month", "year", name="interval", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_plans_tier_id_tiers"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
        sa.UniqueConstraint("key", name=op.f("uq_plans_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_plans_public_id")),
    )
    op.create_index(op.f("ix_plans_tier_id"), "plans", ["tier_id"], unique=False)
    op.create_table(
        "customers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("stripe_id", sa.String(length=255), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_customers_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_customers_stripe_id")),
    )
    op.create_index(op.f("ix_customers_user_id"), "customers", ["user_id"], unique=False)
    op.create_table(
        "prices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("plan_id", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_prices_amount")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_prices_plan_id_plans"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prices")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_prices_stripe_id")),
    )
    op.create_index(op.f("ix_prices_plan_id"), "prices", ["plan_id"], unique=False)
    op.create_index(
        "uq_prices_offered",
        "prices",
        ["plan_id", "currency"],
        unique=True,
        postgresql_where=sa.text("retired_at IS NULL"),
        sqlite_where=sa.text("retired_at IS NULL"),
    )
    op.create_table(
        "tier_grants",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("course_id", BIG, nullable=False),
        sa.Column("module_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_tier_grants_course_id_courses"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_tier_grants_module_id_modules"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_tier_grants_tier_id_tiers"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tier_grants")),
        sa.UniqueConstraint("tier_id", "module_id", name=op.f("uq_tier_grants_tier_id_module_id")),
    )
    op.create_index(op.f("ix_tier_grants_course_id"), "tier_grants", ["course_id"], unique=False)
    op.create_index(op.f("ix_tier_grants_module_id"), "tier_grants", ["module_id"], unique=False)
    op.create_index(
        "uq_tier_grants_whole",
        "tier_grants",
        ["tier_id", "course_id"],
        unique=True,
        postgresql_where=sa.text("module_id IS NULL"),
        sqlite_where=sa.text("module_id IS NULL"),
    )
    op.create_table(
        "checkouts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("plan_id", BIG, nullable=False),
        sa.Column("price_id", BIG, nullable=False),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=True),
        sa.Column("contact_id", BIG, nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "waiting",
                "fulfilled",
                "failed",
                "expired",
                name="checkoutstate",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_checkouts_contact_id_contacts"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_checkouts_plan_id_plans")),
        sa.ForeignKeyConstraint(["price_id"], ["prices.id"], name=op.f("fk_checkouts_price_id_prices")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_checkouts_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_checkouts_public_id")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_checkouts_stripe_id")),
    )
    op.create_index(op.f("ix_checkouts_contact_id"), "checkouts", ["contact_id"], unique=False)
    op.create_index(op.f("ix_checkouts_plan_id"), "checkouts", ["plan_id"], unique=False)
    op.create_index(op.f("ix_checkouts_price_id"), "checkouts", ["price_id"], unique=False)
    op.create_index(op.f("ix_checkouts_user_id"), "checkouts", ["user_id"], unique=False)
    op.create_table(
        "subscriptions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=False),
        sa.Column("customer_id", BIG, nullable=False),
        sa.Column("plan_id", BIG, nullable=True),
        sa.Column("price_stripe_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trial_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancels_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("past_due_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_subscriptions_customer_id_customers")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_subscriptions_plan_id_plans")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_subscriptions_stripe_id")),
    )
    op.create_index(op.f("ix_subscriptions_customer_id"), "subscriptions", ["customer_id"], unique=False)
    op.create_index(op.f("ix_subscriptions_plan_id"), "subscriptions", ["plan_id"], unique=False)
    op.create_table(
        "entitlements",
        sa.Column("id", BIG, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column(
            "kind",
            sa.Enum("free", "purchase", "subscription", "gift", name="kind", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "closed_why",
            sa.Enum(
                "lapsed", "refunded", "disputed", "lost", "withdrawn", name="closed", native_enum=False, create_constraint=True, length=24
            ),
            nullable=True,
        ),
        sa.Column("checkout_id", BIG, nullable=True),
        sa.Column("subscription_id", BIG, nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("given_by_user_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("fk_entitlements_checkout_id_checkouts")),
        sa.ForeignKeyConstraint(
            ["given_by_user_id"], ["users.id"], name=op.f("fk_entitlements_given_by_user_id_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_entitlements_subscription_id_subscriptions")),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_entitlements_tier_id_tiers")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_entitlements_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entitlements")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_entitlements_checkout_id")),
        sa.UniqueConstraint("public_id", name=op.f("uq_entitlements_public_id")),
        sa.UniqueConstraint("subscription_id", name=op.f("uq_entitlements_subscription_id")),
    )
    op.create_index(op.f("ix_entitlements_tier_id"), "entitlements", ["tier_id"], unique=False)
    op.create_index("ix_entitlements_user_tier", "entitlements", ["user_id", "tier_id"], unique=False)
    op.create_table(
        "payments",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=False),
        sa.Column("invoice_id", sa.String(length=255), nullable=True),
        sa.Column("invoice_number", sa.String(length=255), nullable=True),
        sa.Column("customer_id", BIG, nullable=True),
        sa.Column("checkout_id", BIG, nullable=True),
        sa.Column("subscription_id", BIG, nullable=True),
        sa.Column("plan_id", BIG, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("tax", BIG, nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disputed", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("fk_payments_checkout_id_checkouts")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_payments_customer_id_customers")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_payments_plan_id_plans")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_payments_subscription_id_subscriptions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("invoice_id", name=op.f("uq_payments_invoice_id")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_payments_stripe_id")),
    )
    op.create_index(op.f("ix_payments_checkout_id"), "payments", ["checkout_id"], unique=False)
    op.create_index(op.f("ix_payments_customer_id"), "payments", ["customer_id"], unique=False)
    op.create_index("ix_payments_paid_at", "payments", ["paid_at", "id"], unique=False)
    op.create_index(op.f("ix_payments_plan_id"), "payments", ["plan_id"], unique=False)
    op.create_index(op.f("ix_payments_subscription_id"), "payments", ["subscription_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", BIG, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id_payments"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("stripe_id", name=op.f("uq_refunds_stripe_id")),
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)


def downgrade() -> None:
    # what only some might see would be open to everybody who has its address: it is taken back
    op.execute("UPDATE courses SET published_at = NULL WHERE paid_at IS NOT NULL")
    for table in (
        "refunds",
        "payments",
        "entitlements",
        "subscriptions",
        "checkouts",
        "tier_grants",
        "prices",
        "customers",
        "plans",
        "tiers",
        "stripe_events",
        "reconciliations",
    ):
        op.drop_table(table)
    with op.batch_alter_table("courses") as batch_op:
        batch_op.drop_column("paid_at")
    _index_others(BEFORE)
