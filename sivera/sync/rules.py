"""The decisions of sync-campaigns, as pure functions: facts in, decision out."""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, tzinfo

from sivera.errors import SiveraError
from sivera.sync.plan import SyncMode
from sivera.values import DateWindow, MetricsBatch, PlatformName

RECENT_DAYS = 3
"""What an incremental run reads again: today and the days that late clicks still move."""

RESTATEMENT_DAYS: dict[PlatformName, int] = {
    # Conversions are booked on the day of the click; 30 days is the default conversion window.
    PlatformName.GOOGLE: 30,
    # "Insights are frozen 28 days after they were generated."
    PlatformName.META: 28,
    # Cancelled orders for 3 days, attribution of Sponsored Brands and Display for 14.
    PlatformName.AMAZON: 14,
    # Conversion windows of up to 28 days exist, 7 is the common one; 14 covers it with room.
    PlatformName.TIKTOK: 14,
}
"""For how many days a platform may still change a day's figures; a full run reads them all again."""

SLOW_LANE_AFTER = 3
"""After this many failures in a row an account is in the slow lane."""

SLOW_LANE_FIRST = timedelta(hours=2)
SLOW_LANE_LONGEST = timedelta(hours=24)
SLOW_LANE_LEEWAY = timedelta(minutes=30)
"""The job is hourly, and a run plans some seconds earlier in its hour than the previous run recorded the failure."""

REMOVALS_ALLOWED = 20
REMOVALS_SHARE = 5


class RemovalsHeldError(SiveraError):
    """A complete listing lacks too many campaigns to be believed without a human."""

    def __init__(self, account_id: int, missing: int, total: int) -> None:
        super().__init__(account_id, missing, total)
        self.account_id, self.missing, self.total = account_id, missing, total

    def __str__(self) -> str:
        return (
            f"the full listing lacks {self.missing} of {self.total} campaigns, so nothing was written; if that is "
            f"right, run: sivera accounts approve-removals {self.account_id}"
        )


def metrics_window(platform: PlatformName, mode: SyncMode, lookback_days: int | None, today: date) -> DateWindow:
    """Return the days to read again, today (in the account's time zone) included."""
    days = lookback_days or (RESTATEMENT_DAYS[platform] if mode is SyncMode.FULL else RECENT_DAYS)
    return DateWindow(since=today - timedelta(days=days - 1), until=today)


def reports_as_of(batches: Iterable[MetricsBatch], zone: tzinfo) -> dict[str, datetime]:
    """Return how new the reports among these batches are, by ad product.

    A report on days that had ended when it was asked for says nothing about later days.
    """
    found: dict[str, datetime] = {}
    for batch in batches:
        if batch.ad_product and batch.requested_at:
            end = datetime.combine(batch.window.until + timedelta(days=1), time(), zone)
            as_of = min(batch.requested_at, end)
            found[batch.ad_product] = max(as_of, found.get(batch.ad_product, as_of))
    return found


def next_attempt(failures: int, now: datetime) -> datetime | None:
    """Return when an account is tried again after this many failures in a row; None means in the next run."""
    if failures < SLOW_LANE_AFTER:
        return None
    doubled: timedelta = SLOW_LANE_FIRST * 2 ** min(failures - SLOW_LANE_AFTER, 10)
    return now + min(doubled, SLOW_LANE_LONGEST) - SLOW_LANE_LEEWAY


def too_many_removals(missing: int, total: int) -> bool:
    """Whether this many missing campaigns need a human's confirmation: more than 20, and more than a fifth."""
    return missing > REMOVALS_ALLOWED and missing * REMOVALS_SHARE > total
