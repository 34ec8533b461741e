"""The page of a run of check-budgets: its figures, the budgets that are spent furthest, and charts of the alerts."""

from datetime import timedelta
from itertools import cycle

from sqlalchemy.orm import Session

from sivera import pages
from sivera.budgets import queries
from sivera.budgets.rules import Reading
from sivera.budgets.summary import TEAMS, Checked, CheckSummary
from sivera.budgets.wording import describe, limit_text, period_text, projection_text, spent_text

DAYS = 14
PART_COLOURS = {**{name.value: colour for name, colour in pages.PLATFORM_COLOURS.items()}, TEAMS: pages.OKABE_ITO[4]}
COLUMNS = ("accounts", "budgets", "stale", "opened", "closed")


def budgets_page(job: str, summary: CheckSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    total = summary.total
    worst = [(describe(one), f"{spent_text(one)} of {limit_text(one)}", one.percent) for one in total.worst]
    failures = [(one.subject, one.reason) for one in total.failures]
    failures += list(summary.failed.items())
    return pages.page(
        job,
        summary.sentence,
        pages.table(
            ("part", "accounts", "budgets", "old data", "alerts opened", "closed"),
            [_row(part, found) for part, found in summary.parts.items()],
        ),
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
    """Draw how far budgets are spent by the open alerts, and how many opened or rose on each of the last days."""
    reached = {
        (f"{threshold} %", part or TEAMS): count for threshold, part, count in queries.thresholds_reached(session)
    }
    opened = {
        (f"{day:%m-%d}", f"{threshold} %"): count
        for day, threshold, count in queries.alerts_by_day(session, timedelta(days=DAYS))
    }
    days = list(dict.fromkeys(day for day, _ in opened))
    thresholds = sorted({threshold for _, threshold in opened}, key=_percent)
    return [
        pages.bars(
            "Budgets by the highest threshold that they have reached",
            reached,
            bar=sorted({threshold for threshold, _ in reached}, key=_percent),
            part=PART_COLOURS,
            count="budgets",
            horizontal=True,
        ),
        pages.bars(
            "Alerts on budgets by the day on which they opened or last rose (UTC)",
            opened,
            bar=days,
            part=dict(zip(thresholds, cycle(pages.OKABE_ITO), strict=False)),
            count="alerts",
        ),
    ]


def _row(part: str, found: Checked) -> list[object]:
    name = f"{part} (put off)" if found.put_off else part
    return [name, *(getattr(found, column) for column in COLUMNS)]


def _percent(threshold: str) -> int:
    return int(threshold.partition(" ")[0])
