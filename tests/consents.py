"""What a person does on a consent page of the sandbox."""

import httpx

from tests.conftest import PATIENCE_SECONDS

REDIRECT = "http://127.0.0.1:8910/callback"


def answered(page: str, answer: str = "allow", user: str = "new", *, ads: bool = True) -> str:
    """Press a button of the page at this address; return where it sends the browser."""
    form = {"answer": answer, "user": user} | ({"ads": "on"} if ads else {})
    reply = httpx.post(page, data=form, timeout=PATIENCE_SECONDS)
    assert reply.status_code == 302, reply.text
    return reply.headers["location"]
