"""The page of a backup: what it holds, its verdict, and charts of the last backups."""

from collections.abc import Mapping
from datetime import UTC

from sivera import pages
from sivera.backups.backing_up import BackupSummary
from sivera.backups.catalog import Catalog
from sivera.backups.checking import explain, is_of_storage
from sivera.backups.manifest import Outcome
from sivera.units import duration, size

BACKUPS = 20
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
            "backup": made.path,
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


def backup_charts(catalog: Catalog) -> list[str]:
    """Draw how large the last backups were and how long they took, by their manifests."""
    try:
        backups, _ = catalog.list()
    except Exception as error:
        if not is_of_storage(error):
            raise
        return [f"No charts: {explain(error)}."]
    bars = {f"{each.started_at.astimezone(UTC):%m-%d %H:%M}#{each.name}": each for each in backups[-BACKUPS:]}
    sizes = {(bar, each.outcome.value): float(each.size) for bar, each in bars.items()}
    seconds = {
        (bar, each.outcome.value): ((each.checked_at or each.finished_at) - each.started_at).total_seconds()
        for bar, each in bars.items()
    }
    return [
        _bars("Size of the last backups (UTC)", sizes, SIZES, "bytes"),
        _bars("How long they took, with their last check (UTC)", seconds, TIMES, "seconds"),
    ]


def _bars(title: str, amounts: Mapping[tuple[str, str], float], units: Mapping[str, int], smallest: str) -> str:
    # The axis has whole numbers: take the largest unit of which it shows some.
    most = max(amounts.values(), default=0)
    unit, per_unit = next(((name, of_it) for name, of_it in units.items() if most >= 4 * of_it), (smallest, 1))
    return pages.bars(
        title,
        {key: amount / per_unit for key, amount in amounts.items()},
        bar=[bar for bar, _ in amounts],
        part={each.value: colour for each, colour in COLOURS.items()},
        count=unit,
    )
