"""The redirect of a consent to this machine (RFC 8252, 7.3): a server on the loopback address that takes one answer."""

import html
import queue
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import urlsplit

from sivera.errors import ConfigurationError
from sivera.grants.refusals import ConsentRefused, Refusal

ADDRESS, ADDRESS_6 = "127.0.0.1", "::1"
PORT = 8910
"""Of our redirects: some platforms want to know it beforehand."""
REPLY_SECONDS = 5.0
"""How long a browser may take to send a request, or to receive its page."""
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


class _Answer:
    """A request to the redirect: its address, and the page that the browser waits for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._page: queue.Queue[bytes] = queue.Queue()
        self._sent = threading.Event()

    def reply(self, title: str, words: str) -> None:
        """Let the browser have a page, and wait until it is sent."""
        self._page.put(PAGE.format(title=html.escape(title), words=html.escape(words)).encode())
        self._sent.wait(REPLY_SECONDS)

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        """Send the page once there is one."""
        page = self._page.get()
        try:
            handler.send_response(200)
            for name, value in (HEADERS | {"Content-Length": str(len(page))}).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(page)
        finally:
            self._sent.set()


class Loopback:
    """Listens at a redirect of this machine, from now until `close`.

    Raises:
        ConfigurationError: Something else listens there.
    """

    def __init__(self, redirect_uri: str) -> None:
        self._answers: queue.Queue[_Answer] = queue.Queue()
        parts = urlsplit(redirect_uri)
        answers = self._answers

        class Handler(BaseHTTPRequestHandler):
            timeout = REPLY_SECONDS

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path != (parts.path or "/"):
                    self.send_error(404)
                    return
                answer = _Answer(f"{redirect_uri}?{query}")
                answers.put(answer)
                answer.send(self)

            def log_message(self, *_: object) -> None:
                """Log nothing: a request holds a code."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if parts.hostname == ADDRESS_6 else socket.AF_INET

            def handle_error(self, *_: object) -> None:
                """Say nothing of a browser that goes away: the terminal is waiting for its answer."""

        try:
            address = ADDRESS_6 if parts.hostname == ADDRESS_6 else ADDRESS
            self._server = Server((address, parts.port or 80), Handler)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {redirect_uri} ({error.strerror}): free that port, or pass another one with "
                "--redirect-uri, or pass --no-browser"
            ) from None
        self._server.daemon_threads, self._server.block_on_close = True, False
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address that it listens on."""
        return str(self._server.server_address[0])

    def take(self, finish: Callable[[str], T], words_of: Callable[[T], str], seconds: float) -> T:
        """Return what `finish` makes of the first answer; the browser sees `words_of` it, or why it was refused.

        An answer to no consent of ours does not count: any page in the browser can send one.

        Raises:
            ConsentRefused: By `finish`; or no answer came in time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise ConsentRefused(Refusal.STATE_EXPIRED) from None
            try:
                finished = finish(answer.url)
            except ConsentRefused as refused:
                answer.reply("Not connected", str(refused))
                if refused.why is not Refusal.STATE_UNKNOWN:
                    raise
            except BaseException:
                answer.reply("Not connected", "Something failed here. The terminal says more.")
                raise
            else:
                answer.reply("Connected", words_of(finished))
                return finished

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
