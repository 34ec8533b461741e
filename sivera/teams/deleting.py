"""Disconnect the grants of a team, and delete its rows and the files of its reports.

The large tables are emptied first, each in its own transaction. The rest goes in one transaction, which first locks the
team, so that a running sync or report can add nothing to it. What a sync writes about an account is deleted with it, or
refused by a foreign key. After a failure the team still exists, and a second call continues.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sivera.database_errors import state_of
from sivera.grants.disconnecting import Ending, disconnect
from sivera.grants.renewal import RenewalDependencies
from sivera.grants.rules import DISCONNECTED
from sivera.platforms.base import PlatformClient
from sivera.reports.writing import delete_files
from sivera.teams import queries
from sivera.values import PlatformName

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTEMPTS, DEADLOCK = 5, "40P01"


def disconnect_grants(
    deps: RenewalDependencies, client_for: Callable[[PlatformName], PlatformClient | None], team_id: int
) -> Iterator[tuple[int, Ending]]:
    """Disconnect a team's grants, and yield how each ended. Raise NotDisconnectedError at the first that failed."""
    with Session(deps.engine) as session:
        grants = queries.grants_of(session, team_id)
    for grant in grants:
        if grant.status != DISCONNECTED:
            yield grant.id, disconnect(deps, client_for(PlatformName(grant.platform)), grant.id)


def delete_team(engine: Engine, files: "AbstractFileSystem", team_id: int) -> None:
    """Delete a team with disconnected grants, all rows that refer to it, and the files of its reports.

    Raises:
        NotKeptError: The files could not be deleted, and the team still exists.
    """
    for table in queries.LEAVES:
        _transact(engine, partial(queries.delete_rows, table=table, team_id=team_id))

    def delete_rest(session: Session) -> None:
        queries.delete_rest(session, team_id)
        delete_files(files, team_id)

    _transact(engine, delete_rest)


def _transact(engine: Engine, work: Callable[[Session], None]) -> None:
    """Do the work in one transaction, and repeat it if the database ended it because of a deadlock with a sync."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with Session(engine) as session, session.begin():
                work(session)
        except OperationalError as error:
            if attempt == ATTEMPTS or state_of(error) != DEADLOCK:
                raise
        else:
            return
