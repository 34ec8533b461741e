"""Which backups are kept."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sivera.backups.manifest import Manifest, Outcome
from sivera.backups.options import BackupOptions
from sivera.backups.retention import superfluous

SUNDAY = datetime(2026, 11, 22, 3, tzinfo=UTC)


def backup(at: datetime = SUNDAY, **facts: object) -> Manifest:
    """A backup as its manifest says."""
    return Manifest.model_validate(
        {
            "name": f"{at:%Y-%m-%d %H}",
            "run_id": UUID(int=0),
            "started_at": at,
            "finished_at": at,
            "size": 1,
            "revision": "0001",
            "tables": (),
            "key_ids": (),
            "outcome": Outcome.VERIFIED,
        }
        | facts
    )


def kept(backups: Iterable[Manifest], daily: int, weekly: int = 0, monthly: int = 0) -> list[str]:
    given = list(backups)
    gone = superfluous(given, BackupOptions(keep_daily=daily, keep_weekly=weekly, keep_monthly=monthly))
    return sorted(each.name for each in given if each not in gone)


def test_the_last_of_each_day_week_and_month_is_kept() -> None:
    days = [backup(SUNDAY - timedelta(days=n)) for n in range(80)]
    assert kept(days, 3, 3, 3) == [
        "2026-09-30 03",
        "2026-10-31 03",
        "2026-11-08 03",  # a Sunday, the last day of an ISO week
        "2026-11-15 03",
        "2026-11-20 03",
        "2026-11-21 03",
        "2026-11-22 03",
    ]
    assert kept([backup(SUNDAY + timedelta(hours=n)) for n in range(5)], 7) == ["2026-11-22 07"]


def test_only_weeks_with_a_backup_count_and_a_verified_backup_has_priority_within_its_day() -> None:
    days = [0, -140, -280, 4000]
    assert len(kept([backup(SUNDAY + timedelta(days=n)) for n in days], 1, 4)) == len(days)
    day = [backup(), backup(SUNDAY + timedelta(hours=1), outcome=Outcome.MISMATCH)]
    assert kept(day, 1) == ["2026-11-22 03"]


@given(
    st.dictionaries(st.integers(0, 5000), st.sampled_from(list(Outcome)), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_the_last_verified_backup_is_never_dropped(
    backups: dict[int, Outcome], daily: int, weekly: int, monthly: int
) -> None:
    given = [backup(SUNDAY + timedelta(hours=7 * n), outcome=outcome) for n, outcome in backups.items()]
    names = kept(given, daily, weekly, monthly)
    verified = [each for each in given if each.outcome is Outcome.VERIFIED]
    assert not verified or max(verified, key=lambda each: each.started_at).name in names
    assert names
