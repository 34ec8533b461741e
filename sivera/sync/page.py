"""The page of a run of sync-campaigns: its counts, its failures, and charts of the last runs."""

from collections.abc import Sequence
from datetime import UTC, timedelta

from sqlalchemy.orm import Session

from sivera import pages
from sivera.accounts.news import AccountNews
from sivera.accounts.queries import accounts_by_age
from sivera.sync.queries import recent_syncs
from sivera.sync.summary import ACCOUNTS, SUMMED, SyncSummary
from sivera.values import PlatformName

RUNS = 24
OUTCOMES = {"synced": "#0072b2", "failed": "#d55e00", "put off": "#e69f00", "waiting": "#999999"}

HOUR = timedelta(hours=1)
AGES = {
    "under 1 h": "#2c7bb6",
    "1 to 2 h": "#abd9e9",
    "2 to 3 h": "#fee090",
    "3 to 24 h": "#f46d43",
    "over a day": "#a50026",
    "never": "#777777",
}
BOUNDS = (HOUR, 2 * HOUR, 3 * HOUR, 24 * HOUR)
"""The limits between the ages, the youngest first."""


def sync_page(job: str, summary: SyncSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    return pages.page(
        job,
        summary.sentence,
        "### Accounts",
        _counts(summary, ACCOUNTS),
        "### Campaigns, and days of metrics",
        _counts(summary, (*SUMMED, "left_out")),
        *_listing(job, "Failed", "reason", summary.failures),
        *_listing(job, "Incomplete", "what", summary.notes),
        *_listing(job, "Changed accounts", "what", summary.changes),
        *pages.listing("Accounts not listed", ("what",), [(text,) for text in summary.not_listed], f"{job}-failures"),
        *charts,
    )


def sync_charts(session: Session) -> list[str]:
    """Draw the accounts by outcome over the last runs, and by the age of their last sync."""
    runs = {f"{run.started_at.astimezone(UTC):%m-%d %H:%M}#{run.id}": run for run in recent_syncs(session, RUNS)}
    by_outcome = {
        (name, outcome): getattr(run, outcome.replace(" ", "_")) for name, run in runs.items() for outcome in OUTCOMES
    }
    names = list(AGES)
    by_age = {
        (platform, "never" if place is None else names[place]): count
        for platform, place, count in accounts_by_age(session, BOUNDS)
    }
    shown = {platform for platform, _ in by_age}
    platforms = [name.value for name in PlatformName if name.value in shown]
    over_runs, ages = "Accounts by outcome, over the last runs (UTC)", "Accounts by the age of their last sync"
    return [
        pages.bars(over_runs, by_outcome, bar=list(runs), part=OUTCOMES, count="accounts"),
        pages.bars(ages, by_age, bar=platforms, part=AGES, count="accounts", horizontal=True),
    ]


def _listing(job: str, title: str, what: str, found: Sequence[AccountNews]) -> list[str]:
    rows = [(one.account_id, one.platform.value, one.name, one.what) for one in found]
    return pages.listing(title, ("account", "platform", "name", what), rows, f"{job}-failures")


def _counts(summary: SyncSummary, columns: Sequence[str]) -> str:
    # Two narrow tables: one with all columns would be too wide for the page in the UI.
    rows = [(name.value, *(getattr(one, column) for column in columns)) for name, one in summary.platforms.items()]
    return pages.table(["platform", *(column.replace("_", " ") for column in columns)], rows)
