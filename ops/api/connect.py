"""The pages on which a team's user connects a grant.

`/connect/PLATFORM?team=…&link=…` says who asks for what. `/connect/callback` receives the platform's answer and
redirects at once, so that no browser history keeps its code. `/connect/done` shows the result. As RFC 9700 demands, a
state works once, only in the browser that started it and for one exact redirect. No page sends a referrer or can be
framed.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.to_thread
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from blocks.database import load_database_url
from blocks.platform_app import load_platform_app
from blocks.token_key import load_keyring
from ops.api.connect_page import render
from ops.api.connections import route
from sivera.accounts.queries import accounts_of
from sivera.clock import read_clock
from sivera.crypto import Keyring, Place, UndecryptableError, from_address, to_address
from sivera.database import engine_on
from sivera.database_errors import explain
from sivera.errors import SiveraError
from sivera.grants import consent
from sivera.grants.links import CALLBACK, callback_of, read_link
from sivera.grants.refusals import ConsentRefused, Refusal
from sivera.platforms.base import PlatformClient
from sivera.values import PlatformName
from tasks.events import notify

DONE = "/connect/done"
PREFIX = "/connect/"
"""Everything below this path is open to people without our secret."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}

OUTCOME = Place("connect", "outcome", "page")
"""The place of what was connected, which is encrypted in the address of the last page."""
STATEMENT_SECONDS = 10
AT_ONCE = 10
"""How many visitors of a page are served at once, so a slow platform leaves threads and database connections for other
calls of the HTTP API."""
MOST_BYTES = 10_000
"""The largest form that is read. Ours has a few hundred bytes."""

logger = logging.getLogger("sivera.api")


class Tools(NamedTuple):
    """What a request needs."""

    engine: Engine
    keyring: Keyring
    client: Callable[[PlatformName], PlatformClient]


@contextmanager
def open_tools() -> Iterator[Tools]:
    """Open what the blocks name. Each request opens it again, so a changed block needs no restart."""
    with engine_on(load_database_url(), statement_seconds=STATEMENT_SECONDS) as engine, ExitStack() as opened:

        def client(platform: PlatformName) -> PlatformClient:
            return opened.enter_context(closing(load_platform_app(platform).get_client(platform)))

        yield Tools(engine, load_keyring(), client)


Answer = Callable[[Tools, Request, bytes], Response]


