"""Which backups are kept: the last of each day, week and month, and always the last verified one."""

from collections.abc import Sequence
from datetime import UTC

from sivera.backups.manifest import Manifest, Outcome
from sivera.backups.options import BackupOptions


def superfluous(backups: Sequence[Manifest], options: BackupOptions) -> list[Manifest]:
    """Return the backups that are no longer kept, the oldest first.

    Days, weeks (ISO 8601) and months are in UTC. Only those with a backup count: a pause or a wrong clock drops none.
    A verified backup is kept before others of its day, week or month.
    """
    # The best last: a verified one before others, then the newest.
    ordered = sorted(backups, key=lambda each: (each.outcome is Outcome.VERIFIED, each.started_at))
    kept = {each.name for each in ordered[-1:]}  # the last verified, if any is
    for period, count in ((_day, options.keep_daily), (_week, options.keep_weekly), (_month, options.keep_monthly)):
        best = {period(each): each.name for each in ordered}
        kept |= {best[key] for key in sorted(best, reverse=True)[:count]}
    by_time = sorted(backups, key=lambda each: each.started_at)
    return [each for each in by_time if each.name not in kept]


def _day(backup: Manifest) -> str:
    return f"{backup.started_at.astimezone(UTC):%Y-%m-%d}"


def _week(backup: Manifest) -> str:
    return f"{backup.started_at.astimezone(UTC):%G-%V}"


def _month(backup: Manifest) -> str:
    return f"{backup.started_at.astimezone(UTC):%Y-%m}"
