"""Create the tables.

Revision: 0001, the first
"""

from alembic import op

from sivera.models import Base

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    Base.metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Take back."""
    Base.metadata.drop_all(op.get_bind())
