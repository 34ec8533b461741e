"""Create the tables of grants, accounts, campaigns and metrics.

Revision: 0001, after None
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("summary", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
    )
    op.create_table(
        "teams",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("name", name=op.f("uq_teams_name")),
    )
    op.create_table(
        "platform_credentials",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("status_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("access_token", sa.LargeBinary(), nullable=True),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_platform_credentials_platform_is_known")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'reauthorization_required', 'revoked', 'disabled')",
            name=op.f("ck_platform_credentials_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_platform_credentials_team_id_teams")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_credentials")),
        sa.UniqueConstraint("team_id", "platform", "name", name=op.f("uq_platform_credentials_team_id_platform_name")),
    )
    op.create_table(
        "ad_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("manager_id", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("campaigns_cursor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("synced_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_full_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("removals_held", sa.Integer(), nullable=True),
        sa.Column("removals_approved", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_ad_accounts_platform_is_known")
        ),
        sa.CheckConstraint("status IN ('active', 'closed')", name=op.f("ck_ad_accounts_status_is_known")),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["platform_credentials.id"],
            name=op.f("fk_ad_accounts_credential_id_platform_credentials"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_ad_accounts_team_id_teams")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ad_accounts")),
        sa.UniqueConstraint(
            "team_id", "platform", "external_id", name=op.f("uq_ad_accounts_team_id_platform_external_id")
        ),
    )
    op.create_index(op.f("ix_ad_accounts_credential_id"), "ad_accounts", ["credential_id"], unique=False)
    op.create_table(
        "campaign_daily_metrics",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=True),
        sa.Column("impressions", sa.BigInteger(), nullable=False),
        sa.Column("clicks", sa.BigInteger(), nullable=False),
        sa.Column("spend", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("conversions", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("conversion_value", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_campaign_daily_metrics_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "campaign_id", "day", name=op.f("pk_campaign_daily_metrics")),
    )
    op.create_index(
        op.f("ix_campaign_daily_metrics_account_id_day"),
        "campaign_daily_metrics",
        ["account_id", "day"],
        unique=False,
    )
    op.create_table(
        "campaigns",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("native_status", sa.Text(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=True),
        sa.Column("budget_kind", sa.Text(), nullable=False),
        sa.Column("budget_amount", sa.Numeric(precision=20, scale=6), nullable=True),
        sa.Column("budget_currency", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=True),
        sa.Column("start_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name=op.f("fk_campaigns_account_id_ad_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "external_id", name=op.f("pk_campaigns")),
    )
    op.create_table(
        "report_requests",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_report_requests_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "report_id", name=op.f("pk_report_requests")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("report_requests")
    op.drop_table("campaigns")
    op.drop_index(op.f("ix_campaign_daily_metrics_account_id_day"), table_name="campaign_daily_metrics")
    op.drop_table("campaign_daily_metrics")
    op.drop_index(op.f("ix_ad_accounts_credential_id"), table_name="ad_accounts")
    op.drop_table("ad_accounts")
    op.drop_table("platform_credentials")
    op.drop_table("teams")
    op.drop_table("sync_runs")
