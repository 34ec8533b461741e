"""Checks the secret before any route: callers without it do not even learn which paths exist."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

import httpx
from prefect.client.orchestration import PrefectClient
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.cron_secret import REMEDY, CronSecret
from blocks.names import CRON_SECRET
from blocks.server import aload
from ops.api.answers import RefusedError, unavailable
from sivera.errors import ConfigurationError

T = TypeVar("T")

logger = logging.getLogger("sivera.api")


class Cached(Generic[T]):
    """An answer that is reused for some seconds, so that callers without the secret cannot use up connections.

    `ask` returns the answer, or a sentence that says why there is none.
    """

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


class Guard:
    """Lets through calls to an open path or with the secret. A wrong secret is answered after a delay."""

    def __init__(
        self, app: ASGIApp, secret: Cached[CronSecret], is_open: Callable[[str], bool], delay_seconds: float
    ) -> None:
        self._app, self._secret, self._is_open, self._delay_seconds = app, secret, is_open, delay_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or refuse it."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                await self._check(scope)
            except RefusedError as refused:
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        challenge = {"WWW-Authenticate": "Bearer"}
        sent = Headers(scope=scope).getlist("authorization")
        scheme, _, secret = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise RefusedError(401, "Send the header 'Authorization: Bearer SECRET'.", challenge)
        if not (await self._secret.read()).matches(secret.strip().encode("latin-1"), datetime.now(UTC)):
            logger.warning("Wrong secret from %s", scope["client"][0] if scope.get("client") else "unknown")
            await asyncio.sleep(self._delay_seconds)
            raise RefusedError(401, "The secret is wrong.", challenge)


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
