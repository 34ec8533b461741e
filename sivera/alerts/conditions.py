"""What the rules of alerts work with: the facts that they read, and the conditions that they find."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator

from sivera.values import Value

MAX_REASON = 500
"""Characters of a run's or platform's reason that an alert repeats."""


class Kind(StrEnum):
    """What is wrong."""

    JOB_FAILED = "job-failed"
    JOB_SKIPPED = "job-skipped"
    JOB_MISSED = "job-missed"
    REAUTHORIZATION_REQUIRED = "reauthorization-required"
    ACCESS_ENDS = "access-ends"
    STALE_DATA = "stale-data"
    ALERTS_SILENT = "alerts-silent"
    BUDGET = "budget"


def plain(text: str) -> str:
    """Return a text on one line, in which no chat finds a mention of everybody."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    # An invisible word joiner: without it Discord and Slack notify everybody at `@everyone` and `<!channel>`.
    return printable.replace("@", "@\u2060").replace("<", "<\u2060")


def sentence(reason: str) -> str:
    """Return a run's or platform's reason as a sentence that is not too long."""
    text = reason[:MAX_REASON].rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


Plain = Annotated[str, AfterValidator(plain)]


class Condition(Value):
    """Something that people should know. An alert is open as long as a check finds its `kind` and `subject`.

    `title` names the job, account or team; `message` says more, and the remedy. `since` is when it began. `link` leads
    to a page of the UI, and is empty if there is none. For the other fields see `sivera.models.Alert`. `is_known` says
    that people have been notified of the beginning already.
    """

    kind: Kind
    subject: str
    title: Plain
    message: Plain
    since: datetime
    link: str = ""
    level: int | None = None
    team_id: int | None = None
    account_id: int | None = None
    details: Mapping[str, Any] = {}
    is_known: bool = False


class BrokenGrant(NamedTuple):
    """A grant that a human has to connect again, with the names of its active accounts."""

    id: int
    team: str
    platform: str
    name: str
    reason: str | None
    since: datetime
    accounts: Sequence[str]


class EndingGrant(NamedTuple):
    """A working grant to which its platform gives no data any more from `ends` on."""

    id: int
    team: str
    platform: str
    name: str
    ends: datetime


class StaleAccount(NamedTuple):
    """An account that should have been synced; `since` is its last sync, or when it was connected.

    One that `rests` failed several times, so its next sync is put off. One that `lacks_reports` is synced, but no
    report of its spending has come since then. One that `lacks_full` is synced, but not in full.
    """

    id: int
    team: str
    platform: str
    name: str
    since: datetime
    error: str | None
    rests: bool = False
    lacks_reports: bool = False
    lacks_full: bool = False
