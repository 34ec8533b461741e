"""Runs our revisions over the connection that `sivera.migrating` passes in."""

from alembic import context

from sivera.database import VERSION_TABLE
from sivera.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
