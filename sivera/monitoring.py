"""Messages to monitors outside of Prefect: a signed webhook (Standard Webhooks 1.0.0) and a ping (Healthchecks).

URLs can be secret, so neither outcomes nor errors show them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://healthchecks.io/docs/http_api/
"""

import base64
import json
import logging
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook
from tenacity import Retrying, retry_if_result, stop_before_delay, wait_exponential, wait_random

from sivera.clock import utc_now
from sivera.proxies import reason_of
from sivera.units import counted
from sivera.values import Value

# httpx logs every URL at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

ATTEMPT_SECONDS = 3.0
"""The limit for each step of an attempt: connecting, sending, and waiting for the answer."""

WEBHOOK_SECONDS = 8.0
PING_SECONDS = 4.0
"""The limit for all attempts at one message; the run waits that long."""

MAX_PING_TEXT = 1000

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret
SECRET_BYTES = range(24, 65)
"""The lengths of a secret that the specification allows."""


class Outcome(Value):
    """The HTTP status of the last answer to a message, or the kind of `trouble` if there was none."""

    status: int | None = None
    trouble: str | None = None
    attempts: int = 1

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver accepted the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        answer = f"HTTP {self.status}" if self.status else f"no answer ({self.trouble})"
        return f"{answer} after {counted(self.attempts, 'attempt')}"


class Signal(StrEnum):
    """What a ping reports, as the text appended to its URL's path."""

    START = "/start"
    SUCCESS = ""
    FAIL = "/fail"


def generate_secret() -> SecretStr:
    """Return a new random secret for a webhook."""
    return SecretStr(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def check_secret(secret: SecretStr) -> SecretStr:
    """Return the secret if it fits a webhook. Otherwise raise a ValueError that does not show it."""
    text = secret.get_secret_value()
    try:
        length = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        length = 0
    if not text.startswith(SECRET_PREFIX) or length not in SECRET_BYTES:
        raise ValueError(f"it is not a webhook secret: write {SECRET_PREFIX} and 24 to 64 bytes in base64")
    return secret


def check_url(url: SecretStr) -> SecretStr:
    """Return the URL if it can receive messages. Otherwise raise a ValueError that does not show it."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        is_valid = False
    if not is_valid or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it is not a URL that can receive messages: write it like https://host/path")
    return url


def host_of(url: SecretStr) -> str:
    """Return the host and port of a URL, the parts that are not secret."""
    parts = urlsplit(url.get_secret_value())
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def deliver(url: SecretStr, secret: SecretStr, message_id: str, message: Mapping[str, Any]) -> Outcome:
    """Post a signed message as JSON.

    All attempts share `message_id`, so the receiver can drop repeats. It must not contain a dot.
    """
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    now = utc_now()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret.get_secret_value()).sign(message_id, now, body),
    }
    return _post(url.get_secret_value(), headers, body, WEBHOOK_SECONDS)


def ping(url: SecretStr, signal: Signal, run_id: UUID, text: str = "", seconds: float = PING_SECONDS) -> Outcome:
    """Send a ping, with a text that the monitor shows.

    `run_id` ties the signals of a run together, which lets the monitor measure its duration.
    """
    parts = urlsplit(url.get_secret_value())
    query = "&".join(filter(None, (parts.query, f"rid={run_id}")))
    target = urlunsplit(parts._replace(path=parts.path.rstrip("/") + signal, query=query, fragment=""))
    return _post(target, {"Content-Type": "text/plain; charset=utf-8"}, text[:MAX_PING_TEXT], seconds)


def _post(url: str, headers: Mapping[str, str], body: str, seconds: float) -> Outcome:
    """Post a body, and retry while that may help and there is time. Redirects and answers are ignored."""
    retrying = Retrying(
        retry=retry_if_result(lambda got: got.status is None or got.status == 429 or got.status >= 500),
        wait=wait_exponential(multiplier=0.2, max=2.0) + wait_random(0.0, 0.2),
        stop=stop_before_delay(seconds),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    request = {"headers": {"User-Agent": "sivera-jobs", **headers}, "content": body.encode()}
    with httpx.Client(timeout=min(ATTEMPT_SECONDS, seconds), follow_redirects=False) as http:
        outcome: Outcome = retrying(_attempt, http, url, request)
    return outcome.model_copy(update={"attempts": retrying.statistics["attempt_number"]})


def _attempt(http: httpx.Client, url: str, request: Mapping[str, Any]) -> Outcome:
    try:
        with http.stream("POST", url, **request) as response:
            return Outcome(status=response.status_code)
    except httpx.HTTPError as error:
        return Outcome(trouble=reason_of(error, url))
