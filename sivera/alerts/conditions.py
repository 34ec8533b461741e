"""What the rules of alerts are made of: the facts that they are given, and the conditions that they find."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sivera.values import PlatformName, Value

LONGEST = 500
"""Characters of a reason that an alert repeats: Discord takes 2,000 in all."""


class Kind(StrEnum):
    """What is the matter."""

    JOB_FAILED = "job-failed"
    JOB_SKIPPED = "job-skipped"
    JOB_MISSED = "job-missed"
    REAUTHORIZATION_REQUIRED = "reauthorization-required"
    STALE_DATA = "stale-data"
    ALERTS_SILENT = "alerts-silent"


class Condition(Value):
    """Something that people should know of; `kind` and `subject` tell it from all others.

    `title` names it together with its job, account or team; `message` says more, and what mends it. `since` is when it
    began, which is before it was found. `link` leads to where one sees it, and is empty where there is no UI.
    """

    kind: Kind
    subject: str
    title: str
    message: str
    since: datetime
    link: str = ""


class Links(Value):
    """Where the Prefect server shows things, at the address of its UI; None where it has none."""

    ui_url: str | None = None

    def run(self, run_id: UUID | None) -> str:
        """Return the page of a run, or that of all runs."""
        return self._page(f"runs/flow-run/{run_id}" if run_id else "runs")

    def artifact(self, key: str) -> str:
        """Return the page of the newest artifact of a key."""
        return self._page(f"artifacts/key/{key}")

    def _page(self, path: str) -> str:
        return f"{self.ui_url.rstrip('/')}/{path}" if self.ui_url else ""


class BrokenGrant(Value):
    """A grant that a human has to connect again, and the names of the active accounts that it carries."""

    id: int
    team: str
    platform: PlatformName
    name: str
    reason: str | None
    since: datetime
    accounts: tuple[str, ...]


class StaleAccount(Value):
    """An account that should be synced and was not; `since` is its last sync, or else when it was connected.

    One that `rests` is in the slow lane: its next sync is put off, because it failed again and again.
    One that `lacks_reports` is synced, and of what it spends no report came since then.
    """

    id: int
    team: str
    platform: PlatformName
    name: str
    since: datetime
    error: str | None
    rests: bool = False
    lacks_reports: bool = False


def plain(text: str) -> str:
    """Return a text that people chose so that no chat takes it for a call to all who read it, nor for a new line."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    # A word joiner, which is not seen: Discord and Slack ring everybody at `@everyone` and `<!channel>`.
    return printable.replace("@", "@\u2060").replace("<", "<\u2060")


def sentence(reason: str) -> str:
    """Return a reason, of a run or a platform, as a sentence that is not too long."""
    text = plain(reason[:LONGEST]).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
