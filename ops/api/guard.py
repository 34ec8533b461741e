"""Checks the secret before any route: callers without it do not even learn which paths exist."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.cron_secret import CronSecret
from ops.api.answers import RefusedError
from ops.api.cached import Cached

logger = logging.getLogger("sivera.api")


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
