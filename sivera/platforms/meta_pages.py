"""Meta's listings, page by page, with smaller pages if a reply would be too large."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from sivera.breaker import Subject
from sivera.platforms.base import AppCredentials, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.meta_errors import TooMuchData, app_usage
from sivera.platforms.meta_login import api_url
from sivera.platforms.parts import all_rows
from sivera.platforms.rows import Record
from sivera.values import PlatformName

FEWEST_PER_PAGE = 25
"""Meta's default. If it cannot send even these, the question has failed."""


@dataclass(frozen=True)
class Question:
    """A question to Meta. The fields of the `key` tell rows apart."""

    path: str
    params: Mapping[str, str]
    subject: Subject
    key: tuple[str, ...] = ("id",)


@dataclass(frozen=True)
class Rows:
    """The rows of a listing, and the highest usage of our app's quota, in percent, that its replies named."""

    rows: list[Any]
    usage: float


@dataclass(frozen=True)
class Pager:
    """Asks questions through one caller."""

    caller: Caller
    app: AppCredentials

    def ask(self, tokens: TokenSource, question: Question, **more: str) -> Reply:
        """Send one request."""
        build = partial(self.request, "GET", question.path, {**question.params, **more})
        return self.caller.call(tokens, build, question.subject)

    def rows(self, tokens: TokenSource, question: Question, limit: int, fewest: int = FEWEST_PER_PAGE) -> Rows:
        """Read all pages of `limit` rows; if Meta refuses those, of fewer rows, down to the `fewest`.

        Raises:
            TooMuchData: Meta refuses the smallest page too.
            InvalidReply: A page is not as documented, or the listing does not end.
        """
        usage = 0.0

        def pages() -> Iterator[list[Any]]:
            nonlocal limit, usage
            after: dict[str, str] | None = {}
            while after is not None:
                try:
                    reply = self.ask(tokens, question, limit=str(limit), **after)
                except TooMuchData:
                    if limit <= fewest:
                        raise
                    limit = max(fewest, limit // 2)
                    continue
                usage, body = max(usage, app_usage(reply.headers)), body_of(reply)
                after = _next(body)
                yield body.rows("data")

        return Rows(all_rows(PlatformName.META, pages(), *question.key), usage)

    def request(self, method: str, path: str, params: Mapping[str, str], token: str) -> httpx.Request:
        """Return a request with an access token, and the proof (which apps can require) that our app sends it."""
        secret = self.app.client_secret.get_secret_value().encode()
        proof = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
        return self.caller.http.build_request(
            method,
            api_url(self.app, path),
            params={**params, "appsecret_proof": proof},
            headers={"Authorization": f"Bearer {token}"},
        )


def body_of(reply: Reply) -> Record:
    """Return a reply's body."""
    return Record(PlatformName.META, reply.body)


def _next(body: Record) -> dict[str, str] | None:
    """Return the parameter for the next page. Every page has a cursor, but only `next` says that there is another.

    The URL in `next` is not used, because it may contain the access token.
    """
    if body.get("paging") is None or body.record("paging").get("next") is None:
        return None
    return {"after": body.record("paging").record("cursors").text("after")}
