"""The page of a cleanup: its figures, and a chart of what the last runs deleted."""

from collections import Counter
from datetime import UTC

from sqlalchemy.orm import Session

from sivera import pages
from sivera.retention import queries
from sivera.retention.options import Kind
from sivera.retention.summary import CleanupSummary, KindResult

RUNS = 30
OTHERS = "others"
COLUMNS = ("kind", "deleted", "remaining", "before (UTC)", "ms")


def cleanup_page(job: str, summary: CleanupSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    table = pages.table(COLUMNS, [_row(one) for one in summary.kinds])
    failures = [(one.kind.value, one.refused or one.failed) for one in summary.failures]
    return pages.page(
        job, summary.sentence, table, *pages.listing("Refused or failed", ["kind", "reason"], failures), *charts
    )


def cleanup_charts(session: Session) -> list[str]:
    """Draw how many rows of each kind the last runs deleted; return no chart if there was no run."""
    rows = queries.recent_runs(session, RUNS)
    if not rows:
        return []
    totals: Counter[str] = Counter()
    for _, _, kind, deleted in rows:
        totals[kind] += deleted
    # One colour for each part.
    named = {kind for kind, count in totals.most_common(len(pages.OKABE_ITO) - 1) if count}
    counts: Counter[tuple[str, str]] = Counter()
    for run, begun, kind, deleted in rows:
        counts[f"{begun.astimezone(UTC):%m-%d %H:%M}#{run}", kind if kind in named else OTHERS] += deleted
    runs = list(dict.fromkeys(run for run, _ in counts))
    parts = [*(kind.value for kind in Kind if kind.value in named), OTHERS]
    colours = dict(zip(parts, pages.OKABE_ITO, strict=False))
    return [pages.bars("Rows deleted, over the last runs (UTC)", counts, bar=runs, part=colours, count="rows")]


def _row(one: KindResult) -> list[object]:
    remaining = "not counted" if one.remaining is None else one.remaining
    cutoff = f"{one.cutoff.astimezone(UTC):%Y-%m-%d %H:%M}"
    return [one.kind.value, one.deleted, remaining, cutoff, one.duration_ms]
