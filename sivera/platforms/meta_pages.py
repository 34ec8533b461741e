"""Meta's listings page by page: smaller pages if a reply would be too large, and an end to listings without one."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.errors import InvalidReply, PlatformError, TimedOut
from sivera.platforms.base import MAX_EMPTY_PAGES, MAX_PAGES, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.meta_errors import TooMuchData, app_usage
from sivera.platforms.meta_json import Row, invalid
from sivera.values import DateWindow, PlatformName

FEWEST_PER_PAGE = 25
"""Meta's own default. If it cannot answer with so few rows, it cannot answer."""
MOST_UNANSWERED = 3
"""After this many days that Meta cannot answer for, it is asked for no other."""


@dataclass(frozen=True)
class Question:
    """A question to Meta: a path, its parameters, what the calls are about, and the fields that tell rows apart."""

    path: str
    params: Mapping[str, str]
    subject: Subject
    key: tuple[str, ...] = ("id",)

    def identity(self, row: Any) -> object:
        """Return what tells a row from others: the fields of the key, or else all of it."""
        if isinstance(row, dict) and all(name in row for name in self.key):
            return tuple(str(row[name]) for name in self.key)
        return repr(row)


@dataclass(frozen=True)
class Pager:
    """Asks questions below the URL `base` with one kind of caller.

    Our app's secret proves that a call comes from our app, which apps can require.
    """

    caller: Caller
    http: httpx.Client
    base: str
    secret: SecretStr

    def ask(self, tokens: TokenSource, question: Question, **more: str) -> Reply:
        """Send one request."""
        build = partial(self.request, "GET", question.path, {**question.params, **more})
        return self.caller.call(tokens, build, question.subject)

    def rows(self, tokens: TokenSource, question: Question, limit: int, fewest: int = FEWEST_PER_PAGE) -> "Rows":
        """Read all pages. If Meta refuses pages of `limit` rows, they become smaller, down to the `fewest`.

        Raises:
            TooMuchData: Meta refuses the smallest page too.
            InvalidReply: A page is not as documented, or the pages bring nothing new and have no end.
        """
        found: dict[object, Any] = {}
        usage, idle = 0.0, 0
        after: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            try:
                reply = self.ask(tokens, question, limit=str(limit), **after)
            except TooMuchData:
                if limit <= fewest:
                    raise
                limit = max(fewest, limit // 2)
                continue
            body, usage, known = body_of(reply), max(usage, app_usage(reply.headers)), len(found)
            for row in _data(body):
                found[question.identity(row)] = row
            if (cursor := _next_cursor(body)) is None:
                return Rows(list(found.values()), usage)
            after = {"after": cursor}
            idle = 0 if len(found) > known else idle + 1
            if idle >= MAX_EMPTY_PAGES:
                break
        raise InvalidReply(PlatformName.META, "sends page after page without anything new, and no last one")

    def request(self, method: str, path: str, params: Mapping[str, str], token: str) -> httpx.Request:
        """Return a request with an access token, and the proof that it comes from our application."""
        proof = hmac.new(self.secret.get_secret_value().encode(), token.encode(), hashlib.sha256).hexdigest()
        return self.http.build_request(
            method,
            self.base + path,
            params={**params, "appsecret_proof": proof},
            headers={"Authorization": f"Bearer {token}"},
        )


@dataclass(frozen=True)
class Rows:
    """The rows of a listing, and the highest used share of our app's calls that its replies named, in percent."""

    rows: list[Any]
    usage: float


def in_parts(
    read: Callable[[DateWindow, int, int], Rows], window: DateWindow, limit: int
) -> Iterator[tuple[DateWindow, Rows]]:
    """Read the days of a window, the newest first, in parts that are as long as Meta answers.

    `read` takes a window, the rows of a page, and those of the smallest page. Each part is yielded as soon as it is
    there. A day that Meta cannot answer for is an error only after the other days.
    """
    todo, errors = [window], list[PlatformError]()
    while todo:
        part = todo.pop()
        is_one_day = part.since >= part.until
        try:
            rows = read(part, limit, FEWEST_PER_PAGE if is_one_day else limit)
        except (TooMuchData, TimedOut) as error:
            if is_one_day:
                errors.append(error)
                if len(errors) == MOST_UNANSWERED:
                    break
                continue
            middle = part.since + (part.until - part.since) // 2
            todo.append(DateWindow(since=part.since, until=middle))
            todo.append(DateWindow(since=middle + timedelta(days=1), until=part.until))
            limit = max(FEWEST_PER_PAGE, limit // 2)
        else:
            yield part, rows
    if errors:
        raise errors[0]


def body_of(reply: Reply) -> Row:
    """Return the body of a reply, which must be a JSON object."""
    if not isinstance(reply.body, dict):
        raise invalid("body")
    return reply.body


def _data(body: Row) -> list[Any]:
    rows = body.get("data")
    if not isinstance(rows, list):
        raise invalid("data")
    return rows


def _next_cursor(body: Row) -> str | None:
    """Return the cursor of the next page. Every page has a cursor; only `next` says that there is a next page.

    The URL in `next` itself is not used: it may contain the access token.
    """
    paging = body.get("paging", {})
    if not isinstance(paging, dict):
        raise invalid("paging")
    if "next" not in paging:
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:
        raise invalid("cursors.after")
    return after
