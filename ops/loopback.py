"""The redirect of a consent to this machine (RFC 8252, 7.3): a loopback server that receives one answer."""

import asyncio
import html
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ops.api.connect import HEADERS
from ops.api.connections import make_server, route
from sivera.errors import ConfigurationError
from sivera.grants.refusals import ConsentRefused, Refusal

ADDRESS, ADDRESS_6 = "127.0.0.1", "::1"
PORT = 8910
"""The port of our redirects. It is fixed because some platforms require it to be registered."""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sivera</title>
<style>body {{ font: 16px/1.5 system-ui; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style>
<h1>{title}</h1><p>{words}</p><p>You can close this window.</p></html>"""

T = TypeVar("T")


def listen(redirect_uri: str) -> socket.socket:
    """Listen at a redirect on this machine; ConfigurationError if something else listens there."""
    parts = urlsplit(redirect_uri)
    address, family = (ADDRESS_6, socket.AF_INET6) if parts.hostname == ADDRESS_6 else (ADDRESS, socket.AF_INET)
    try:
        return socket.create_server((address, parts.port or 80), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {redirect_uri} ({error.strerror}): free that port, or pass another one with "
            "--redirect-uri, or pass --no-browser"
        ) from None


def take_answer(
    listener: socket.socket,
    redirect_uri: str,
    finish: Callable[[str], T],
    words_of: Callable[[T], str],
    seconds: float,
) -> T:
    """Return what `finish` makes of the first answer. The browser is shown `words_of` it, or why it was refused.

    An answer with an unknown state is ignored, since any page in the browser can send one. ConsentRefused if `finish`
    raises it, or no answer came in time.
    """
    ended: Future[T] = Future()

    def decide(url: str) -> tuple[str, str]:
        try:
            finished = finish(url)
        except ConsentRefused as refused:
            if refused.why is not Refusal.STATE_UNKNOWN:
                ended.set_exception(refused)
            return "Not connected", str(refused)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            ended.set_exception(error)
            return "Not connected", "Something failed here. The terminal says more."
        ended.set_result(finished)
        return "Connected", words_of(finished)

    async def answer(request: Request) -> HTMLResponse:
        # This may block the loop, because nobody else needs an answer meanwhile.
        title, words = decide(f"{redirect_uri}?{request.url.query}")
        server.should_exit = ended.done()
        return HTMLResponse(PAGE.format(title=html.escape(title), words=html.escape(words)), headers=HEADERS)

    async def serve() -> None:
        asyncio.get_running_loop().call_later(seconds, setattr, server, "should_exit", True)
        await server.serve(sockets=[listener])

    path = unquote(urlsplit(redirect_uri).path) or "/"
    server = make_server(Starlette(routes=[route(path, answer, "GET")]))
    asyncio.run(serve())
    if not ended.done():
        raise ConsentRefused(Refusal.STATE_EXPIRED)
    return ended.result()
