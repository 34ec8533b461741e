"""Answers that the HTTP API caches, because callers without the secret can ask for them: the secret, and its health."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio.to_thread
import httpx
from prefect.client.orchestration import PrefectClient
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from blocks.cron_secret import REMEDY, CronSecret
from blocks.database import aload_database_url
from blocks.names import CRON_SECRET
from blocks.server import aload
from ops.api.answers import unavailable
from sivera.database import check_writes, engine_on
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError

STATEMENT_SECONDS = 5

T = TypeVar("T")

logger = logging.getLogger("sivera.api")


class Cached(Generic[T]):
    """An answer that is reused for some seconds. `ask` returns it, or a sentence that says why there is none."""

    def __init__(self, ask: Callable[[], Awaitable[T | str]], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = asyncio.Lock()
        self._asked_at = -math.inf
        self._answer: T | str = ""

    async def read(self) -> T:
        """Return the answer; RefusedError with the reason if there is none."""
        async with self._lock:
            if time.monotonic() - self._asked_at > self._seconds:
                self._answer = await self._ask()
                self._asked_at = time.monotonic()
            answer = self._answer
        if isinstance(answer, str):
            raise unavailable(answer)
        return answer


async def read_secret(client: PrefectClient) -> CronSecret | str:
    """Return the secret of the HTTP API, or a sentence for callers. The log says more."""
    try:
        return await aload(client, CronSecret, CRON_SECRET, REMEDY)
    except ConfigurationError as error:
        said, reason = "The secret of the HTTP API is missing or invalid: `sivera doctor` says more.", str(error)
    except httpx.HTTPError as error:
        # The error itself would show the address of the server.
        said, reason = "The Prefect server does not answer.", f"the Prefect server failed ({type(error).__name__})"
    logger.error("The HTTP API refuses every call: %s", reason)
    return said


async def check_database(client: PrefectClient) -> str | None:
    """Return None if the database accepts writes, otherwise a sentence without host and user. The log says more."""
    try:
        url = await aload_database_url(client)
        await anyio.to_thread.run_sync(_check_writes, url)
    except ConfigurationError as error:
        said = str(error)
    except SQLAlchemyError as error:
        said = sentence(error)
    else:
        return None
    logger.error("The HTTP API is not healthy: %s", said)
    return "The database does not answer or takes no writes: `sivera doctor` says more."


def _check_writes(url: URL) -> None:
    with engine_on(url, statement_seconds=STATEMENT_SECONDS) as engine:
        check_writes(engine)
