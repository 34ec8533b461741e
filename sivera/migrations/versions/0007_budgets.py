"""Create the budgets that teams set, when budgets were checked, and the alerts on them.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "team_budgets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(20, 6), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_team_budgets_platform_is_known")
        ),
        sa.CheckConstraint("platform IS NULL OR account_id IS NULL", name=op.f("ck_team_budgets_scope_is_one")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_team_budgets_amount_is_positive")),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_team_budgets_team_id_teams")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_team_budgets_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team_budgets")),
        sa.UniqueConstraint(
            "team_id",
            "platform",
            "account_id",
            "currency",
            name=op.f("uq_team_budgets_team_id_platform_account_id_currency"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_team_budgets_account_id"), "team_budgets", ["account_id"])
    op.create_table(
        "budget_checks",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_budget_checks_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_budget_checks")),
    )
    op.create_table(
        "budget_alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("period_since", sa.Date(), nullable=True),
        sa.Column("period_until", sa.Date(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(20, 6), nullable=True),
        sa.Column("spent", sa.Numeric(20, 6), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_because", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('budget', 'budget-data-stale')", name=op.f("ck_budget_alerts_kind_is_known")),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_budget_alerts_team_id_teams")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_budget_alerts_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_alerts")),
    )
    op.create_index(
        "uq_budget_alerts_open",
        "budget_alerts",
        ["kind", "subject", "threshold"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(op.f("ix_budget_alerts_account_id"), "budget_alerts", ["account_id"])
    op.create_index(op.f("ix_budget_alerts_team_id_opened_at"), "budget_alerts", ["team_id", "opened_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("budget_alerts")
    op.drop_table("budget_checks")
    op.drop_table("team_budgets")
