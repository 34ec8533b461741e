"""What the rules of alerts work with: the facts that they read, and the conditions that they find."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator

from sivera.values import Value, one_line

MAX_REASON = 500
"""Of a run's or platform's reason, what an alert repeats."""

MAX_NAME = 60
"""Of the name of a team, an account or anything else, what an alert repeats. Platforms allow up to 255 characters."""


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


_DOCTOR = (
    "No worker runs, or something is switched off: see the lines `worker`, `automations` and `deployments` of "
    "`sivera doctor`."
)

REMEDIES: Mapping[Kind, str] = {
    Kind.JOB_FAILED: "See docs/operations.md#{job}.",
    Kind.JOB_SKIPPED: "The next run does the work. If it happens again and again, see docs/operations.md#overlap.",
    Kind.JOB_MISSED: _DOCTOR,
    Kind.ALERTS_SILENT: _DOCTOR,
    Kind.REAUTHORIZATION_REQUIRED: "A user of the team must log in again: `sivera credentials list` says how.",
    Kind.ACCESS_ENDS: "A user of the team must allow it again before then: see `sivera credentials connect --help`.",
    Kind.STALE_DATA: "`sivera accounts list` says what to do about each part of an account.",
    Kind.BUDGET: "Raise the budget, or lower what is spent at the platform.",
}
"""What a person does about it."""


def cut(text: str, most: int) -> str:
    """Return a text of at most so many UTF-16 units, by which chats count: an emoji is two."""
    units = text.encode("utf-16-le")
    return text if len(units) <= 2 * most else f"{units[: 2 * most - 2].decode('utf-16-le', 'ignore')}…"


def short(name: str) -> str:
    """Return a name as alerts write it: cut, so that the rest of the message is not."""
    return cut(name, MAX_NAME)


def sentence(reason: str) -> str:
    """Return a run's or platform's reason as a sentence that is not too long."""
    text = cut(reason, MAX_REASON).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


_MARKUP = re.compile(
    r"""[*~<>@`\\]
    | \A[#+-]  # a heading or a list
    | ](?=[(\[])  # a link
    | \|(?=\|)  # a spoiler
    | (?<![^\W_])_ | _(?![^\W_])  # emphasis, but not within a word
    | &(?=\#?\w+;)  # an entity
    | :(?=//|[\w+-]*[^\W\d][\w+-]*:)  # an address, or the name of an emoji
    | (?<=[^\W_])(?<!docs/operations)\.(?=[^\W\d_]{2})  # the name of a host, but not of the guide
    """,
    re.VERBOSE,
)
_LIKENESS = dict(zip("*~<>@`\\#+-]|_&:.", "∗∼‹›＠'∖＃＋−］│ˍ＆∶․", strict=True))  # noqa: RUF001 - they look like it


def plain(text: str) -> str:
    """Return a text in which no service finds markup, a mention or a link, as long and as legible as before.

    Names and reasons come from people whom we do not know. Each service escapes in another way, and some in none; so
    the characters that mean something are replaced by others that look alike.
    """
    return _MARKUP.sub(lambda found: _LIKENESS[found.group()], text)


Line = Annotated[str, AfterValidator(one_line)]


class Condition(Value):
    """Something that people should know. An alert is open as long as a check finds its `kind` and `subject`.

    `title` names the job, account or team; `message` says more. `remedy` is empty if the message ends with its own.
    `since` is when it began. `link` leads to a page of the UI, and is empty if there is none. For the other fields see
    `sivera.models.Alert`.
    """

    kind: Kind
    subject: str
    title: Line
    message: Line
    remedy: str
    since: datetime
    link: str = ""
    level: int | None = None
    team_id: int | None = None
    account_id: int | None = None
    details: Mapping[str, Any] = {}

    @property
    def text(self) -> str:
        """What it is, and what to do about it."""
        return f"{self.message} {self.remedy}".rstrip()


class BadGrant(NamedTuple):
    """A grant that a human has to connect again since `since`, or one that gets no data from `ends` on."""

    id: int
    team: str
    platform: str
    name: str
    reason: str | None
    since: datetime
    accounts: Sequence[str]
    ends: datetime | None = None


class StaleAccount(NamedTuple):
    """An account that should have been synced; `since` is its last sync, or when it was connected.

    One that lacks `reports` is synced, but no report of its spending has come since then. One that lacks `full` is
    synced, but not in full.
    """

    id: int
    team: str
    platform: str
    name: str
    since: datetime
    error: str | None
    lacks: Literal["sync", "reports", "full"] = "sync"
