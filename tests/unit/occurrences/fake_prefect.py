"""A Prefect that keeps its runs in memory, for tests of the accounting."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sivera.occurrences.rules import SeenRun


@dataclass(frozen=True)
class Every:
    """A schedule that runs at midnight, and then every so many hours."""

    unchanged_since: datetime
    hours: int = 1
    deployment: str = "sync-campaigns/all"
    slug: str = "hourly"

    @property
    def job(self) -> str:
        """The name of its job."""
        return self.deployment.partition("/")[0]

    def times(self, since: datetime, now: datetime) -> Sequence[datetime]:
        """When it runs, to the first time after now."""
        found: list[datetime] = []
        when = since.replace(hour=0, minute=0, second=0, microsecond=0)
        while not found or found[-1] <= now:
            if when >= since:
                found.append(when)
            when += timedelta(hours=self.hours)
        return found


@dataclass
class FakePrefect:
    """Answers what the accounting asks, and writes down what that was."""

    on: list[Every] = field(default_factory=list)
    runs: dict[UUID, SeenRun] = field(default_factory=dict)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def add(self, schedule: Every | None, at: datetime, state: str = "COMPLETED", **more: object) -> SeenRun:
        """Add a run that began at its time and took five minutes."""
        is_over = state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        began = state != "SCHEDULED"
        run = {
            "id": uuid4(),
            "job": schedule.job if schedule else "sync-campaigns",
            "deployment": schedule.deployment if schedule else "sync-campaigns/all",
            "schedule": schedule.slug if schedule else None,
            "scheduled_at": at,
            "state": state,
            "state_name": state.capitalize(),
            "message": None,
            "changed_at": at + timedelta(minutes=5 if is_over else 0),
            "started_at": at if began else None,
            "ended_at": at + timedelta(minutes=5) if is_over else None,
        }
        return self.set(SeenRun.model_validate(run | more))

    def set(self, run: SeenRun, **more: object) -> SeenRun:
        """Change a run."""
        self.runs[run.id] = run.model_copy(update=more)
        return self.runs[run.id]

    def switch(self, schedule: Every, at: datetime, *, on: bool) -> Every:
        """Switch a schedule on or off."""
        self.on = [each for each in self.on if each.slug != schedule.slug or each.deployment != schedule.deployment]
        changed = replace(schedule, unchanged_since=at)
        self.on += [changed] if on else []
        return changed

    def schedules(self) -> Sequence[Every]:
        """The schedules that are on."""
        return self.on

    def runs_between(
        self, since: datetime, until: datetime, most: int, *, newest_first: bool = False
    ) -> Sequence[SeenRun]:
        """Runs by their times."""
        self.asked.append((since, until))
        found = [run for run in self.runs.values() if since <= run.scheduled_at <= until]
        return sorted(found, key=lambda run: run.scheduled_at, reverse=newest_first)[:most]

    def runs_of(self, ids: Sequence[UUID]) -> Sequence[SeenRun]:
        """Runs by their ids."""
        return [self.runs[one] for one in ids if one in self.runs]
