"""`sivera migrate`: bring the database to this version. It needs no Prefect server, and so works before one runs."""

from ops.commands.session import open_session
from ops.commands.tables import say
from sivera import migrating
from sivera.database import describe


def migrate() -> None:
    """Migrate the database of SIVERA_DATABASE_URL, else the one that the block names."""
    with open_session() as session:
        engine = session.get_bind().engine
        migrating.migrate(engine)
    say(f"The database {describe(engine.url)} is at this version.")
