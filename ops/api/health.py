"""Whether the database works, for the path that answers anybody."""

import asyncio
import logging
import math
import time

import anyio.to_thread
from prefect.client.orchestration import PrefectClient
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from blocks.database import aload_database_url
from ops.api.answers import unavailable
from sivera.database import check_writes, engine_on
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError

STATEMENT_SECONDS = 5

logger = logging.getLogger("sivera.api")


class DatabaseHealth:
    """Asks the database once every few seconds at most: callers without the secret must not use up its connections."""

    def __init__(self, client: PrefectClient, fresh_seconds: float) -> None:
        self._client, self._fresh_seconds = client, fresh_seconds
        self._lock = asyncio.Lock()
        self._checked_at = -math.inf
        self._is_well = False

    async def check(self) -> None:
        """Return if the database takes writes.

        Raises:
            RefusedError: It does not, or does not answer. The log says why; a stranger learns neither host nor user.
            httpx.HTTPError: The Prefect server, whose block names the database, does not answer.
        """
        async with self._lock:
            if time.monotonic() - self._checked_at > self._fresh_seconds:
                self._is_well = await self._ask()
                self._checked_at = time.monotonic()
        if not self._is_well:
            raise unavailable("The database does not answer or takes no writes: `sivera doctor` says more.")

    async def _ask(self) -> bool:
        try:
            url = await aload_database_url(self._client)
            await anyio.to_thread.run_sync(_check, url)
        except ConfigurationError as error:
            said = str(error)
        except SQLAlchemyError as error:
            said = sentence(error)
        else:
            return True
        logger.error("The HTTP API is not healthy: %s", said)
        return False


def _check(url: URL) -> None:
    with engine_on(url, statement_seconds=STATEMENT_SECONDS) as engine:
        check_writes(engine)
