"""A short message to somebody else's server: tried again where that may help, and over within seconds.

What is sent where can be secret, the URL above all: an outcome says neither.
"""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result, stop_before_delay, wait_exponential, wait_random

from sivera.values import Value

# It logs every URL at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

ATTEMPT_SECONDS = 3.0
"""For each step of an attempt: to connect, to send, and to get an answer."""

BUDGET_SECONDS = 8.0
"""For all attempts: none is begun later."""

_backoff = wait_exponential(multiplier=0.2, max=2.0) + wait_random(0.0, 0.2)


class Outcome(Value):
    """What came of a message: the HTTP status of the last answer, or the kind of `trouble` in its place."""

    status: int | None = None
    trouble: str | None = None
    retry_after: float = 0.0
    attempts: int = 1

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def may_work_later(self) -> bool:
        """Whether to try again: nobody answered, or the receiver is in trouble or wants fewer messages."""
        return self.status is None or self.status == 429 or self.status >= 500

    @property
    def sentence(self) -> str:
        """What came of it, in words that name no URL."""
        answer = f"HTTP {self.status}" if self.status else f"no answer ({self.trouble})"
        return f"{answer} after {self.attempts} attempt{'s' * (self.attempts > 1)}"


def send(build: Callable[[], httpx.Request], seconds: float = BUDGET_SECONDS) -> Outcome:
    """Send a request, again after a pause while that may work; redirects are not followed, and answers not read.

    Args:
        build: Makes the request anew for each attempt.
        seconds: No attempt is begun later.
    """
    retrying = Retrying(
        retry=retry_if_result(lambda outcome: outcome.may_work_later),
        wait=_pause,
        stop=stop_before_delay(seconds),
        retry_error_callback=_last,
    )
    with httpx.Client(timeout=ATTEMPT_SECONDS, follow_redirects=False) as http:
        outcome: Outcome = retrying(_attempt, http, build)
    return outcome.model_copy(update={"attempts": retrying.statistics["attempt_number"]})


def check_url(url: str) -> None:
    """Check that messages can be sent to a URL.

    Raises:
        ValueError: They cannot; the message does not show the URL.
    """
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_right = False
    if not is_right or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it is no URL that a message can be sent to: write it like https://host/path")


def host_of(url: str) -> str:
    """Return the host and port of a URL: what may be shown of it."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _attempt(http: httpx.Client, build: Callable[[], httpx.Request]) -> Outcome:
    try:
        response = http.send(build(), stream=True)
        response.close()
    except httpx.HTTPError as error:
        return Outcome(trouble=type(error).__name__)
    after = response.headers.get("Retry-After", "")
    return Outcome(status=response.status_code, retry_after=float(after) if after.isdecimal() else 0.0)


def _pause(state: RetryCallState) -> float:
    return max(_backoff(state), _last(state).retry_after)


def _last(state: RetryCallState) -> Outcome:
    assert state.outcome  # noqa: S101 - it is asked after an attempt
    outcome: Outcome = state.outcome.result()
    return outcome
