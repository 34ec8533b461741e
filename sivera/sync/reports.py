"""When to request a report, and when to give one up: rules for platforms that prepare metrics as reports."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sivera.platforms.base import REPORT_PATIENCE
from sivera.values import DateWindow, ReportRequest

MOST_COLLECTIONS = 3
"""After this many failed collections a report is given up: it may be unusable for ever."""

MOST_A_DAY = 2
A_DAY = timedelta(hours=22)
FRESH_FOR = timedelta(hours=12, minutes=30)
"""The age of a window's figures from which it is requested again: once between two nightly runs, which ask for all."""
NEW_DAY = timedelta(days=1)
"""A report without the day that has just begun still has the window."""


class KnownRequest(ReportRequest):
    """A request for a report as the database knows it; see `sivera.models.ReportRequest`."""

    failed_collections: int = 0
    ended_at: datetime | None = None
    collected: bool = False


def is_given_up(request: KnownRequest, now: datetime) -> bool:
    """Whether a report is not waited for any longer, whatever its status."""
    return request.failed_collections >= MOST_COLLECTIONS or _age(request, now) > REPORT_PATIENCE


def left(request: KnownRequest, now: datetime, *, failed: bool, over: bool) -> KnownRequest:
    """Return a request whose report was not collected: it ends if it is over or given up."""
    request = request.model_copy(update={"failed_collections": request.failed_collections + failed})
    return request.model_copy(update={"ended_at": now}) if over or is_given_up(request, now) else request


def windows_to_ask(windows: Iterable[DateWindow], requests: Sequence[KnownRequest], now: datetime) -> list[DateWindow]:
    """Return the windows to request now: those that nothing open covers, each at most twice a day.

    A window with a report that was given up may be requested again at once.
    """
    return [window for window in windows if _is_due(window, requests, now)]


def with_given_up(window: DateWindow, requests: Sequence[KnownRequest]) -> DateWindow:
    """Return a window with the days before it that were requested and given up, and that no later report has."""
    lost = [one for one in requests if one.ended_at is not None and not one.collected]
    since = [one.window.since for one in lost if not any(_replaces(other, one) for other in requests)]
    return window.model_copy(update={"since": min([window.since, *since])})


def _replaces(later: KnownRequest, lost: KnownRequest) -> bool:
    return later.collected and later.requested_at >= lost.requested_at and later.window.since <= lost.window.since


def undelivered_since(requests: Sequence[KnownRequest]) -> datetime | None:
    """Return when the first of the reports that were requested since the last delivery was requested."""
    delivered = max((one.requested_at for one in requests if one.collected), default=None)
    return min(
        (one.requested_at for one in requests if delivered is None or one.requested_at > delivered), default=None
    )


def _is_due(window: DateWindow, requests: Sequence[KnownRequest], now: datetime) -> bool:
    covering = [
        one for one in requests if one.window.since <= window.since and one.window.until >= window.until - NEW_DAY
    ]
    lately = [one for one in covering if _age(one, now) < A_DAY]
    return (
        not any(one.ended_at is None for one in covering)
        and len(lately) < MOST_A_DAY
        and not any(one.collected and _age(one, now) < FRESH_FOR for one in covering)
    )


def _age(request: KnownRequest, now: datetime) -> timedelta:
    """The time between now and a request; one that is far ahead of the clock counts as old, and holds up nothing."""
    return abs(now - request.requested_at)
