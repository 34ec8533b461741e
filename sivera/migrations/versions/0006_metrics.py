"""Create the time series of collect-metrics, and the counts of calls to platforms.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "metric_samples",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "at", "labels", name=op.f("pk_metric_samples")),
    )
    op.create_index(op.f("ix_metric_samples_at"), "metric_samples", ["at"])
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
        sa.PrimaryKeyConstraint("run_id", "platform", name=op.f("pk_platform_calls")),
    )
    op.create_index(op.f("ix_platform_calls_at"), "platform_calls", ["at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("platform_calls")
    op.drop_table("metric_samples")
