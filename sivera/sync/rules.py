"""The decisions of sync-campaigns, as pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta, tzinfo

from sivera.accounts.queries import SLOW_LANE_LONGEST
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.plan import SyncMode
from sivera.sync.summary import describe
from sivera.values import DateWindow, OddRow, PlatformName

RECENT_DAYS = 3
"""The days that an incremental run reads again: today and the days that late clicks still change."""

RESTATEMENT_DAYS: dict[PlatformName, int] = {
    # Conversions are booked on the day of the click; 30 days is the default conversion window.
    PlatformName.GOOGLE: 30,
    # "Insights are frozen 28 days after they were generated."
    PlatformName.META: 28,
    # Cancelled orders for 3 days, attribution of Sponsored Brands and Display for 14.
    PlatformName.AMAZON: 14,
    # Conversion windows go up to 28 days, but 7 is usual. 14 covers that with room to spare.
    PlatformName.TIKTOK: 14,
}
"""How many days a platform may still restate a day's figures. A full run reads them all again."""

SLOW_LANE_AFTER = 3
"""After this many failures in a row, a part of an account is in the slow lane."""

SLOW_LANE_FIRST = timedelta(hours=2)
SLOW_LANE_LEEWAY = timedelta(minutes=30)
"""Runs are hourly, and a run may plan some seconds earlier in its hour than the last one recorded the failure."""

REMOVALS_ALLOWED = 20
REMOVALS_SHARE = 5

AGREES_AFTER = timedelta(minutes=50)
"""A second complete reading must be this much later to confirm what is missing. The job is hourly."""

HELD_DAYS = 3
"""Extra days for held days, which may have left the window before the reading that confirms them."""

LASTING = timedelta(hours=24)
"""A part that has been put off for this long has failed."""

MOST_ROWS_NAMED = 20
"""The most odd rows of a part that are stored, with the reasons."""

LONGEST_CATCH_UP = 90
"""The most days that an incremental sync reads to close a gap."""


def metrics_window(
    platform: PlatformName, mode: SyncMode, lookback_days: int | None, today: date, state: PartState
) -> DateWindow:
    """Return the days to read, up to today in the account's time zone.

    An incremental sync reads all days that may still change if it is the first one or if days are held. After a pause
    it closes the gap.
    """
    restated = RESTATEMENT_DAYS[platform]
    days = lookback_days or (restated if mode is SyncMode.FULL or state.covered_since is None else RECENT_DAYS)
    if not lookback_days and state.held:
        days = restated + HELD_DAYS
    if not lookback_days and state.covered_until is not None and state.covered_until < today:
        days = max(days, min((today - state.covered_until).days + RECENT_DAYS, LONGEST_CATCH_UP))
    return DateWindow(since=today - timedelta(days=days - 1), until=today)


def covering(state: PartState, window: DateWindow, today: date, *, replace: bool) -> PartState:
    """Return the state of a part after the figures of a window were read.

    A window that adjoins the covered days extends them. A window that leaves a gap replaces them if `replace` is set;
    it is not set within a reading, because the next part may fill the gap.
    """
    since, until, day = window.since, window.until, timedelta(days=1)
    if state.covered_since is not None and state.covered_until is not None:
        known_until = min(state.covered_until, today)  # no day is covered before it has come
        if since <= known_until + day and until >= state.covered_since - day:
            since, until = min(since, state.covered_since), max(until, known_until)
        elif not replace:
            return state
    return state.model_copy(update={"covered_since": since, "covered_until": until})


def report_as_of(window: DateWindow, requested_at: datetime, zone: tzinfo) -> datetime:
    """Return how new a report's figures are: when it was requested, or when its last day ended if that was earlier."""
    return min(requested_at, datetime.combine(window.until + timedelta(days=1), time(), zone))


def next_attempt(failures: int, now: datetime) -> datetime | None:
    """Return when to try a part again after this many failures in a row. None means in the next run."""
    if failures < SLOW_LANE_AFTER:
        return None
    doubled: timedelta = SLOW_LANE_FIRST * 2 ** min(failures - SLOW_LANE_AFTER, 10)
    return now + min(doubled, SLOW_LANE_LONGEST) - SLOW_LANE_LEEWAY


def rests(state: PartState, now: datetime, *, full: bool) -> bool:
    """Whether a part is in the slow lane. A time beyond the longest wait is ignored.

    A `full` sync sends other requests than an hourly one, so it rests only after as many failed full syncs.
    """
    if full and state.full_failures < SLOW_LANE_AFTER:
        return False
    return state.next_attempt_at is not None and now < state.next_attempt_at <= now + SLOW_LANE_LONGEST