@dataclass(frozen=True)
class ConnectPages:
    """The pages below the address at which browsers reach them, such as https://jobs.example.com."""

    public_url: str
    tools: Callable[[], AbstractContextManager[Tools]] = open_tools

    def routes(self) -> list[Route]:
        """Return the routes; ConfigurationError if the public address does not fit."""
        callback_of(self.public_url)
        return [
            route(CALLBACK, self._page(self._take_answer), "GET"),
            route(DONE, self._page(self._show), "GET"),
            route(f"{PREFIX}{{platform:path}}", self._page(self._ask), "GET", "POST"),
        ]

    def _ask(self, tools: Tools, request: Request, body: bytes) -> Response:
        """Show who asks for what. Once that page's form is sent, go on to the platform."""
        try:
            platform = PlatformName(request.path_params["platform"])
        except ValueError:
            raise ConsentRefused(Refusal.LINK_UNKNOWN) from None
        team, link = request.query_params.get("team", ""), request.query_params.get("link", "")
        # Another tab of this browser may have started a consent.
        browser = request.cookies.get(self._cookie) or secrets.token_urlsafe(32)
        proof = hmac.digest(browser.encode(), link.encode(), hashlib.sha256).hex()
        with Session(tools.engine) as session:
            name = read_link(tools.keyring, link, platform=platform, team=team, now=read_clock(session))
            consent.check_unused(session, link, platform)
        client = tools.client(platform)
        form = dict(parse_qsl(body.decode("ascii", errors="replace")))
        # Another site can send this form, but does not know the cookie (CSRF).
        if not hmac.compare_digest(form.get("proof", "").encode(), proof.encode()):
            regions = client.login.regions
            again = "proof" in form
            page = render("ask", request, platform=platform, team=team, proof=proof, regions=regions, again=again)
        else:
            target = consent.begin(
                tools.engine,
                tools.keyring,
                client,
                team=team,
                redirect_uri=callback_of(self.public_url),
                name=name,
                region=region if (region := form.get("region", "")) in client.login.regions else "",
                browser=browser,
                link=link,
            )
            # Not a redirect, because the form policy would then apply to the platform's own redirects as well.
            page = render("leave", request, platform=platform, target=target)
        response = HTMLResponse(page)
        response.set_cookie(
            self._cookie,
            browser,
            max_age=int(consent.STATE_LIFE.total_seconds()),
            secure=self._is_https,
            httponly=True,
            # The platform sends the browser back here, which is a visit from another site.
            samesite="lax",
        )
        return response

    def _take_answer(self, tools: Tools, request: Request, _body: bytes) -> Response:
        connected = consent.finish(
            tools.engine,
            tools.keyring,
            tools.client,
            f"{callback_of(self.public_url)}?{request.url.query}",
            browser=request.cookies.get(self._cookie),
            notify=notify,
        )
        with Session(tools.engine) as session:
            until = read_clock(session) + consent.STATE_LIFE
        outcome = connected.model_dump(mode="json", include={"platform", "team", "credential_id"})
        outcome |= {"left_out": len(connected.left_out), "until": until.timestamp()}
        sealed = to_address(tools.keyring, outcome, OUTCOME)
        return RedirectResponse(f"{self.public_url.rstrip('/')}{DONE}?of={sealed}", HTTPStatus.SEE_OTHER)

    def _show(self, tools: Tools, request: Request, _body: bytes) -> Response:
        with Session(tools.engine) as session:
            try:
                outcome = from_address(tools.keyring, request.query_params.get("of", ""), OUTCOME)
            except UndecryptableError:
                raise ConsentRefused(Refusal.STATE_UNKNOWN) from None
            # Anyone who later finds the address in a history learns no names. A reloaded tab still says 'done'.
            is_fresh = read_clock(session).timestamp() <= outcome["until"]
            accounts = [each.name for each in accounts_of(session, outcome["credential_id"])] if is_fresh else None
        platform, team, left_out = PlatformName(outcome["platform"]), outcome["team"], outcome["left_out"]
        page = render("done", request, platform=platform, team=team, accounts=accounts, left_out=left_out)
        return HTMLResponse(page)

    def _page(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that answers in a thread, and always with a page that a person can read."""
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def endpoint(request: Request) -> Response:
            body = await _read_form(request) if request.method == "POST" else b""
            response = await anyio.to_thread.run_sync(self._answered, answer, request, body, limiter=limiter)
            response.headers.update(HEADERS)
            return response

        return endpoint

    def _answered(self, answer: Answer, request: Request, body: bytes) -> Response:
        try:
            with self.tools() as tools:
                return answer(tools, request, body)
        except ConsentRefused as refused:
            logger.info("A consent led to no grant: %s", refused.why.name)
            detail = refused.detail.removeprefix(f"{refused.platform}: ")
            page = render("refused", request, platform=refused.platform, why=refused.why, detail=detail)
            return HTMLResponse(page, HTTPStatus.BAD_REQUEST)
        except Exception as error:
            # If a sentence tells our operator what to do, no traceback is needed.
            if said := str(error) if isinstance(error, SiveraError) else explain(error):
                logger.warning("A team's user could not connect a grant: %s", said)
            else:
                logger.exception("A defect of Sivera Jobs kept a team's user from connecting a grant")
        return HTMLResponse(render("unavailable", request), HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def _is_https(self) -> bool:
        return urlsplit(self.public_url).scheme == "https"

    @property
    def _cookie(self) -> str:
        # The prefix keeps neighbouring hosts from setting it.
        return "__Host-sivera-connect" if self._is_https else "sivera-connect"


async def _read_form(request: Request) -> bytes:
    """Return the body, or nothing if it is too long to be our form."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return b""
    return body
