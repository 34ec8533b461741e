"""The check of the secret. It comes before every route: without the secret nobody learns even which paths exist."""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import PrefectClient
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.cron_secret import REMEDY, CronSecret
from blocks.names import CRON_SECRET
from blocks.server import aload
from ops.api.answers import RefusedError, unavailable
from sivera.errors import ConfigurationError

logger = logging.getLogger("sivera.api")


class SecretKeeper:
    """Reads the secret from the Prefect server, and keeps it for a few seconds: a rotation needs no restart."""

    def __init__(self, client: PrefectClient, fresh_seconds: float) -> None:
        self._client, self._fresh_seconds = client, fresh_seconds
        self._lock = asyncio.Lock()
        self._read_at = -math.inf
        self._found: CronSecret | str = ""

    async def secret(self) -> CronSecret:
        """Return the secret; RefusedError if it is missing or invalid, or the Prefect server is away."""
        async with self._lock:
            if time.monotonic() - self._read_at > self._fresh_seconds:
                self._found = await self._read()
                self._read_at = time.monotonic()
            found = self._found
        if isinstance(found, str):
            raise unavailable(found)
        return found

    async def _read(self) -> CronSecret | str:
        try:
            return await aload(self._client, CronSecret, CRON_SECRET, REMEDY)
        except ConfigurationError as error:
            said, reason = "The secret of the HTTP API is missing or invalid: see its log.", str(error)
        except httpx.HTTPError as error:
            # Not the error's own words: they hold the address of the server.
            said, reason = "The Prefect server does not answer.", f"the Prefect server failed ({type(error).__name__})"
        logger.error("The HTTP API refuses every call: %s", reason)
        return said


class Guard:
    """Passes on calls that have the secret or are open to all; it holds the answer to a wrong one back.

    Open are the paths `open_paths`, and all below `open_prefix`.
    """

    def __init__(
        self, app: ASGIApp, keeper: SecretKeeper, open_paths: frozenset[str], open_prefix: str, delay_seconds: float
    ) -> None:
        self._app, self._keeper, self._delay_seconds = app, keeper, delay_seconds
        self._open_paths, self._open_prefix = open_paths, open_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                await self._check(scope)
            except RefusedError as refused:
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths or path.startswith(self._open_prefix)

    async def _check(self, scope: Scope) -> None:
        challenge = {"WWW-Authenticate": "Bearer"}
        sent = Headers(scope=scope).getlist("authorization")
        scheme, _, secret = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise RefusedError(401, "Send the header 'Authorization: Bearer SECRET'.", challenge)
        if not (await self._keeper.secret()).matches(secret.strip().encode("latin-1"), datetime.now(UTC)):
            logger.warning("A wrong secret from %s", scope["client"][0] if scope.get("client") else "unknown")
            await asyncio.sleep(self._delay_seconds)
            raise RefusedError(401, "The secret is wrong.", challenge)
