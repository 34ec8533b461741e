"""The guard before every route: without the secret nobody learns even which paths there are."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import PrefectClient
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blocks.cron_secret import MEND, CronSecret
from blocks.names import CRON_SECRET
from blocks.server import aload
from ops.api.answers import Refusal, RefusedError, unavailable
from ops.api.throttle import Throttle, client_of
from sivera.errors import ConfigurationError

FRESH_SECONDS = 3.0
"""For so long a secret that was read is taken for what the Prefect server has: a rotation needs no restart."""

NO_STORE = "no-cache, no-store, must-revalidate"

logger = logging.getLogger("sivera.door")


class SecretKeeper:
    """Reads the secret from the Prefect server, at most once in `FRESH_SECONDS`, for all callers together."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._read_at = -math.inf
        self._found: CronSecret | str = ""

    async def secret(self) -> CronSecret:
        """Return the secret.

        Raises:
            RefusedError: It is missing or will not do, or the Prefect server does not answer: nothing can match it.
        """
        async with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._found = await self._read()
                self._read_at = time.monotonic()
            found = self._found
        if isinstance(found, CronSecret):
            return found
        raise unavailable(found)

    async def _read(self) -> CronSecret | str:
        try:
            return await aload(self._client, CronSecret, CRON_SECRET, MEND)
        except ConfigurationError as error:
            logger.error("The door is shut: %s", error)  # noqa: TRY400 - the sentence says it all
            return "The secret of the door is missing or will not do: see the door's log."
        except httpx.HTTPError as error:
            logger.error("The door is shut: the Prefect server failed (%s)", type(error).__name__)  # noqa: TRY400
            return "The Prefect server does not answer."


class Guard:
    """Lets through who sends the secret, and slows who guesses.

    Args:
        app: What it stands before.
        keeper: Where the secret is.
        throttle: Who has to wait.
        open_paths: What everyone may see.
    """

    def __init__(self, app: ASGIApp, keeper: SecretKeeper, throttle: Throttle, open_paths: frozenset[str]) -> None:
        self._app, self._keeper, self._throttle, self._open_paths = app, keeper, throttle, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if scope["path"] not in self._open_paths:
                await self._check(scope)
            await self._app(scope, receive, send_on)
        except RefusedError as refused:
            await to_response(refused)(scope, receive, send)
        except BaseException as error:
            # Whatever it is, and also when the door is closed while somebody waits: an answer in our own shape.
            if not begun:
                await to_response(_unforeseen(error))(scope, receive, send)
            raise

    async def _check(self, scope: Scope) -> None:
        sent = _bearer(scope)
        if sent is None:
            raise _unauthorized("Send the header 'Authorization: Bearer SECRET'.")
        secret = await self._keeper.secret()
        # Nothing is awaited from here on: of many attempts at once, each sees what the one before it spent.
        client = client_of(scope["client"][0] if scope.get("client") else None)
        if seconds := math.ceil(self._throttle.wait(client)):
            raise RefusedError(
                429,
                Refusal(message=f"Too many wrong secrets: try again in {seconds} s."),
                {"Retry-After": str(seconds)},
            )
        if not secret.matches(sent, datetime.now(UTC)):
            self._throttle.failed(client)
            # The throttle bounds these lines as well.
            logger.warning("A wrong secret from %s", client)
            raise _unauthorized("The secret is wrong.")
        self._throttle.passed(client)


def _unforeseen(error: BaseException) -> RefusedError:
    if isinstance(error, asyncio.CancelledError):
        return unavailable("The door is closing; a run that was started goes on.")
    return RefusedError(500, Refusal(message="This is a defect of the door: see its log."))


def to_response(refused: RefusedError) -> JSONResponse:
    """Return a refusal as JSON."""
    return JSONResponse(refused.body.model_dump(mode="json"), refused.status, refused.headers)


def _bearer(scope: Scope) -> bytes | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    found = [value for name, value in headers if name == b"authorization"]
    scheme, _, sent = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
    return sent.strip() if scheme.lower() == b"bearer" else None


def _unauthorized(message: str) -> RefusedError:
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}
    return RefusedError(401, Refusal(message=message), headers)
