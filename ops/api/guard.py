"""The check of the secret. It comes before every route: without the secret nobody learns even which paths exist."""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import PrefectClient
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.cron_secret import REMEDY, CronSecret
from blocks.names import CRON_SECRET
from blocks.server import aload
from ops.api.answers import Refusal, RefusedError, unavailable
from sivera.errors import ConfigurationError

logger = logging.getLogger("sivera.api")


class SecretKeeper:
    """Reads the secret from the Prefect server, and keeps it for a few seconds: a rotation needs no restart.

    Args:
        client: Of the Prefect server.
        fresh_seconds: How long a secret that was read is used.
    """

    def __init__(self, client: PrefectClient, fresh_seconds: float) -> None:
        self._client, self._fresh_seconds = client, fresh_seconds
        self._lock = asyncio.Lock()
        self._read_at = -math.inf
        self._found: CronSecret | str = ""

    async def secret(self) -> CronSecret:
        """Return the secret.

        Raises:
            RefusedError: The secret is missing or invalid, or the Prefect server does not answer. Nothing matches then.
        """
        async with self._lock:
            if time.monotonic() - self._read_at > self._fresh_seconds:
                self._found = await self._read()
                self._read_at = time.monotonic()
            found = self._found
        if isinstance(found, CronSecret):
            return found
        raise unavailable(found)

    async def _read(self) -> CronSecret | str:
        try:
            return await aload(self._client, CronSecret, CRON_SECRET, REMEDY)
        except ConfigurationError as error:
            logger.error("The HTTP API refuses every call: %s", error)  # noqa: TRY400 - the sentence says it all
            return "The secret of the HTTP API is missing or invalid: see its log."
        except httpx.HTTPError as error:
            logger.error(  # noqa: TRY400 - the error's own words hold the server's address
                "The HTTP API refuses every call: the Prefect server failed (%s)", type(error).__name__
            )
            return "The Prefect server does not answer."


class Guard:
    """Admits callers that send the secret.

    Args:
        app: What it protects.
        keeper: Knows the secret.
        open_paths: What everyone may see.
        delay_seconds: How long the answer to a wrong secret is held back.
    """

    def __init__(self, app: ASGIApp, keeper: SecretKeeper, open_paths: frozenset[str], delay_seconds: float) -> None:
        self._app, self._keeper, self._open_paths, self._delay_seconds = app, keeper, open_paths, delay_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                await self._check(scope)
            except RefusedError as refused:
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        sent = _bearer(scope)
        if sent is None:
            raise _unauthorized("Send the header 'Authorization: Bearer SECRET'.")
        secret = await self._keeper.secret()
        if not secret.matches(sent, datetime.now(UTC)):
            logger.warning("A wrong secret from %s", scope["client"][0] if scope.get("client") else "unknown")
            await asyncio.sleep(self._delay_seconds)
            raise _unauthorized("The secret is wrong.")


def _bearer(scope: Scope) -> bytes | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    found = [value for name, value in headers if name == b"authorization"]
    scheme, _, sent = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
    return sent.strip() if scheme.lower() == b"bearer" else None


def _unauthorized(message: str) -> RefusedError:
    return RefusedError(401, Refusal(message=message), {"WWW-Authenticate": "Bearer"})
