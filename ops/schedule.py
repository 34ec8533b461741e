"""`sivera schedule`: the plan of the next days, for a person on one screen or as JSON.

It needs no server: what is switched on or off there is told by `sivera doctor`.
"""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from ops.commands.tables import print_table, to_minute
from ops.plan import ClockEffect, Effect, Plan, PlannedSchedule, plan, wall_time
from ops.timetable import find_timetable, read_timetable
from sivera.clock import utc_now
from tasks.times import NEAR


def print_schedule(days: int, *, as_json: bool, now: datetime | None = None, path: Path | None = None) -> None:
    """Print the plan of the next days, for a person or as a JSON object.

    Raises:
        ConfigurationError: The timetable is wrong.
    """
    since = (now or utc_now()).replace(second=0, microsecond=0)
    made = plan(*read_timetable(path or find_timetable()), since, since + timedelta(days=days))
    if as_json:
        sys.stdout.write(f"{made.model_dump_json()}\n")
        return
    _print(made)


def _print(made: Plan) -> None:
    days = (made.until - made.since).days
    sys.stdout.write(f"Runs from {to_minute(made.since)} to {to_minute(made.until)}; times are UTC.\n\n")
    often = [one for one in made.schedules if len(one.runs) > days + 1]
    if often:
        _print_often(often)
    _print_days(made, [one for one in made.schedules if one not in often])
    _print_clocks(made)
    _print_collisions(made)
    if made.switched_off:
        sys.stdout.write(f"\nSwitched off in prefect.yaml: {', '.join(made.switched_off)}\n")


def _print_often(often: Sequence[PlannedSchedule]) -> None:
    print_table(
        ("several times a day", "cron", "zone", "runs", "apart", "next"),
        [
            (one.name, one.cron, one.timezone, str(len(one.runs)), _apart(one.runs), to_minute(one.runs[0]))
            for one in often
        ],
        notes=(),
        empty="",
    )
    sys.stdout.write("\n")


def _apart(runs: Sequence[datetime]) -> str:
    gaps = sorted({int((later - earlier).total_seconds() // 60) for earlier, later in pairwise(runs)})
    return f"{gaps[0]} min" if len(gaps) == 1 else f"{gaps[0]} to {gaps[-1]} min"


def _print_days(made: Plan, seldom: Sequence[PlannedSchedule]) -> None:
    effects = {(effect.schedule, run): effect for effect in made.clock_effects for run in effect.runs}
    runs = sorted((run, one.name, one.timezone) for one in seldom for run in one.runs)
    print_table(
        ("day", "runs"),
        [
            (
                f"{day:%a %Y-%m-%d}",
                ", ".join(_run_text(run, name, zone, effects.get((name, run))) for run, name, zone in of_day),
            )
            for day, of_day in groupby(runs, key=lambda entry: entry[0].date())
        ],
        notes=(),
        empty="No schedule runs once a day or less.",
    )


def _run_text(run: datetime, name: str, timezone: str, effect: ClockEffect | None) -> str:
    wall = "" if timezone == "UTC" else f" ({wall_time(run, ZoneInfo(timezone)):%H:%M} {timezone})"
    mark = f" [{effect.effect}, {effect.wall:%H:%M}]" if effect else ""
    return f"{run:%H:%M} {name}{wall}{mark}"


def _print_clocks(made: Plan) -> None:
    if made.clock_changes:
        sys.stdout.write("\nClocks change:\n")
    for change in made.clock_changes:
        sys.stdout.write(
            f"  {to_minute(change.at)} UTC, {change.timezone}: {change.before:%H:%M} becomes {change.after:%H:%M}\n"
        )
        for effect in made.clock_effects:
            if effect.timezone == change.timezone and abs(effect.wall - change.before) <= NEAR:
                sys.stdout.write(f"    {effect.schedule}: {_effect_text(effect)}\n")


def _effect_text(effect: ClockEffect) -> str:
    wall = f"{effect.wall:%H:%M}"
    runs = " and ".join(f"{run:%H:%M} UTC" for run in effect.runs)
    match effect.effect:
        case Effect.MOVED:
            zone = ZoneInfo(effect.timezone)
            return f"moved: {wall} does not exist, it runs at {wall_time(effect.runs[0], zone):%H:%M} ({runs})"
        case Effect.SKIPPED:
            return f"skipped: {wall} has no run of its own"
        case Effect.DOUBLED:
            return f"doubled: {wall} comes twice, and it runs at {runs}"
        case Effect.ONCE:
            return f"runs once: {wall} comes twice, and it runs at {runs} only"


def _print_collisions(made: Plan) -> None:
    if not made.collisions:
        sys.stdout.write("\nNo collisions.\n")
        return
    sys.stdout.write("\nCollisions, where the later run is cancelled if the earlier one still runs:\n")
    for each in made.collisions:
        at = f"{each.second_begins_at:%H:%M}"
        when = (
            f"both at {at}"
            if each.first_began_at == each.second_begins_at
            else (f"{at}, within the time limit of the run of {each.first_began_at:%H:%M}")
        )
        sys.stdout.write(
            f"  {each.second} with {each.first}: {each.times} times, first on {each.second_begins_at:%Y-%m-%d} {when}\n"
        )
