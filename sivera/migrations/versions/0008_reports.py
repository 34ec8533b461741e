"""Create the reports, and say where a team's day ends and what it reads.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("teams", sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False))
    op.add_column("teams", sa.Column("language", sa.Text(), server_default="en", nullable=False))
    op.create_check_constraint(op.f("ck_teams_language_is_known"), "teams", "language IN ('en', 'ko')")
    op.create_table(
        "reports",
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("html_path", sa.Text(), nullable=False),
        sa.Column("csv_path", sa.Text(), nullable=False),
        sa.Column("summary", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_reports_version_is_positive")),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_reports_team_id_teams"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "day", "version", name=op.f("pk_reports")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("reports")
    op.drop_constraint(op.f("ck_teams_language_is_known"), "teams")
    op.drop_column("teams", "language")
    op.drop_column("teams", "timezone")
