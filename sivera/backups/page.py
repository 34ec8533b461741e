"""The page of a backup: its contents, its verdict, and charts of the last backups."""

from datetime import UTC

from sivera import pages
from sivera.backups.backing_up import BackupSummary
from sivera.backups.catalog import Catalog
from sivera.backups.checking import explain
from sivera.backups.manifest import Outcome
from sivera.units import duration, size

BACKUPS = 20
COLOURS = {
    Outcome.VERIFIED.value: "#0072b2",
    Outcome.MISMATCH.value: "#d55e00",
    Outcome.INCONCLUSIVE.value: "#e69f00",
}
MEGABYTE = 2**20


def backup_page(job: str, summary: BackupSummary, charts: list[str]) -> str:
    """Return the page as Markdown."""
    facts = {"verdict": summary.made.outcome.value, "reason": summary.made.reason}
    largest: list[tuple[str, int]] = []
    if made := summary.manifest:
        largest = sorted(((each.name, each.rows) for each in made.tables), key=lambda each: -each[1])
        facts |= {
            "backup": made.path,
            "size": size(made.size),
            "rows": f"{made.rows:,} in {len(made.tables)} tables",
            "dumped in": duration(made.finished_at - made.started_at),
            "checked in": duration(made.checked_at - made.finished_at) if made.checked_at else "",
            "keys that a restore needs": ", ".join(made.needed_keys),
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
    """Draw the sizes and durations of the last backups."""
    try:
        backups = catalog.list()[0][-BACKUPS:]
    except Exception as error:  # noqa: BLE001 - each kind of storage raises its own
        return [f"No charts: {explain(error)}."]
    sizes, seconds = {}, {}
    for each in backups:
        part = (f"{each.started_at.astimezone(UTC):%m-%d %H:%M}#{each.name}", each.outcome.value)
        sizes[part] = each.size / MEGABYTE
        seconds[part] = ((each.checked_at or each.finished_at) - each.started_at).total_seconds()
    bar = [name for name, _ in sizes]
    return [
        pages.bars("Size of the last backups (UTC)", sizes, bar=bar, part=COLOURS, count="MB"),
        pages.bars("How long they took, with their last check (UTC)", seconds, bar=bar, part=COLOURS, count="seconds"),
    ]
