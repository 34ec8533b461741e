"""`sivera migrate`: migrates the database. It works without a Prefect server, so it can run first."""

from ops.commands.session import open_session
from ops.commands.tables import say
from sivera import migrating
from sivera.database import describe


def migrate() -> None:
    """Migrate the database of SIVERA_DATABASE_URL, or of the block."""
    with open_session() as session:
        engine = session.get_bind().engine
        migrating.migrate(engine)
    say(f"The database {describe(engine.url)} is up to date.")
