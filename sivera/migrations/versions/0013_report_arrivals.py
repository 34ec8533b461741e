"""Say how old the metrics are that come as reports.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_budget_alerts_opened_at"), "budget_alerts", ["opened_at"])
    op.create_table(
        "report_arrivals",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("ad_product", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["ad_accounts.id"],
            name=op.f("fk_report_arrivals_account_id_ad_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "ad_product", name=op.f("pk_report_arrivals")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("report_arrivals")
    op.drop_index(op.f("ix_budget_alerts_opened_at"), table_name="budget_alerts")
