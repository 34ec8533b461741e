"""Create what the rows that are over, and the scheduled times that are open, are found by.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for table in ("alerts", "budget_alerts"):
        op.create_index(
            f"ix_{table}_closed", table, ["closed_at", "id"], postgresql_where=sa.text("closed_at IS NOT NULL")
        )
    op.create_index(
        "ix_outbox_events_published",
        "outbox_events",
        ["published_at", "id"],
        postgresql_where=sa.text("published_at IS NOT NULL"),
    )
    op.create_index(
        "ix_job_occurrences_open",
        "job_occurrences",
        ["scheduled_at"],
        postgresql_where=sa.text("ended_at IS NULL AND outcome <> 'missed'"),
    )
    op.create_index(
        op.f("ix_job_occurrences_scheduled_at_deployment"), "job_occurrences", ["scheduled_at", "deployment"]
    )
    op.create_index(op.f("ix_sync_runs_started_at_id"), "sync_runs", ["started_at", "id"])
    op.create_index(op.f("ix_cleanup_runs_started_at"), "cleanup_runs", ["started_at"])
    op.create_index(op.f("ix_reports_created_at"), "reports", ["created_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_reports_created_at"), table_name="reports")
    op.drop_index(op.f("ix_cleanup_runs_started_at"), table_name="cleanup_runs")
    op.drop_index(op.f("ix_sync_runs_started_at_id"), table_name="sync_runs")
    op.drop_index(op.f("ix_job_occurrences_scheduled_at_deployment"), table_name="job_occurrences")
    op.drop_index("ix_job_occurrences_open", table_name="job_occurrences")
    op.drop_index("ix_outbox_events_published", table_name="outbox_events")
    for table in ("budget_alerts", "alerts"):
        op.drop_index(f"ix_{table}_closed", table_name=table)
