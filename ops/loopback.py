"""The redirect of a consent to this machine (RFC 8252, 7.3): a server on the loopback address that takes one answer."""

import html
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sivera.errors import ConfigurationError
from sivera.grants.refusals import ConsentRefused, Refusal

ADDRESS, ADDRESS_6 = "127.0.0.1", "::1"
PORT = 8910
"""Of our redirects: some platforms want to know it beforehand."""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sivera</title>
<style>body {{ font: 16px/1.5 system-ui; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style>
<h1>{title}</h1><p>{words}</p><p>You can close this window.</p></html>"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

T = TypeVar("T")


class _Handler(BaseHTTPRequestHandler):
    timeout = 2.0
    server: "Loopback"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path != (urlsplit(self.server.redirect_uri).path or "/"):
            self.send_error(404)
            return
        title, words = self.server.answer(f"{self.server.redirect_uri}?{query}")
        page = PAGE.format(title=html.escape(title), words=html.escape(words)).encode()
        self.send_response(200)
        for name, value in (HEADERS | {"Content-Length": str(len(page))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Log nothing: a request holds a code."""


class Loopback(HTTPServer):
    """Listens at a redirect of this machine, from now until it is closed.

    Raises:
        ConfigurationError: Something else listens there.
    """

    answer: Callable[[str], tuple[str, str]]

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri, parts = redirect_uri, urlsplit(redirect_uri)
        self._silent: dict[socket.socket, Any] = {}
        address = ADDRESS
        if parts.hostname == ADDRESS_6:
            address, self.address_family = ADDRESS_6, socket.AF_INET6
        try:
            super().__init__((address, parts.port or 80), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {redirect_uri} ({error.strerror}): free that port, or pass another one with "
                "--redirect-uri, or pass --no-browser"
            ) from None

    def take(self, finish: Callable[[str], T], words_of: Callable[[T], str], seconds: float) -> T:
        """Return what `finish` makes of the first answer; the browser sees `words_of` it, or why it was refused.

        An answer to no consent of ours does not count: any page in the browser can send one.

        Raises:
            ConsentRefused: By `finish`; or no answer came in time.
        """
        ended: Future[T] = Future()

        def answer(url: str) -> tuple[str, str]:
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

        self.answer = answer
        until = time.monotonic() + seconds
        while not ended.done():
            if (left := until - time.monotonic()) <= 0:
                raise ConsentRefused(Refusal.STATE_EXPIRED)
            self._serve(left)
        return ended.result()

    def _serve(self, seconds: float) -> None:
        # Browsers also open connections for later, on which they send nothing: they must not hold up the others.
        ready = select.select([*self._silent, self.socket], [], [], seconds)[0]
        with suppress(Exception):  # a browser may go away, or send anything
            if ready and ready[0] is self.socket:
                browser, address = self.socket.accept()
                self._silent[browser] = address
            elif ready:
                with closing(ready[0]) as browser:
                    self.process_request(browser, self._silent.pop(browser))

    def server_close(self) -> None:
        """Stop listening, and close what is open."""
        super().server_close()
        for each in self._silent:
            each.close()
