"""Create the tables.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cleanup_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cutoff", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "kind", name="pk_cleanup_runs"),
    )
    op.create_index("ix_cleanup_runs_started_at", "cleanup_runs", ["started_at"], unique=False)
    op.create_table(
        "metric_samples",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "at", "labels", name="pk_metric_samples"),
    )
    op.create_index("ix_metric_samples_at", "metric_samples", ["at"], unique=False)
    op.create_table(
        "platform_calls",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("api", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("throttled", sa.BigInteger(), nullable=False),
        sa.Column("used_percent", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_platform_calls_platform_is_known")
        ),
        sa.PrimaryKeyConstraint("run_id", "platform", name="pk_platform_calls"),
    )
    op.create_index("ix_platform_calls_at", "platform_calls", ["at"], unique=False)
    op.create_table(
        "platform_outages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_platform_outages_platform_is_known")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_platform_outages"),
    )
    op.create_index(
        "uq_platform_outages_open",
        "platform_outages",
        ["platform"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("summary", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_runs"),
    )
    op.create_index("ix_sync_runs_started_at_id", "sync_runs", ["started_at", "id"], unique=False)
    op.create_table(
        "teams",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("language", sa.Text(), server_default="en", nullable=False),
        sa.Column("reports_restated_through", sa.Date(), nullable=True),
        sa.Column("meta_conversion", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("language IN ('en', 'ko')", name=op.f("ck_teams_language_is_known")),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )
    op.create_table(
        "token_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sentinel", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_token_keys"),
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
        sa.Column("last_renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("strikes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_strike_on", sa.Date(), nullable=True),
        sa.Column("accounts_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accounts_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data_access_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_platform_credentials_platform_is_known")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'reauthorization_required', 'revoked', 'disabled')",
            name=op.f("ck_platform_credentials_status_is_known"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_platform_credentials_team_id_teams"),
        sa.PrimaryKeyConstraint("id", name="pk_platform_credentials"),
        sa.UniqueConstraint("team_id", "platform", "name", name="uq_platform_credentials_team_id_platform_name"),
    )
    op.create_index(
        "ix_platform_credentials_due",
        "platform_credentials",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "reports",
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column(
            "written_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_reports_team_id_teams", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "day", name="pk_reports"),
    )
    op.create_index("ix_reports_day", "reports", ["day"], unique=False)
    op.create_index("ix_reports_written_at", "reports", ["written_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_sessions_team_id_teams"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_expires_at_id", "sessions", ["expires_at", "id"], unique=False)
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
        sa.Column("unlisted_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("synced_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_full_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_ad_accounts_platform_is_known")
        ),
        sa.CheckConstraint("status IN ('active', 'closed')", name=op.f("ck_ad_accounts_status_is_known")),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["platform_credentials.id"], name="fk_ad_accounts_credential_id_platform_credentials"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_ad_accounts_team_id_teams"),
        sa.PrimaryKeyConstraint("id", name="pk_ad_accounts"),
        sa.UniqueConstraint("team_id", "platform", "external_id", name="uq_ad_accounts_team_id_platform_external_id"),
    )
    op.create_index("ix_ad_accounts_credential_id", "ad_accounts", ["credential_id"], unique=False)
    op.create_table(
        "oauth_states",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("state_hash", sa.Text(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=True),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("redirect_uri", sa.Text(), nullable=True),
        sa.Column("verifier", sa.LargeBinary(), nullable=True),
        sa.Column("browser_hash", sa.Text(), nullable=True),
        sa.Column("link_hash", sa.Text(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_oauth_states_session_id_sessions"),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_states"),
        sa.UniqueConstraint("state_hash", name="uq_oauth_states_state_hash"),
    )
    op.create_index("ix_oauth_states_expires_at_id", "oauth_states", ["expires_at", "id"], unique=False)
    op.create_index("ix_oauth_states_session_id", "oauth_states", ["session_id"], unique=False)
    op.create_index(
        "uq_oauth_states_used_link",
        "oauth_states",
        ["link_hash"],
        unique=True,
        postgresql_where=sa.text("used_at IS NOT NULL"),
    )
    op.create_table(
        "token_refresh_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("token_fingerprint", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["platform_credentials.id"],
            name="fk_token_refresh_logs_credential_id_platform_credentials",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_token_refresh_logs"),
    )
    op.create_index(
        "ix_token_refresh_logs_credential_id_id", "token_refresh_logs", ["credential_id", "id"], unique=False
    )
    op.create_index(
        "ix_token_refresh_logs_in_doubt",
        "token_refresh_logs",
        ["credential_id"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL OR outcome = 'in_doubt'"),
    )
    op.create_index("ix_token_refresh_logs_started_at_id", "token_refresh_logs", ["started_at", "id"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=True),
        sa.Column("team_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_because", sa.Text(), nullable=True),
        sa.Column(
            "open_receipts", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "close_receipts", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name="fk_alerts_account_id_ad_accounts", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_alerts_team_id_teams"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_account_id", "alerts", ["account_id"], unique=False)
    op.create_index(
        "ix_alerts_closed",
        "alerts",
        ["closed_at", "id"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    )
    op.create_index("ix_alerts_team_id", "alerts", ["team_id"], unique=False)
    op.create_index(
        "uq_alerts_open", "alerts", ["kind", "subject"], unique=True, postgresql_where=sa.text("closed_at IS NULL")
    )
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
        sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name="fk_campaign_daily_metrics_account_id_ad_accounts",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "campaign_id", "day", name="pk_campaign_daily_metrics"),
    )
    op.create_index(
        "ix_campaign_daily_metrics_account_id_day", "campaign_daily_metrics", ["account_id", "day"], unique=False
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
        sa.Column("is_reported", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name="fk_campaigns_account_id_ad_accounts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "external_id", name="pk_campaigns"),
    )
    op.create_table(
        "account_daily_totals",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spend", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("unattributed", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name="fk_account_daily_totals_account_id_ad_accounts",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "day", name="pk_account_daily_totals"),
    )
    op.create_table(
        "sync_parts",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("figures_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("covered_since", sa.Date(), nullable=True),
        sa.Column("covered_until", sa.Date(), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_ok_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_full_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("full_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("put_off_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("full_error", sa.Text(), nullable=True),
        sa.Column("left_out", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_out_rows", postgresql.JSONB(astext_type=Text()), nullable=True),
        sa.Column("held", sa.Integer(), server_default="0", nullable=False),
        sa.Column("approved", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name="fk_sync_parts_account_id_ad_accounts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "kind", "ad_product", name="pk_sync_parts"),
    )
    op.create_table(
        "report_requests",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failed_collections", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("collected", sa.Boolean(), server_default="false", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name="fk_report_requests_account_id_ad_accounts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "report_id", name="pk_report_requests"),
    )
    op.create_table(
        "team_budgets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_team_budgets_platform_is_known")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_team_budgets_amount_is_positive")),
        sa.CheckConstraint("platform IS NULL OR account_id IS NULL", name=op.f("ck_team_budgets_scope_is_one")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ad_accounts.id"], name="fk_team_budgets_account_id_ad_accounts", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_team_budgets_team_id_teams"),
        sa.PrimaryKeyConstraint("id", name="pk_team_budgets"),
        sa.UniqueConstraint(
            "team_id",
            "platform",
            "account_id",
            "currency",
            name="uq_team_budgets_team_id_platform_account_id_currency",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_team_budgets_account_id", "team_budgets", ["account_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("team_budgets")
    op.drop_table("report_requests")
    op.drop_table("sync_parts")
    op.drop_table("account_daily_totals")
    op.drop_table("campaigns")
    op.drop_table("campaign_daily_metrics")
    op.drop_table("alerts")
    op.drop_table("token_refresh_logs")
    op.drop_table("oauth_states")
    op.drop_table("ad_accounts")
    op.drop_table("sessions")
    op.drop_table("reports")
    op.drop_table("platform_credentials")
    op.drop_table("token_keys")
    op.drop_table("teams")
    op.drop_table("sync_runs")
    op.drop_table("platform_outages")
    op.drop_table("platform_calls")
    op.drop_table("metric_samples")
    op.drop_table("cleanup_runs")
