"""The page of a run of refresh-tokens: its counts, its failures, and a chart of when the grants expire."""

from collections import Counter
from datetime import timedelta

from sqlalchemy.orm import Session

from sivera import pages
from sivera.accounts.queries import ACTIVE
from sivera.grants import queries
from sivera.grants.refreshing import GrantFailure, RefreshCounts, RefreshSummary

DAY = timedelta(days=1)
LIVES = {
    timedelta.min: "ended",
    timedelta(): "under 1 day",
    DAY: "1 to 3 days",
    3 * DAY: "3 to 10 days",
    10 * DAY: "10 to 30 days",
    30 * DAY: "over 30 days",
}
"""The bars of grants that expire: the least remaining life of each, and its name."""

RENEWABLE, ENDLESS = "renewable", "no end"
WAITING = {"reauthorization_required": "to reconnect", "revoked": "taken away", "disconnected": "disconnected"}
"""The bars of grants that no longer work."""


def refresh_page(job: str, summary: RefreshSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    columns = ["platform", *(name.replace("_", " ") for name in RefreshCounts.model_fields)]
    counts = [(name, *one.model_dump().values()) for name, one in summary.platforms.items()]
    failures = [tuple(one.model_dump().values()) for one in summary.failures]
    return pages.page(
        job,
        summary.sentence,
        *([pages.table(columns, counts)] if counts else []),
        *pages.listing("Not renewed", ["grant", *list(GrantFailure.model_fields)[1:]], failures, f"{job}-failures"),
        *charts,
    )


def refresh_charts(session: Session) -> list[str]:
    """Draw when the grants of each platform expire if nobody renews them."""
    counts = Counter(
        (_bar(status, has_refresh, life), platform)
        for platform, status, has_refresh, life in queries.list_lives(session)
    )
    return [
        pages.bars(
            "Grants by days until they end",
            counts,
            bar=[*LIVES.values(), RENEWABLE, ENDLESS, *WAITING.values()],
            part={name.value: colour for name, colour in pages.PLATFORM_COLOURS.items()},
            count="grants",
        )
    ]


def _bar(status: str, has_refresh: bool, life: timedelta | None) -> str:
    if status != ACTIVE:
        return WAITING[status]
    if has_refresh:
        return RENEWABLE
    return ENDLESS if life is None else LIVES[max(least for least in LIVES if least <= life)]
