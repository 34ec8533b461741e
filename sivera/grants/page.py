"""The page of a run of refresh-tokens: its figures, its failures, and a chart of how long the grants still live."""

from datetime import timedelta

from sqlalchemy.orm import Session

from sivera import pages
from sivera.grants import queries
from sivera.grants.refreshing import GrantFailure, RefreshCounts, RefreshSummary

DAY = timedelta(days=1)
BOUNDS = (timedelta(), DAY, 3 * DAY, 10 * DAY, 30 * DAY)
LIVES = ("ended", "under 1 day", "1 to 3 days", "3 to 10 days", "10 to 30 days", "over 30 days")
"""Between the bounds."""

KINDS = {
    "renewable": "renewable",
    "endless": "no end",
    "reauthorization_required": "to reconnect",
    "revoked": "taken away",
    "disabled": "disabled",
}


def refresh_page(job: str, summary: RefreshSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    columns = list(RefreshCounts.model_fields)
    counts = [(name, *one.model_dump().values()) for name, one in summary.platforms.items()]
    failures = [tuple(one.model_dump().values()) for one in summary.failures]
    return pages.page(
        job,
        summary.sentence,
        *([pages.table(["platform", *(name.replace("_", " ") for name in columns)], counts)] if counts else []),
        *pages.listing("Not renewed", ["grant", *list(GrantFailure.model_fields)[1:]], failures, f"{job}-failures"),
        *charts,
    )


def refresh_charts(session: Session) -> list[str]:
    """Draw how long the grants of each platform still live if nobody renews them."""
    counts: dict[tuple[str, str], int] = {}
    for platform, kind, place, count in queries.grants_by_life(session, BOUNDS):
        counts[KINDS.get(kind, kind) if place is None else LIVES[place], platform] = count
    colours = {name.value: colour for name, colour in pages.PLATFORM_COLOURS.items()}
    return [
        pages.bars(
            "Grants by days until they end",
            {(bar, part): count for (bar, part), count in counts.items() if part in colours},
            bar=[*LIVES, *dict.fromkeys(KINDS.values())],
            part=colours,
            count="grants",
        )
    ]
