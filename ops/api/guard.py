"""The check of the secret. It comes before every route: without the secret nobody learns even which paths exist."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from blocks.cron_secret import CronSecret
from ops.api.answers import RefusedError
from ops.api.fresh import Fresh

logger = logging.getLogger("sivera.api")


class Guard:
    """Passes on calls that have the secret or are to an open path; it holds the answer to a wrong secret back."""

    def __init__(
        self, app: ASGIApp, secret: Fresh[CronSecret], is_open: Callable[[str], bool], delay_seconds: float
    ) -> None:
        self._app, self._secret, self._is_open, self._delay_seconds = app, secret, is_open, delay_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
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
            logger.warning("A wrong secret from %s", scope["client"][0] if scope.get("client") else "unknown")
            await asyncio.sleep(self._delay_seconds)
            raise RefusedError(401, "The secret is wrong.", challenge)
