"""A rotating grant that is due, for tests of its renewal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from sandbox.tokens import Grant
from sivera.errors import GrantRevoked
from sivera.grants import renewal
from sivera.grants import renewal_queries as queries
from sivera.grants.renewal import StoredGrant
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient
from sivera.values import GrantTokens, PlatformName
from tests.stage import Stage

AMAZON = PlatformName.AMAZON


def grant_row(stage: Stage) -> dict[str, Any]:
    """The row of the only grant."""
    (row,) = stage.rows("SELECT * FROM platform_credentials")
    return dict(row._mapping)


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    """Make the database read-only, as providers do when its disk is full."""

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    event.listen(stage.engine, "begin", begin)
    yield
    event.remove(stage.engine, "begin", begin)


@dataclass
class Interrupted:
    """A client that calls `then` after each renewal, before its caller goes on."""

    inner: PlatformClient
    then: Callable[[], object]

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        renewed = self.inner.renew(tokens)
        self.then()
        return renewed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class Due:
    """A rotating grant that is due, and the source that a process would renew it with."""

    stage: Stage
    grant: Grant
    id: int

    def source(self, then: Callable[[], object] | None = None) -> GrantTokenSource:
        client = self.stage.client(AMAZON)
        interrupted = cast("PlatformClient", Interrupted(client, then)) if then else client
        return GrantTokenSource(self.stage.renewal_dependencies(), interrupted, self.id)

    def journal(self) -> list[tuple[str | None, str | None]]:
        rows = self.stage.rows("SELECT outcome, error_code FROM token_refresh_logs ORDER BY id")
        return [(row.outcome, row.error_code) for row in rows]

    def begin(self, owner: str) -> queries.Attempt | None:
        with Session(self.stage.engine) as session, session.begin():
            return queries.begin(session, self.id, 1, owner, "f", None)

    def conclude(self, held: StoredGrant, attempt: queries.Attempt) -> str:
        error = GrantRevoked(AMAZON, "no", "invalid_grant")
        return renewal.conclude(self.stage.renewal_dependencies(), held, attempt, error, 1)[0].value

    def calls(self) -> int:
        return self.stage.world.faults.count(AMAZON, "token")

    def works(self) -> bool:
        token = self.source().current()
        return self.stage.world.grant_of_access(AMAZON, token) is self.grant
