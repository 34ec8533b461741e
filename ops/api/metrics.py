"""The figures for Prometheus: the last collection, from the database that the block names."""

import anyio.to_thread
from prefect.client.orchestration import PrefectClient
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from blocks.database import aload_database_url
from ops.api.answers import unavailable
from sivera.clock import read_clock
from sivera.database import open_engine
from sivera.metrics.exposition import to_text
from sivera.metrics.queries import read_latest

STATEMENT_SECONDS = 5


class Figures:
    """The figures of the last collection; `client` is of the Prefect server that has the database's block."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._engine: Engine | None = None

    async def read(self) -> bytes:
        """Return them in Prometheus' text format.

        Raises:
            RefusedError: The database does not answer.
            ConfigurationError: The block is missing or invalid.
            httpx.HTTPError: The Prefect server does not answer.
        """
        # The block is read at each scrape: a change of it needs no restart.
        url = await aload_database_url(self._client)
        if self._engine is None or self._engine.url != url:
            self.close()
            self._engine = open_engine(url, pool_size=2, statement_seconds=STATEMENT_SECONDS)
        try:
            return await anyio.to_thread.run_sync(_read, self._engine)
        except SQLAlchemyError as error:
            # Not its text, which holds the database's address.
            raise unavailable(f"The database failed ({type(error).__name__}).") from None

    def close(self) -> None:
        """Close the connections."""
        if self._engine:
            self._engine.dispose()


def _read(engine: Engine) -> bytes:
    with Session(engine) as session:
        return to_text(read_latest(session), read_clock(session))
