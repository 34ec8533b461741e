"""Deleting a team with everything of it: its grants are let go, then its rows and the files of its reports go.

The many rows go first, each table by itself. The team itself goes last, in one transaction with the rest. It first
locks the team, so that a sync or a report that is still at work can add nothing; what such a one writes about an
account goes with the account, or is refused by its foreign key. If something fails, the team is still there, and the
same call goes on.
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


def let_go(
    deps: RenewalDependencies, client_for: Callable[[PlatformName], PlatformClient | None], team_id: int
) -> Iterator[tuple[int, Ending]]:
    """Disconnect a team's grants, and yield how each ended; NotDisconnectedError stops at one that did not."""
    with Session(deps.engine) as session:
        grants = queries.grants_of(session, team_id)
    for grant in grants:
        if grant.status != DISCONNECTED:
            yield grant.id, disconnect(deps, client_for(PlatformName(grant.platform)), grant.id)


def delete_team(engine: Engine, files: "AbstractFileSystem", team_id: int) -> None:
    """Delete a team, all rows that refer to it, and the files of its reports. Its grants are disconnected already.

    Raises:
        NotKeptError: The files could not be deleted: the team is still there.
    """
    for table in queries.LEAVES:
        _transact(engine, partial(queries.delete_rows, table=table, team_id=team_id))

    def delete_rest(session: Session) -> None:
        queries.lock_team(session, team_id)
        queries.delete_rest(session, team_id)
        delete_files(files, team_id)

    _transact(engine, delete_rest)


def _transact(engine: Engine, work: Callable[[Session], object]) -> None:
    """Do it in one transaction, and again if that and a sync waited for each other: the database ends one of them."""
    for is_last in (*[False] * (ATTEMPTS - 1), True):
        try:
            with Session(engine) as session, session.begin():
                work(session)
        except OperationalError as error:
            if is_last or state_of(error) != DEADLOCK:
                raise
        else:
            return
