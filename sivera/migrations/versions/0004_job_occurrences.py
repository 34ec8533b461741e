"""Create the account of what became of each scheduled time.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "job_occurrences",
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("skipped_by", sa.Uuid(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('waiting', 'running', 'late', 'ran', 'failed', 'skipped', 'missed')",
            name=op.f("ck_job_occurrences_outcome_is_known"),
        ),
        sa.PrimaryKeyConstraint("deployment", "scheduled_at", name=op.f("pk_job_occurrences")),
    )
    op.create_index(op.f("ix_job_occurrences_job_scheduled_at"), "job_occurrences", ["job", "scheduled_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("job_occurrences")
