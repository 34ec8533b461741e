"""The page of a run of check-budgets: its figures, the budgets that are spent furthest, and a chart of the alerts."""

from sqlalchemy.orm import Session

from sivera import pages
from sivera.budgets import queries
from sivera.budgets.rules import Reading
from sivera.budgets.summary import COUNTS, TEAMS, CheckSummary
from sivera.budgets.wording import describe, limit_text, period_text, projection_text, spent_text

PART_COLOURS = {**{name.value: colour for name, colour in pages.PLATFORM_COLOURS.items()}, TEAMS: pages.OKABE_ITO[4]}


def budgets_page(job: str, summary: CheckSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    total = summary.total
    counts = [
        (f"{part} (put off)" if found.put_off else part, *(getattr(found, name) for name in COUNTS))
        for part, found in summary.parts.items()
    ]
    worst = [(describe(one), f"{spent_text(one)} of {limit_text(one)}", one.percent) for one in total.worst]
    failures = [*total.failures.items(), *summary.failed.items(), *total.unreported.items()]
    return pages.page(
        job,
        summary.sentence,
        pages.table(("part", "accounts", "budgets", "old data", "alerts opened", "closed"), counts),
        *pages.listing("Spent furthest", ("budget", "spent", "%"), worst, f"{job}-budgets"),
        *pages.listing("Not judged", ("budget or account", "reason"), failures, f"{job}-failures"),
        *charts,
    )


def budget_row(reading: Reading) -> dict[str, object]:
    """Return a budget as a row of a table of many columns."""
    return {
        "budget": describe(reading),
        "kind": reading.budget,
        "period": period_text(reading.period),
        "spent": spent_text(reading),
        "of": limit_text(reading),
        "%": reading.percent,
        "by its end": projection_text(reading),
    }


def budgets_charts(session: Session) -> list[str]:
    """Draw how many budgets have an open alert, by the threshold that they have reached."""
    counts = {(f"{level} %", part): count for level, part, count in queries.thresholds_reached(session)}
    bars = list(dict.fromkeys(bar for bar, _ in counts))
    title = "Budgets by the highest threshold that they have reached"
    return [pages.bars(title, counts, bar=bars, part=PART_COLOURS, count="budgets", horizontal=True)]
