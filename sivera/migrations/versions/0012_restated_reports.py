"""Note up to which day a team's reports were restated, so that a run that ends early leaves the rest to the next.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_reports_day"), "reports", ["day"])
    op.add_column("teams", sa.Column("reports_restated_through", sa.Date(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("teams", "reports_restated_through")
    op.drop_index(op.f("ix_reports_day"), table_name="reports")
