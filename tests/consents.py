"""What a person does on a consent page of the sandbox."""

import threading
import webbrowser
from collections.abc import Callable
from concurrent.futures import Future

import httpx

from tests.conftest import PATIENCE_SECONDS

REDIRECT = "http://127.0.0.1:8910/callback"


def answered(page: str, answer: str = "allow", user: str = "new", *, ads: bool = True) -> str:
    """Press a button of the page, and return where it sends the browser."""
    form = {"answer": answer, "user": user} | ({"ads": "on"} if ads else {})
    reply = httpx.post(page, data=form, timeout=PATIENCE_SECONDS)
    assert reply.status_code == 302, reply.text
    return reply.headers["location"]


class Person(webbrowser.BaseBrowser):
    """The browser of this machine and its user, who decides on the consent page and then sees another page."""

    def __init__(self) -> None:
        super().__init__("person")
        self.decide: Callable[[str], str] = answered
        self.seen: Future[httpx.Response] = Future()
        webbrowser.register("person", None, self, preferred=True)

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        """Follow the redirect in another thread, because the command waits for it."""
        threading.Thread(target=self._follow, args=(url,), daemon=True).start()
        return True

    def _follow(self, url: str) -> None:
        try:
            redirect = httpx.URL(self.decide(url))
            # Requests of other pages and of the browser itself do not count.
            stranger = redirect.copy_with(query=b"code=1&state=of-another")
            assert "Not connected" in httpx.get(stranger, timeout=PATIENCE_SECONDS).text
            icon = redirect.copy_with(path="/favicon.ico")
            assert httpx.get(icon, timeout=PATIENCE_SECONDS).status_code == 404
            assert httpx.head(redirect, timeout=PATIENCE_SECONDS).status_code == 405
            self.seen.set_result(httpx.get(redirect, timeout=PATIENCE_SECONDS))
        except Exception as error:
            self.seen.set_exception(error)
            raise
