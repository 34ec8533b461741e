"""The facts that the alert rules read, and the conditions that they find."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator

from sivera.values import Value, one_line

MAX_REASON = 500
"""An alert cuts a run's or platform's reason to this length."""

MAX_NAME = 60
"""An alert cuts names of teams, accounts and so on to this length. Platforms allow up to 255 characters."""


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
    "No worker is running, or something is switched off: see the lines `worker`, `automations` and `deployments` of "
    "`sivera doctor`."
)

REMEDIES: Mapping[Kind, str] = {
    Kind.JOB_FAILED: "See docs/operations.md#{job}.",
    Kind.JOB_SKIPPED: "The next run does the work. If this keeps happening, see docs/operations.md#overlap.",
    Kind.JOB_MISSED: _DOCTOR,
    Kind.ALERTS_SILENT: _DOCTOR,
    Kind.REAUTHORIZATION_REQUIRED: "A user of the team must log in again: `sivera credentials list` says how.",
    Kind.ACCESS_ENDS: "A user of the team must allow it again before then: see `sivera credentials connect --help`.",
    Kind.STALE_DATA: "`sivera accounts list` says what to do about each part of an account.",
    Kind.BUDGET: "Raise the budget, or lower what is spent at the platform.",
}
"""What a person can do about it."""


def cut(text: str, most: int) -> str:
    """Cut a text to a number of UTF-16 units, which is how chats count. An emoji has two."""
    units = text.encode("utf-16-le")
    return text if len(units) <= 2 * most else f"{units[: 2 * most - 2].decode('utf-16-le', 'ignore')}…"


def short(name: str) -> str:
    """Cut a name, which leaves room for the rest of the message."""
    return cut(name, MAX_NAME)


def sentence(reason: str) -> str:
    """Return a run's or platform's reason as a sentence, cut if it is long."""
    text = cut(reason, MAX_REASON).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


_MARKUP = re.compile(
    r"""[*~<>@`\\]
    | \A[#+-]  # a heading or a list
    | ](?=[(\[])  # a link
    | \|(?=\|)  # a spoiler
    | (?<![^\W_])_ | _(?![^\W_])  # emphasis, but not within a word
    | &(?=\#?\w+;)  # an entity
    | :(?=//|[\w+-]*[^\W\d][\w+-]*:)  # a URL, or the name of an emoji
    | (?<=[^\W_])(?<!docs/operations)\.(?=[^\W\d_]{2})  # a host name, but not the path of the guide
    """,
    re.VERBOSE,
)
_LIKENESS = dict(zip("*~<>@`\\#+-]|_&:.", "∗∼‹›＠'∖＃＋−］│ˍ＆∶․", strict=True))  # noqa: RUF001 - they look alike


def plain(text: str) -> str:
    """Replace the characters that a chat could read as markup, a mention or a link with ones that look alike.

    Names and reasons come from strangers. Services differ in how text is escaped, and some have no way to escape it.
    The text keeps its length.
    """
    return _MARKUP.sub(lambda found: _LIKENESS[found.group()], text)


Line = Annotated[str, AfterValidator(one_line)]


class Condition(Value):
    """Something that people should know. An alert stays open while checks find its `kind` and `subject`.

    `title` names the job, account or team, and `message` gives details. `remedy` is empty if the message contains one.
    `since` is when the condition began. `link` leads to a page of the UI, if there is one. For the other fields see
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
        """The message and the remedy."""
        return f"{self.message} {self.remedy}".rstrip()


class BadGrant(NamedTuple):
    """A grant that a human has had to reconnect since `since`, or one that loses access to data at `ends`."""

    id: int
    team: str
    platform: str
    name: str
    reason: str | None
    since: datetime
    accounts: Sequence[str]
    ends: datetime | None = None


class StaleAccount(NamedTuple):
    """An account with old data. `since` is the time of its last good data, or when it was connected.

    `lacks` is "sync" if the account is not synced at all, "reports" if reports of its spending do not arrive, and
    "full" if its full syncs fail.
    """

    id: int
    team: str
    platform: str
    name: str
    since: datetime
    error: str | None
    lacks: Literal["sync", "reports", "full"] = "sync"