def are_many(missing: int, total: int) -> bool:
    """Whether missing campaigns need confirmation: if all are missing, or over 20 that are more than a fifth."""
    return 0 < missing == total or (missing > REMOVALS_ALLOWED and missing * REMOVALS_SHARE > total)


def gone(
    missing: Mapping[str, datetime | None], total: int, approved: int, confirmed: AbstractSet[str], now: datetime
) -> list[str]:
    """Return which of the missing campaigns are gone. The others are held.

    `missing` says since when each is held. If there are many, a person must approve them, the platform must confirm
    them, or a second listing must agree.
    """
    if len(missing) <= approved or not are_many(len(missing) - len(confirmed & missing.keys()), total):
        return list(missing)
    agreed = now - AGREES_AFTER
    return [id_ for id_, since in missing.items() if id_ in confirmed or (since is not None and since <= agreed)]


NO_FAILURE: Mapping[str, object] = {"failures": 0, "next_attempt_at": None, "put_off_since": None, "error": None}
NO_FULL_FAILURE: Mapping[str, object] = {"full_failures": 0, "full_error": None}
NOTHING_WRONG = {**NO_FAILURE, **NO_FULL_FAILURE, "left_out": 0, "left_out_rows": None, "held": 0, "approved": 0}


def succeeded(state: PartState, now: datetime, *, full: bool, left_out: Sequence[OddRow]) -> PartState:
    """Return the state of a part after a success. A `full` sync also ends the failures of full syncs."""
    update = {
        **NO_FAILURE,
        "as_of": now,
        "last_attempt_at": now,
        "last_ok_at": now,
        "left_out": len(left_out),
        "left_out_rows": tuple(left_out[:MOST_ROWS_NAMED]) or None,
    }
    # Counting the first sync as full prevents an alert before the first nightly one.
    if full or state.last_full_at is None:
        update |= {"last_full_at": now, **NO_FULL_FAILURE}
    return state.model_copy(update=update)


def failed(state: PartState, reason: str, now: datetime, *, full: bool) -> PartState:
    """Return the state of a part after a failure. After several in a row, the part is in the slow lane."""
    failures = state.failures + 1
    update: dict[str, object] = {
        "last_attempt_at": now,
        "failures": failures,
        "next_attempt_at": next_attempt(failures, now),
        "error": reason,
    }
    if full:
        update |= {"full_failures": state.full_failures + 1, "full_error": reason}
    return state.model_copy(update=update)


def put_off(state: PartState, reason: str, now: datetime) -> tuple[PartState, str | None]:
    """Return the state of a part that was put off. If that has lasted for a day, also return why it has failed."""
    since = min(state.put_off_since or now, now)
    lasts = f"{reason} It has been put off since {since:%Y-%m-%d %H:%M} UTC." if now - since >= LASTING else None
    return state.model_copy(update={"last_attempt_at": now, "put_off_since": since, "error": reason}), lasts


def account_state(parts: Mapping[Part, PartState]) -> dict[str, object]:
    """Return the columns that sum up the parts of an account, mostly from the part that is furthest behind.

    Totals add only their failures, because hourly syncs do not read them.
    """
    parts = {part: state for part, state in parts.items() if state.not_enabled_since is None}
    main = [state for part, state in parts.items() if part.kind is not PartKind.TOTALS]
    reasons = {str(part): reason for part, state in parts.items() if (reason := state.error or state.full_error)}
    tried = sum(state.last_attempt_at is not None for state in parts.values())
    return {
        "synced_as_of": _furthest_behind(s.as_of for part, s in parts.items() if part.kind is PartKind.METRICS),
        "last_synced_at": _furthest_behind(state.last_ok_at for state in main),
        "last_full_sync_at": _furthest_behind(state.last_full_at for state in main),
        "last_attempt_at": max((state.last_attempt_at for state in main if state.last_attempt_at), default=None),
        "consecutive_failures": max((state.failures for state in parts.values()), default=0),
        "next_attempt_at": _furthest_behind(state.next_attempt_at for state in main),
        "last_error": describe(reasons, of=tried) or None,
    }


def _furthest_behind(times: Iterable[datetime | None]) -> datetime | None:
    found = list(times)
    known = [at for at in found if at is not None]
    return min(known) if known and len(known) == len(found) else None
