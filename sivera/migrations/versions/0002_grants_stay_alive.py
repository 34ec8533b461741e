"""Create what keeps grants alive: the journal of renewals, the check of the keys, outages, and the outbox.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_events")),
    )
    op.create_index(
        "ix_outbox_events_unpublished",
        "outbox_events",
        ["created_at"],
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "platform_outages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "platform IN ('google', 'meta', 'amazon', 'tiktok')", name=op.f("ck_platform_outages_platform_is_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_outages")),
    )
    op.create_index(
        "uq_platform_outages_open",
        "platform_outages",
        ["platform"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "token_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sentinel", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_keys")),
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
            name=op.f("fk_token_refresh_logs_credential_id_platform_credentials"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_refresh_logs")),
    )
    op.create_index(op.f("ix_token_refresh_logs_credential_id_id"), "token_refresh_logs", ["credential_id", "id"])
    op.create_index(
        "ix_token_refresh_logs_in_doubt",
        "token_refresh_logs",
        ["credential_id"],
        postgresql_where=sa.text("outcome IS NULL OR outcome = 'in_doubt'"),
    )
    op.add_column("platform_credentials", sa.Column("last_renewed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("platform_credentials", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("platform_credentials", sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("platform_credentials", sa.Column("strikes", sa.Integer(), server_default="0", nullable=False))
    op.add_column("platform_credentials", sa.Column("last_strike_on", sa.Date(), nullable=True))
    op.create_index(
        "ix_platform_credentials_due",
        "platform_credentials",
        ["expires_at"],
        postgresql_where=sa.text("status = 'active'"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_platform_credentials_due", table_name="platform_credentials")
    for column in ("last_strike_on", "strikes", "next_attempt_at", "failures", "last_renewed_at"):
        op.drop_column("platform_credentials", column)
    op.drop_table("token_refresh_logs")
    op.drop_table("token_keys")
    op.drop_table("platform_outages")
    op.drop_table("outbox_events")
