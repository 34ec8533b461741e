"""Which backups are kept."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sivera.backups.manifest import Manifest, Outcome, ShapeOfData
from sivera.backups.options import BackupOptions
from sivera.backups.retention import superfluous

SUNDAY = datetime(2026, 11, 22, 3, tzinfo=UTC)


def made(at: datetime, outcome: Outcome = Outcome.VERIFIED) -> Manifest:
    return Manifest(
        name=f"{at:%Y-%m-%d %H}",
        run_id=UUID(int=0),
        started_at=at,
        finished_at=at,
        size=1,
        sha256="",
        server_version="18",
        dump_version=18,
        key_ids=(),
        shape=ShapeOfData(rows={}, constraints=0, indexes=0, revision="0009"),
        outcome=outcome,
    )


def kept(backups: Iterable[Manifest], **options: int) -> list[str]:
    given = list(backups)
    gone = superfluous(given, BackupOptions(**options))
    return sorted(each.name for each in given if each not in gone)


def test_the_last_of_each_day_week_and_month_is_kept() -> None:
    days = [made(SUNDAY - timedelta(days=n)) for n in range(80)]
    assert kept(days, keep_daily=3, keep_weekly=3, keep_monthly=3) == [
        "2026-09-30 03",
        "2026-10-31 03",
        "2026-11-08 03",  # a Sunday, the last day of an ISO week
        "2026-11-15 03",
        "2026-11-20 03",
        "2026-11-21 03",
        "2026-11-22 03",
    ]
    hours = [made(SUNDAY + timedelta(hours=n)) for n in range(5)]
    assert kept(hours, keep_daily=7) == ["2026-11-22 07"]


def test_weeks_without_a_backup_do_not_count_and_a_leap_of_the_clock_drops_nothing() -> None:
    old = [made(SUNDAY - timedelta(weeks=n)) for n in (0, 20, 40)]
    assert len(kept(old, keep_daily=1, keep_weekly=3, keep_monthly=0)) == 3
    ahead = [*old, made(SUNDAY + timedelta(days=4000))]
    assert len(kept(ahead, keep_daily=1, keep_weekly=4, keep_monthly=0)) == 4


def test_a_verified_one_is_kept_before_others_of_its_day() -> None:
    day = [made(SUNDAY), made(SUNDAY + timedelta(hours=1), Outcome.MISMATCH)]
    assert kept(day, keep_daily=1, keep_weekly=0, keep_monthly=0) == ["2026-11-22 03"]


@given(
    st.dictionaries(st.integers(0, 5000), st.sampled_from(list(Outcome)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_the_last_verified_one_is_never_dropped(
    backups: dict[int, Outcome], daily: int, weekly: int, monthly: int
) -> None:
    given = [made(SUNDAY + timedelta(hours=7 * n), outcome) for n, outcome in backups.items()]
    names = kept(given, keep_daily=daily, keep_weekly=weekly, keep_monthly=monthly)
    verified = [each for each in given if each.outcome is Outcome.VERIFIED]
    assert not verified or max(verified, key=lambda each: each.started_at).name in names
    assert names
