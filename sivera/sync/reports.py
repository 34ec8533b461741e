"""When to request a report and when to give one up, on platforms that prepare metrics as reports."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sivera.platforms.base import REPORT_PATIENCE
from sivera.values import DateWindow, ReportRequest

MOST_COLLECTIONS = 3
"""After this many failed collections a report is given up, because it may never become usable."""

MOST_A_DAY = 2
A_DAY = timedelta(hours=22)
FRESH_FOR = timedelta(hours=12, minutes=30)
"""A window is requested again when its figures are this old: once between two nightly runs, which request all."""
NEW_DAY = timedelta(days=1)
"""A report still covers a window if it lacks only the day that has just started."""


class KnownRequest(ReportRequest):
    """A stored request for a report; see `sivera.models.ReportRequest`."""

    failed_collections: int = 0
    ended_at: datetime | None = None
    collected: bool = False


def is_given_up(request: KnownRequest, now: datetime) -> bool:
    """Whether to stop waiting for a report, whatever its status."""
    return request.failed_collections >= MOST_COLLECTIONS or _age(request, now) > REPORT_PATIENCE


def left(request: KnownRequest, now: datetime, *, failed: bool, over: bool) -> KnownRequest:
    """Return the request of a report that was not collected. It ends if it is over or given up."""
    request = request.model_copy(update={"failed_collections": request.failed_collections + failed})
    return request.model_copy(update={"ended_at": now}) if over or is_given_up(request, now) else request


def windows_to_ask(windows: Iterable[DateWindow], requests: Sequence[KnownRequest], now: datetime) -> list[DateWindow]:
    """Return the windows to request now: those that no open request covers, each at most twice a day.

    A window may be requested again as soon as its report is given up.
    """
    return [window for window in windows if _is_due(window, requests, now)]


def with_given_up(window: DateWindow, requests: Sequence[KnownRequest]) -> DateWindow:
    """Return a window extended back to days whose report was given up and that no later report has."""
    lost = [one for one in requests if one.ended_at is not None and not one.collected]
    since = [one.window.since for one in lost if not any(_replaces(other, one) for other in requests)]
    return window.model_copy(update={"since": min([window.since, *since])})


def _replaces(later: KnownRequest, lost: KnownRequest) -> bool:
    return later.collected and later.requested_at >= lost.requested_at and later.window.since <= lost.window.since


def undelivered_since(requests: Sequence[KnownRequest]) -> datetime | None:
    """Return the time of the first request since the last one whose report was collected."""
    delivered = max((one.requested_at for one in requests if one.collected), default=None)
    waiting = (one.requested_at for one in requests if delivered is None or one.requested_at > delivered)
    return min(waiting, default=None)


def _is_due(window: DateWindow, requests: Sequence[KnownRequest], now: datetime) -> bool:
    since, until = window.since, window.until - NEW_DAY
    covering = [one for one in requests if one.window.since <= since and one.window.until >= until]
    is_open = any(one.ended_at is None for one in covering)
    is_fresh = any(one.collected and _age(one, now) < FRESH_FOR for one in covering)
    return not is_open and not is_fresh and sum(_age(one, now) < A_DAY for one in covering) < MOST_A_DAY


def _age(request: KnownRequest, now: datetime) -> timedelta:
    """Return the time since a request. One dated far ahead of the clock also counts as old, and so blocks nothing."""
    return abs(now - request.requested_at)
