"""A dead-man's ping, as Healthchecks has it: who waits for it in vain tells that a job did not run.

https://healthchecks.io/docs/http_api/ and, for /start, https://healthchecks.io/docs/measuring_script_run_time/
"""

from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import httpx
from pydantic import SecretStr

from sivera.monitoring.sending import Outcome, send

PING_SECONDS = 4.0
"""For all attempts at one ping: a run waits for it."""

MAX_TEXT = 1000


class Signal(StrEnum):
    """What a ping says, as what is put behind the path of its URL."""

    START = "/start"
    SUCCESS = ""
    FAIL = "/fail"


def ping(url: SecretStr, signal: Signal, run_id: UUID, text: str = "") -> Outcome:
    """Send a ping.

    Args:
        url: That of the check, without anything behind it; it can be secret.
        signal: What it says.
        run_id: Ties the signals of a run together, so that its duration is measured.
        text: Shown beside the ping; of a long one the beginning.
    """
    parts = urlsplit(url.get_secret_value())
    query = "&".join(filter(None, (parts.query, f"rid={run_id}")))
    target = urlunsplit(parts._replace(path=parts.path.rstrip("/") + signal, query=query, fragment=""))
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "sivera-jobs"}
    return send(
        lambda: httpx.Request("POST", target, headers=headers, content=text[:MAX_TEXT].encode()), seconds=PING_SECONDS
    )
