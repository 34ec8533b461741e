"""Create the tables.

Revision: 0001, the first
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MONEY, TIME = sa.Numeric(precision=20, scale=6), sa.DateTime(timezone=True)
NOW, CLOCK, EMPTY = sa.text("now()"), sa.text("clock_timestamp()"), sa.text("'{}'")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cleanup_runs",
        _column("run_id", sa.Uuid),
        _column("kind", sa.Text),
        _column("cutoff", TIME),
        _column("deleted", sa.BigInteger, server_default="0"),
        _column("remaining", sa.BigInteger, nullable=True),
        _column("dry_run", sa.Boolean),
        _column("started_at", TIME, server_default=CLOCK),
        _column("refused", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("run_id", "kind", name="pk_cleanup_runs"),
    )
    _index("ix_cleanup_runs_started_at", "cleanup_runs", "started_at")
    op.create_table(
        "metric_samples",
        _column("name", sa.Text),
        _column("at", TIME),
        _column("labels", JSONB),
        _column("value", sa.Float),
        sa.PrimaryKeyConstraint("name", "at", "labels", name="pk_metric_samples"),
    )
    _index("ix_metric_samples_at", "metric_samples", "at")
    op.create_table(
        "platform_calls",
        _column("run_id", sa.Uuid),
        _column("platform", sa.Text),
        _column("at", TIME, server_default=NOW),
        _column("api", sa.BigInteger),
        _column("login", sa.BigInteger),
        _column("throttled", sa.BigInteger),
        _column("used_percent", sa.Float, nullable=True),
        _platform_is_known("platform_calls"),
        sa.PrimaryKeyConstraint("run_id", "platform", name="pk_platform_calls"),
    )
    _index("ix_platform_calls_at", "platform_calls", "at")
    op.create_table(
        "platform_outages",
        _identity(),
        _column("platform", sa.Text),
        _column("began_at", TIME, server_default=NOW),
        _column("ended_at", TIME, nullable=True),
        _platform_is_known("platform_outages"),
        sa.PrimaryKeyConstraint("id", name="pk_platform_outages"),
    )
    _index("uq_platform_outages_open", "platform_outages", "platform", unique=True, where="ended_at IS NULL")
    op.create_table(
        "sync_runs",
        _column("id", sa.Uuid),
        _column("mode", sa.Text),
        _column("started_at", TIME),
        _column("finished_at", TIME, server_default=NOW),
        _column("summary", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_sync_runs"),
    )
    _index("ix_sync_runs_started_at_id", "sync_runs", "started_at", "id")
    op.create_table(
        "teams",
        _identity(),
        _column("name", sa.Text),
        _column("timezone", sa.Text, server_default="UTC"),
        _column("language", sa.Text, server_default="en"),
        _column("reports_restated_through", sa.Date, nullable=True),
        _column("meta_conversion", sa.Text, nullable=True),
        _column("created_at", TIME, server_default=NOW),
        sa.CheckConstraint("language IN ('en', 'ko')", name=op.f("ck_teams_language_is_known")),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )
    op.create_table(
        "token_keys",
        _column("id", sa.Text),
        _column("sentinel", sa.LargeBinary),
        _column("created_at", TIME, server_default=CLOCK),
        _column("retired_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_token_keys"),
    )
    op.create_table(
        "platform_credentials",
        _identity(),
        _column("team_id", sa.BigInteger),
        _column("platform", sa.Text),
        _column("name", sa.Text),
        _column("status", sa.Text, server_default="active"),
        _column("status_reason", sa.Text, nullable=True),
        _column("status_since", TIME, server_default=NOW),
        _column("access_token", sa.LargeBinary, nullable=True),
        _column("refresh_token", sa.LargeBinary, nullable=True),
        _column("expires_at", TIME, nullable=True),
        _column("generation", sa.BigInteger, server_default="0"),
        _column("lease_owner", sa.Text, nullable=True),
        _column("lease_until", TIME, nullable=True),
        _column("last_renewed_at", TIME, nullable=True),
        _column("failures", sa.Integer, server_default="0"),
        _column("next_attempt_at", TIME, nullable=True),
        _column("strikes", sa.Integer, server_default="0"),
        _column("last_strike_on", sa.Date, nullable=True),
        _column("accounts_asked_at", TIME, nullable=True),
        _column("accounts_read_at", TIME, nullable=True),
        _column("data_access_ends_at", TIME, nullable=True),
        _column("created_at", TIME, server_default=NOW),
        _column("updated_at", TIME, server_default=NOW),
        _platform_is_known("platform_credentials"),
        sa.CheckConstraint(
            "status IN ('active', 'reauthorization_required', 'revoked', 'disconnected')",
            name=op.f("ck_platform_credentials_status_is_known"),
        ),
        _reference("platform_credentials", "team_id", "teams"),
        sa.PrimaryKeyConstraint("id", name="pk_platform_credentials"),
        sa.UniqueConstraint("team_id", "platform", "name", name="uq_platform_credentials_team_id_platform_name"),
    )
    _index("ix_platform_credentials_due", "platform_credentials", "expires_at", where="status = 'active'")
    op.create_table(
        "reports",
        _column("team_id", sa.BigInteger),
        _column("day", sa.Date),
        _column("digest", sa.Text),
        _column("missing", sa.Integer),
        _column("written_at", TIME, server_default=CLOCK),
        _reference("reports", "team_id", "teams", cascades=True),
        sa.PrimaryKeyConstraint("team_id", "day", name="pk_reports"),
    )
    _index("ix_reports_day", "reports", "day")
    _index("ix_reports_written_at", "reports", "written_at")
    op.create_table(
        "sessions",
        _identity(),
        _column("token_hash", sa.Text),
        _column("team_id", sa.BigInteger, nullable=True),
        _column("created_at", TIME, server_default=NOW),
        _column("expires_at", TIME),
        _reference("sessions", "team_id", "teams"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    _index("ix_sessions_expires_at_id", "sessions", "expires_at", "id")
    op.create_table(
        "ad_accounts",
        _identity(),
        _column("team_id", sa.BigInteger),
        _column("credential_id", sa.BigInteger),
        _column("platform", sa.Text),
        _column("external_id", sa.Text),
        _column("name", sa.Text),
        _column("currency", sa.Text),
        _column("timezone", sa.Text),
        _column("manager_id", sa.Text, nullable=True),
        _column("region", sa.Text, nullable=True),
        _column("status", sa.Text, server_default="active"),
        _column("unlisted_since", TIME, nullable=True),
        _column("synced_as_of", TIME, nullable=True),
        _column("last_attempt_at", TIME, nullable=True),
        _column("last_synced_at", TIME, nullable=True),
        _column("last_full_sync_at", TIME, nullable=True),
        _column("consecutive_failures", sa.Integer, server_default="0"),
        _column("next_attempt_at", TIME, nullable=True),
        _column("last_error", sa.Text, nullable=True),
        _column("created_at", TIME, server_default=NOW),
        _platform_is_known("ad_accounts"),
        sa.CheckConstraint("status IN ('active', 'closed')", name=op.f("ck_ad_accounts_status_is_known")),
        _reference("ad_accounts", "credential_id", "platform_credentials"),
        _reference("ad_accounts", "team_id", "teams"),
        sa.PrimaryKeyConstraint("id", name="pk_ad_accounts"),
        sa.UniqueConstraint("team_id", "platform", "external_id", name="uq_ad_accounts_team_id_platform_external_id"),
    )
    _index("ix_ad_accounts_credential_id", "ad_accounts", "credential_id")
    op.create_table(
        "oauth_states",
        _identity(),
        _column("state_hash", sa.Text),
        _column("session_id", sa.BigInteger, nullable=True),
        _column("platform", sa.Text),
        _column("team", sa.Text, nullable=True),
        _column("name", sa.Text, nullable=True),
        _column("region", sa.Text, nullable=True),
        _column("redirect_uri", sa.Text, nullable=True),
        _column("verifier", sa.LargeBinary, nullable=True),
        _column("browser_hash", sa.Text, nullable=True),
        _column("link_hash", sa.Text, nullable=True),
        _column("used_at", TIME, nullable=True),
        _column("created_at", TIME, server_default=NOW),
        _column("expires_at", TIME),
        _reference("oauth_states", "session_id", "sessions"),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_states"),
        sa.UniqueConstraint("state_hash", name="uq_oauth_states_state_hash"),
    )
    _index("ix_oauth_states_expires_at_id", "oauth_states", "expires_at", "id")
    _index("ix_oauth_states_session_id", "oauth_states", "session_id")
    _index("uq_oauth_states_used_link", "oauth_states", "link_hash", unique=True, where="used_at IS NOT NULL")
    op.create_table(
        "token_refresh_logs",
        _identity(),
        _column("credential_id", sa.BigInteger),
        _column("platform", sa.Text),
        _column("generation", sa.BigInteger),
        _column("token_fingerprint", sa.Text),
        _column("owner", sa.Text),
        _column("deadline", TIME),
        _column("run_id", sa.Uuid, nullable=True),
        _column("started_at", TIME, server_default=NOW),
        _column("finished_at", TIME, nullable=True),
        _column("outcome", sa.Text, nullable=True),
        _column("error_code", sa.Text, nullable=True),
        _column("duration_ms", sa.Integer, nullable=True),
        _reference("token_refresh_logs", "credential_id", "platform_credentials", cascades=True),
        sa.PrimaryKeyConstraint("id", name="pk_token_refresh_logs"),
    )
    _index("ix_token_refresh_logs_credential_id_id", "token_refresh_logs", "credential_id", "id")
    _index(
        "ix_token_refresh_logs_in_doubt",
        "token_refresh_logs",
        "credential_id",
        where="outcome IS NULL OR outcome = 'in_doubt'",
    )
    _index("ix_token_refresh_logs_started_at_id", "token_refresh_logs", "started_at", "id")
    op.create_table(
        "alerts",
        _identity(),
        _column("kind", sa.Text),
        _column("subject", sa.Text),
        _column("title", sa.Text),
        _column("message", sa.Text),
        _column("since", TIME),
        _column("link", sa.Text),
        _column("level", sa.Integer, nullable=True),
        _column("team_id", sa.BigInteger, nullable=True),
        _column("account_id", sa.BigInteger, nullable=True),
        _column("details", JSONB, server_default=EMPTY),
        _column("opened_at", TIME, server_default=NOW),
        _column("raised_at", TIME, server_default=NOW),
        _column("closed_at", TIME, nullable=True),
        _column("closed_because", sa.Text, nullable=True),
        _column("open_receipts", JSONB, server_default=EMPTY),
        _column("close_receipts", JSONB, server_default=EMPTY),
        _reference("alerts", "account_id", "ad_accounts", cascades=True),
        _reference("alerts", "team_id", "teams"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    _index("ix_alerts_account_id", "alerts", "account_id")
    _index("ix_alerts_closed", "alerts", "closed_at", "id", where="closed_at IS NOT NULL")
    _index("ix_alerts_team_id", "alerts", "team_id")
    _index("uq_alerts_open", "alerts", "kind", "subject", unique=True, where="closed_at IS NULL")
    op.create_table(
        "campaign_daily_metrics",
        _column("account_id", sa.BigInteger),
        _column("campaign_id", sa.Text),
        _column("day", sa.Date),
        _column("ad_product", sa.Text, nullable=True),
        _column("impressions", sa.BigInteger),
        _column("clicks", sa.BigInteger),
        _column("spend", MONEY),
        _column("conversions", MONEY),
        _column("conversion_value", MONEY),
        _column("currency", sa.Text),
        _column("missing_since", TIME, nullable=True),
        _column("changed_at", TIME, server_default=NOW),
        _reference("campaign_daily_metrics", "account_id", "ad_accounts", cascades=True),
        sa.PrimaryKeyConstraint("account_id", "campaign_id", "day", name="pk_campaign_daily_metrics"),
    )
    _index("ix_campaign_daily_metrics_account_id_day", "campaign_daily_metrics", "account_id", "day")
    op.create_table(
        "campaigns",
        _column("account_id", sa.BigInteger),
        _column("external_id", sa.Text),
        _column("name", sa.Text),
        _column("status", sa.Text),
        _column("native_status", sa.Text),
        _column("ad_product", sa.Text, nullable=True),
        _column("budget_kind", sa.Text),
        _column("budget_amount", MONEY, nullable=True),
        _column("budget_currency", sa.Text),
        _column("budget_id", sa.Text, nullable=True),
        _column("start_date", sa.Date, nullable=True),
        _column("end_date", sa.Date, nullable=True),
        _column("updated_at", TIME, nullable=True),
        _column("is_reported", sa.Boolean, server_default="true"),
        _column("missing_since", TIME, nullable=True),
        _column("first_seen_at", TIME, server_default=NOW),
        _column("changed_at", TIME, server_default=NOW),
        _reference("campaigns", "account_id", "ad_accounts", cascades=True),
        sa.PrimaryKeyConstraint("account_id", "external_id", name="pk_campaigns"),
    )
    op.create_table(
        "account_daily_totals",
        _column("account_id", sa.BigInteger),
        _column("day", sa.Date),
        _column("spend", MONEY),
        _column("unattributed", MONEY),
        _column("currency", sa.Text),
        _column("missing_since", TIME, nullable=True),
        _column("changed_at", TIME, server_default=NOW),
        _reference("account_daily_totals", "account_id", "ad_accounts", cascades=True),
        sa.PrimaryKeyConstraint("account_id", "day", name="pk_account_daily_totals"),
    )
    op.create_table(
        "sync_parts",
        _column("account_id", sa.BigInteger),
        _column("kind", sa.Text),
        _column("ad_product", sa.Text),
        _column("as_of", TIME, nullable=True),
        _column("figures_as_of", TIME, nullable=True),
        _column("covered_since", sa.Date, nullable=True),
        _column("covered_until", sa.Date, nullable=True),
        _column("last_attempt_at", TIME, nullable=True),
        _column("last_ok_at", TIME, nullable=True),
        _column("last_full_at", TIME, nullable=True),
        _column("failures", sa.Integer, server_default="0"),
        _column("full_failures", sa.Integer, server_default="0"),
        _column("next_attempt_at", TIME, nullable=True),
        _column("put_off_since", TIME, nullable=True),
        _column("error", sa.Text, nullable=True),
        _column("full_error", sa.Text, nullable=True),
        _column("left_out", sa.Integer, server_default="0"),
        _column("left_out_rows", JSONB, nullable=True),
        _column("held", sa.Integer, server_default="0"),
        _column("approved", sa.Integer, server_default="0"),
        _column("not_enabled_since", TIME, nullable=True),
        _reference("sync_parts", "account_id", "ad_accounts", cascades=True),
        sa.PrimaryKeyConstraint("account_id", "kind", "ad_product", name="pk_sync_parts"),
    )
    op.create_table(
        "report_requests",
        _column("account_id", sa.BigInteger),
        _column("report_id", sa.Text),
        _column("ad_product", sa.Text),
        _column("since", sa.Date),
        _column("until", sa.Date),
        _column("requested_at", TIME),
        _column("failed_collections", sa.Integer, server_default="0"),
        _column("ended_at", TIME, nullable=True),
        _column("collected", sa.Boolean, server_default="false"),
        _reference("report_requests", "account_id", "ad_accounts", cascades=True),
        sa.PrimaryKeyConstraint("account_id", "report_id", name="pk_report_requests"),
    )
    op.create_table(
        "team_budgets",
        _identity(),
        _column("team_id", sa.BigInteger),
        _column("platform", sa.Text, nullable=True),
        _column("account_id", sa.BigInteger, nullable=True),
        _column("currency", sa.Text),
        _column("amount", MONEY),
        _column("created_at", TIME, server_default=NOW),
        _column("updated_at", TIME, server_default=NOW),
        _platform_is_known("team_budgets"),
        sa.CheckConstraint("amount > 0", name=op.f("ck_team_budgets_amount_is_positive")),
        sa.CheckConstraint("platform IS NULL OR account_id IS NULL", name=op.f("ck_team_budgets_scope_is_one")),
        _reference("team_budgets", "account_id", "ad_accounts", cascades=True),
        _reference("team_budgets", "team_id", "teams"),
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
    _index("ix_team_budgets_account_id", "team_budgets", "account_id")


def _column(name: str, kind: Any, *, nullable: bool = False, server_default: Any = None) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, server_default=server_default)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False)


def _platform_is_known(table: str) -> sa.CheckConstraint:
    name = op.f(f"ck_{table}_platform_is_known")
    return sa.CheckConstraint("platform IN ('google', 'meta', 'amazon', 'tiktok')", name=name)


def _reference(table: str, column: str, to: str, *, cascades: bool = False) -> sa.ForeignKeyConstraint:
    ondelete = "CASCADE" if cascades else None
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}_{to}", ondelete=ondelete)


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    chosen = None if where is None else sa.text(where)
    op.create_index(name, table, list(columns), unique=unique, postgresql_where=chosen)
