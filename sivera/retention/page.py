"""The page of a cleanup: its figures, and a chart of the rows that the last runs deleted."""

from collections import Counter
from datetime import UTC
from typing import Any

from sqlalchemy.orm import Session

from sivera import pages
from sivera.retention import queries
from sivera.retention.options import Kind
from sivera.retention.rules import CleanupSummary

RUNS = 30
OTHERS = "others"
PARTS = (Kind.OAUTH_STATES.value, Kind.SESSIONS.value, Kind.TOKEN_REFRESH_LOGS.value, OTHERS)
"""The large tables, which have colours of their own."""


def cleanup_page(job: str, summary: CleanupSummary, charts: list[str]) -> str:
    """Return the page as Markdown."""
    rows = [
        (
            one.kind.value,
            one.deleted,
            "not counted" if one.remaining is None else one.remaining,
            f"{one.cutoff.astimezone(UTC):%Y-%m-%d %H:%M}",
        )
        for one in summary.kinds
    ]
    failures = [(one.kind.value, one.refused or one.failed) for one in summary.failures]
    return pages.page(
        job,
        summary.sentence,
        pages.table(("kind", "deleted", "remaining", "before (UTC)"), rows),
        *pages.listing("Refused or failed", ["kind", "reason"], failures),
        *charts,
    )


def cleanup_charts(session: Session) -> list[str]:
    """Draw how many rows of each kind the last runs deleted, if there were any runs."""
    bars: dict[Any, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for run, began, kind, deleted in queries.last_deletions(session, RUNS * len(Kind)):
        bar = bars.setdefault(run, f"{began.astimezone(UTC):%m-%d %H:%M}#{run}")
        counts[bar, kind if kind in PARTS else OTHERS] += deleted
    if not bars:
        return []
    colours = dict(zip(PARTS, pages.OKABE_ITO, strict=False))
    title = "Rows deleted, over the last runs (UTC)"
    return [pages.bars(title, counts, bar=list(bars.values()), part=colours, count="rows")]
