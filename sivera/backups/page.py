"""The page of a run of backup-data: what it made and found, and pictures of the last backups' sizes and durations."""

from collections.abc import Mapping
from datetime import UTC

from sqlalchemy.orm import Session

from sivera import chart_queries as queries
from sivera import pages
from sivera.backups.backing_up import BackupSummary
from sivera.backups.catalog import path_of
from sivera.backups.manifest import Outcome
from sivera.units import duration, size

RUNS = 20
COLOURS = {Outcome.VERIFIED: "#0072b2", Outcome.MISMATCH: "#d55e00", Outcome.INCONCLUSIVE: "#e69f00"}
SIZES = {"GB": 2**30, "MB": 2**20, "kB": 2**10}
TIMES = {"hours": 3_600, "minutes": 60}


def backup_page(job: str, summary: BackupSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    facts = {"verdict": summary.verdict.outcome.value, "reason": summary.verdict.reason}
    largest: list[tuple[str, int]] = []
    if made := summary.manifest:
        shape = made.shape
        largest = sorted(shape.rows.items(), key=lambda each: -each[1])
        facts |= {
            "backup": path_of(made.name),
            "size": size(made.size),
            "rows": f"{sum(shape.rows.values()):,} in {len(shape.rows)} tables",
            "constraints and indexes": f"{shape.constraints:,} and {shape.indexes:,}",
            "dumped in": duration(made.finished_at - made.started_at),
            "checked in": duration(made.checked_at - made.finished_at) if made.checked_at else "",
            "keys that a restore needs": ", ".join(made.key_ids),
        }
    facts["no longer kept"] = ", ".join(summary.dropped)
    return pages.page(
        job,
        summary.sentence,
        pages.table(("fact", "this backup"), [(name, fact) for name, fact in facts.items() if fact]),
        *charts,
        *pages.listing("Rows of the largest tables", ("table", "rows"), largest, f"{job}-tables"),
    )


def backup_charts(session: Session) -> list[str]:
    """Draw how large the last backups were and how long they took, each with its verdict."""
    runs = {
        f"{run.started_at.astimezone(UTC):%m-%d %H:%M}#{run.id}": run for run in queries.recent_backups(session, RUNS)
    }
    sizes = {(name, run.outcome): float(run.size) for name, run in runs.items() if run.size is not None}
    seconds = {(name, run.outcome): run.seconds for name, run in runs.items()}
    return [
        _bars("Size of the last backups (UTC)", sizes, list(runs), SIZES, "bytes"),
        _bars("How long they took, with their check (UTC)", seconds, list(runs), TIMES, "seconds"),
    ]


def _bars(
    title: str, amounts: Mapping[tuple[str, str], float], bar: list[str], units: Mapping[str, int], smallest: str
) -> str:
    # In the largest unit of which the axis has some: it is marked with whole numbers.
    most = max(amounts.values(), default=0)
    unit, per_unit = next(((name, of_it) for name, of_it in units.items() if most >= 4 * of_it), (smallest, 1))
    counts = {key: amount / per_unit for key, amount in amounts.items()}
    shown = [name for name in bar if any(name == key[0] for key in counts)]
    return pages.bars(
        title, counts, bar=shown, part={each.value: colour for each, colour in COLOURS.items()}, count=unit
    )
