"""Let the account of scheduled times know runs that no schedule made.

Revision: 0011, after 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.alter_column("job_occurrences", "schedule", nullable=True)


def downgrade() -> None:
    """Take back."""
    op.execute("DELETE FROM job_occurrences WHERE schedule IS NULL")
    op.alter_column("job_occurrences", "schedule", nullable=False)
