"""Which backups are kept: the last of each day, week and month, and always the last verified one."""

from collections.abc import Sequence
from datetime import UTC

from sivera.backups.manifest import Manifest, Outcome
from sivera.backups.options import BackupOptions


def superfluous(backups: Sequence[Manifest], options: BackupOptions) -> list[Manifest]:
    """Return the backups that are no longer kept, oldest first.

    Days, weeks (ISO 8601) and months are in UTC. Only those with a backup count, so a pause or a wrong clock drops
    nothing. Within a period, a verified backup has priority.
    """
    # The best comes last: verified, then newest.
    ordered = sorted(backups, key=lambda each: (each.outcome is Outcome.VERIFIED, each.started_at))
    kept = {each.name for each in ordered[-1:]}  # the last verified one, if there is any
    periods = (("%Y-%m-%d", options.keep_daily), ("%G-%V", options.keep_weekly), ("%Y-%m", options.keep_monthly))
    for period, count in periods:
        best = {f"{each.started_at.astimezone(UTC):{period}}": each.name for each in ordered}
        kept |= {best[key] for key in sorted(best, reverse=True)[:count]}
    return sorted((each for each in backups if each.name not in kept), key=lambda each: each.started_at)
