"""Create the tables. Constraints and indexes get their names from the naming convention of the models.

Revision: 0001, the first
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

TIME, MONEY = sa.DateTime(timezone=True), sa.Numeric(precision=20, scale=6)
NOW, CLOCK, EMPTY = sa.text("now()"), sa.text("clock_timestamp()"), sa.text("'{}'")
PLATFORMS = "platform IN ('google', 'meta', 'amazon', 'tiktok')"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cleanup_runs",
        *_key(sa.Uuid, "run_id"),
        *_key(sa.Text, "kind"),
        *_some(TIME, "cutoff"),
        *_some(sa.BigInteger, "deleted", server_default="0"),
        *_maybe(sa.BigInteger, "remaining"),
        *_some(sa.Boolean, "dry_run"),
        *_some(TIME, "started_at", server_default=CLOCK, index=True),
        *_maybe(sa.Text, "refused"),
    )
    op.create_table(
        "metric_samples",
        *_key(sa.Text, "name"),
        *_key(TIME, "at", index=True),
        *_key(JSONB, "labels"),
        *_some(sa.Float, "value"),
    )
    op.create_table(
        "platform_calls",
        *_key(sa.Uuid, "run_id"),
        *_key(sa.Text, "platform"),
        *_some(TIME, "at", server_default=NOW, index=True),
        *_some(sa.BigInteger, "api", "login", "throttled"),
        *_maybe(sa.Float, "used_percent"),
        sa.CheckConstraint(PLATFORMS, name="platform_is_known"),
    )
    op.create_table(
        "platform_outages",
        _id(),
        *_some(sa.Text, "platform"),
        *_some(TIME, "began_at", server_default=NOW),
        *_maybe(TIME, "ended_at"),
        sa.CheckConstraint(PLATFORMS, name="platform_is_known"),
        sa.Index("uq_platform_outages_open", "platform", unique=True, postgresql_where=sa.text("ended_at IS NULL")),
    )
    op.create_table(
        "sync_runs",
        *_key(sa.Uuid, "id"),
        *_some(sa.Text, "mode"),
        *_some(TIME, "started_at"),
        *_some(TIME, "finished_at", server_default=NOW),
        *_some(JSONB, "summary"),
        sa.Index(None, "started_at", "id"),
    )
    op.create_table(
        "teams",
        _id(),
        *_some(sa.Text, "name", unique=True),
        *_some(sa.Text, "timezone", server_default="UTC"),
        *_some(sa.Text, "language", server_default="en"),
        *_maybe(sa.Date, "reports_restated_through"),
        *_maybe(sa.Text, "meta_conversion"),
        *_some(TIME, "created_at", server_default=NOW),
        sa.CheckConstraint("language IN ('en', 'ko')", name="language_is_known"),
    )
    op.create_table(
        "token_keys",
        *_key(sa.Text, "id"),
        *_some(sa.LargeBinary, "sentinel"),
        *_some(TIME, "created_at", server_default=CLOCK),
        *_maybe(TIME, "retired_at"),
    )
    op.create_table(
        "platform_credentials",
        _id(),
        _reference("team_id", "teams"),
        *_some(sa.Text, "platform", "name"),
        *_some(sa.Text, "status", server_default="active"),
        *_maybe(sa.Text, "status_reason"),
        *_some(TIME, "status_since", server_default=NOW),
        *_maybe(sa.LargeBinary, "access_token", "refresh_token"),
        *_maybe(TIME, "expires_at"),
        *_some(sa.BigInteger, "generation", server_default="0"),
        *_maybe(sa.Text, "lease_owner"),
        *_maybe(TIME, "lease_until", "last_renewed_at"),
        *_some(sa.Integer, "failures", server_default="0"),
        *_maybe(TIME, "next_attempt_at"),
        *_some(sa.Integer, "strikes", server_default="0"),
        *_maybe(sa.Date, "last_strike_on"),
        *_maybe(TIME, "accounts_asked_at", "accounts_read_at", "data_access_ends_at"),
        *_some(TIME, "created_at", server_default=NOW),
        sa.CheckConstraint(PLATFORMS, name="platform_is_known"),
        sa.CheckConstraint(
            "status IN ('active', 'reauthorization_required', 'revoked', 'disconnected')", name="status_is_known"
        ),
        sa.UniqueConstraint("team_id", "platform", "name"),
        sa.Index("ix_platform_credentials_due", "expires_at", postgresql_where=sa.text("status = 'active'")),
    )
    op.create_table(
        "reports",
        _reference("team_id", "teams", cascades=True, primary_key=True),
        *_key(sa.Date, "day", index=True),
        *_some(sa.Text, "digest"),
        *_some(sa.Integer, "missing"),
        *_some(TIME, "written_at", server_default=CLOCK, index=True),
    )
    op.create_table(
        "sessions",
        _id(),
        *_some(sa.Text, "token_hash", unique=True),
        _reference("team_id", "teams", nullable=True),
        *_some(TIME, "created_at", server_default=NOW),
        *_some(TIME, "expires_at"),
        sa.Index(None, "expires_at", "id"),
    )
    op.create_table(
        "ad_accounts",
        _id(),
        _reference("team_id", "teams"),
        _reference("credential_id", "platform_credentials", index=True),
        *_some(sa.Text, "platform", "external_id", "name", "currency", "timezone"),
        *_maybe(sa.Text, "manager_id", "region"),
        *_some(sa.Text, "status", server_default="active"),
        *_maybe(TIME, "unlisted_since", "synced_as_of", "last_attempt_at", "last_synced_at", "last_full_sync_at"),
        *_some(sa.Integer, "consecutive_failures", server_default="0"),
        *_maybe(TIME, "next_attempt_at"),
        *_maybe(sa.Text, "last_error"),
        *_some(TIME, "created_at", server_default=NOW),
        sa.CheckConstraint(PLATFORMS, name="platform_is_known"),
        sa.CheckConstraint("status IN ('active', 'closed')", name="status_is_known"),
        sa.UniqueConstraint("team_id", "platform", "external_id"),
    )
    op.create_table(
        "oauth_states",
        _id(),
        *_some(sa.Text, "state_hash", unique=True),
        _reference("session_id", "sessions", nullable=True, index=True),
        *_some(sa.Text, "platform"),
        *_maybe(sa.Text, "team", "name", "region", "redirect_uri"),
        *_maybe(sa.LargeBinary, "verifier"),
        *_maybe(sa.Text, "browser_hash", "link_hash"),
        *_maybe(TIME, "used_at"),
        *_some(TIME, "created_at", server_default=NOW),
        *_some(TIME, "expires_at"),
        sa.Index(None, "expires_at", "id"),
        sa.Index(
            "uq_oauth_states_used_link", "link_hash", unique=True, postgresql_where=sa.text("used_at IS NOT NULL")
        ),
    )
    op.create_table(
        "token_refresh_logs",
        _id(),
        _reference("credential_id", "platform_credentials", cascades=True),
        *_some(sa.Text, "platform"),
        *_some(sa.BigInteger, "generation"),
        *_some(sa.Text, "token_fingerprint", "owner"),
        *_some(TIME, "deadline"),
        *_maybe(sa.Uuid, "run_id"),
        *_some(TIME, "started_at", server_default=NOW),
        *_maybe(TIME, "finished_at"),
        *_maybe(sa.Text, "outcome", "error_code"),
        *_maybe(sa.Integer, "duration_ms"),
        sa.Index(None, "credential_id", "id"),
        sa.Index(
            "ix_token_refresh_logs_in_doubt",
            "credential_id",
            postgresql_where=sa.text("outcome IS NULL OR outcome = 'in_doubt'"),
        ),
        sa.Index(None, "started_at", "id"),
    )
    op.create_table(
        "alerts",
        _id(),
        *_some(sa.Text, "kind", "subject", "title", "message"),
        *_some(TIME, "since"),
        *_some(sa.Text, "link"),
        *_maybe(sa.Integer, "level"),
        _reference("team_id", "teams", nullable=True, index=True),
        _reference("account_id", "ad_accounts", cascades=True, nullable=True, index=True),
        *_some(JSONB, "details", server_default=EMPTY),
        *_some(TIME, "opened_at", "raised_at", server_default=NOW),
        *_maybe(TIME, "closed_at"),
        *_maybe(sa.Text, "closed_because"),
        *_some(JSONB, "open_receipts", "close_receipts", server_default=EMPTY),
        sa.Index("ix_alerts_closed", "closed_at", "id", postgresql_where=sa.text("closed_at IS NOT NULL")),
        sa.Index("uq_alerts_open", "kind", "subject", unique=True, postgresql_where=sa.text("closed_at IS NULL")),
    )
    op.create_table(
        "campaign_daily_metrics",
        _reference("account_id", "ad_accounts", cascades=True, primary_key=True),
        *_key(sa.Text, "campaign_id"),
        *_key(sa.Date, "day"),
        *_maybe(sa.Text, "ad_product"),
        *_some(sa.BigInteger, "impressions", "clicks"),
        *_some(MONEY, "spend", "conversions", "conversion_value"),
        *_some(sa.Text, "currency"),
        *_maybe(TIME, "missing_since"),
        *_some(TIME, "changed_at", server_default=NOW),
        sa.Index(None, "account_id", "day"),
    )
    op.create_table(
        "campaigns",
        _reference("account_id", "ad_accounts", cascades=True, primary_key=True),
        *_key(sa.Text, "external_id"),
        *_some(sa.Text, "name", "status", "native_status"),
        *_maybe(sa.Text, "ad_product"),
        *_some(sa.Text, "budget_kind"),
        *_maybe(MONEY, "budget_amount"),
        *_some(sa.Text, "budget_currency"),
        *_maybe(sa.Text, "budget_id"),
        *_maybe(sa.Date, "start_date", "end_date"),
        *_maybe(TIME, "updated_at"),
        *_some(sa.Boolean, "is_reported", server_default="true"),
        *_maybe(TIME, "missing_since"),
        *_some(TIME, "first_seen_at", "changed_at", server_default=NOW),
    )
    op.create_table(
        "account_daily_totals",
        _reference("account_id", "ad_accounts", cascades=True, primary_key=True),
        *_key(sa.Date, "day"),
        *_some(MONEY, "spend", "unattributed"),
        *_some(sa.Text, "currency"),
        *_maybe(TIME, "missing_since"),
        *_some(TIME, "changed_at", server_default=NOW),
    )
    op.create_table(
        "sync_parts",
        _reference("account_id", "ad_accounts", cascades=True, primary_key=True),
        *_key(sa.Text, "kind", "ad_product"),
        *_maybe(TIME, "as_of", "figures_as_of"),
        *_maybe(sa.Date, "covered_since", "covered_until"),
        *_maybe(TIME, "last_attempt_at", "last_ok_at", "last_full_at"),
        *_some(sa.Integer, "failures", "full_failures", server_default="0"),
        *_maybe(TIME, "next_attempt_at", "put_off_since"),
        *_maybe(sa.Text, "error", "full_error"),
        *_some(sa.Integer, "left_out", server_default="0"),
        *_maybe(JSONB, "left_out_rows"),
        *_some(sa.Integer, "held", "approved", server_default="0"),
        *_maybe(TIME, "not_enabled_since"),
    )
    op.create_table(
        "report_requests",
        _reference("account_id", "ad_accounts", cascades=True, primary_key=True),
        *_key(sa.Text, "report_id"),
        *_some(sa.Text, "ad_product"),
        *_some(sa.Date, "since", "until"),
        *_some(TIME, "requested_at"),
        *_some(sa.Integer, "failed_collections", server_default="0"),
        *_maybe(TIME, "ended_at"),
        *_some(sa.Boolean, "collected", server_default="false"),
    )
    op.create_table(
        "team_budgets",
        _id(),
        _reference("team_id", "teams"),
        *_maybe(sa.Text, "platform"),
        _reference("account_id", "ad_accounts", cascades=True, nullable=True, index=True),
        *_some(sa.Text, "currency"),
        *_some(MONEY, "amount"),
        *_some(TIME, "created_at", "updated_at", server_default=NOW),
        sa.CheckConstraint("amount > 0", name="amount_is_positive"),
        sa.CheckConstraint(PLATFORMS, name="platform_is_known"),
        sa.CheckConstraint("platform IS NULL OR account_id IS NULL", name="scope_is_one"),
        sa.UniqueConstraint("team_id", "platform", "account_id", "currency", postgresql_nulls_not_distinct=True),
    )


def _some(kind: Any, *names: str, **options: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, **{"nullable": False, **options}) for name in names]


def _maybe(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return _some(kind, *names, nullable=True)


def _key(kind: Any, *names: str, index: bool = False) -> list[sa.Column[Any]]:
    return _some(kind, *names, primary_key=True, index=index)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)


def _reference(name: str, table: str, *, cascades: bool = False, **options: Any) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.id", ondelete="CASCADE" if cascades else None)
    return sa.Column(name, sa.BigInteger, key, **{"nullable": False, **options})
