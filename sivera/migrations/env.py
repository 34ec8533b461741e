"""How Alembic runs our revisions: over the connection that `sivera.database.migrate` hands it."""

from alembic import context

from sivera.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
