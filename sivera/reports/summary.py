"""What generate-reports did: of one team, of a run."""

from collections import Counter
from datetime import date

from sivera.reasons import reason_for
from sivera.reports.texts import Language
from sivera.values import PlatformName, Value


class DueTeam(Value):
    """A team that a run works for: `days` lack their report, the oldest first; `latest` is the last one due.

    `restates` says that its reports are to be compared with the figures; `restated_through` is the last day due when
    that was last done.
    """

    id: int
    name: str
    timezone: str
    language: Language
    latest: date
    days: tuple[date, ...]
    restates: bool
    restated_through: date | None

    @property
    def platform(self) -> PlatformName | None:
        """None: a report calls no platform."""
        return None


class Written(Value):
    """A version of a report that a run wrote."""

    day: date
    version: int
    html_path: str
    csv_path: str


class TeamReports(Value):
    """What one step wrote for a team; `left` says that the deadline came before all of it was."""

    team: DueTeam
    written: tuple[Written, ...] = ()
    left: bool = False


class TeamFailure(Value):
    """Why a team did not get all of its reports, in words that a person can act on."""

    team: str
    reason: str


class ReportPlan(Value):
    """The teams that a run found to work for, and those of which it cannot tell."""

    due: tuple[DueTeam, ...]
    failures: tuple[TeamFailure, ...] = ()

    @property
    def lacking(self) -> tuple[DueTeam, ...]:
        """The teams that lack a report, the longest missing first."""
        return tuple(sorted((team for team in self.due if team.days), key=lambda team: (team.days[0], team.id)))

    @property
    def restating(self) -> tuple[DueTeam, ...]:
        """The teams whose reports are to be compared with the figures, those first that have waited longest."""
        waiting = (team for team in self.due if team.restates)
        return tuple(sorted(waiting, key=lambda team: (team.restated_through or date.min, team.id)))


class ReportSummary(Value):
    """What a run did. `reports` counts first versions, `versions` later ones, `written_for` teams that got either."""

    teams: int
    reports: int
    versions: int
    put_off: int
    written_for: int
    written: tuple[TeamReports, ...] = ()
    failures: tuple[TeamFailure, ...] = ()

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{self.reports} reports written for {self.written_for} of {self.teams} teams"]
        parts += [f"{self.versions} new versions of restated days"] if self.versions else []
        parts += [f"{len(self.failures)} teams failed"] if self.failures else []
        parts += [f"{self.put_off} teams put off to the next run"] if self.put_off else []
        return ", ".join(parts)


class ReportTally:
    """Adds up a run while its teams end, in whatever order.

    Args:
        plan: What the run found to do; a team that has a step of which nothing is heard was put off.
    """

    def __init__(self, plan: ReportPlan) -> None:
        self._plan = plan
        self._done: list[TeamReports] = []
        self._failures = list(plan.failures)
        self._steps = Counter(team.id for team in (*plan.lacking, *plan.restating))

    def restating(self) -> tuple[DueTeam, ...]:
        """The teams whose reports are to be compared now: they lack none."""
        return tuple(team for team in self._plan.restating if self._steps[team.id] == 1)

    def add(self, team: DueTeam, result: object) -> bool:
        """Take what a team's task returned or raised; no team is taken again in the same run."""
        if isinstance(result, TeamReports):
            self._done.append(result)
            self._steps[team.id] -= not result.left
        else:
            error = result if isinstance(result, Exception) else TypeError(f"the reports ended as {result!r}")
            self._failures.append(TeamFailure(team=team.name, reason=reason_for(error)))
            del self._steps[team.id]
        return False

    def summary(self) -> ReportSummary:
        """Return what the run did so far."""
        versions = [one.version for team in self._done for one in team.written]
        return ReportSummary(
            teams=len(self._plan.due) + len(self._plan.failures),
            reports=versions.count(1),
            versions=len(versions) - versions.count(1),
            put_off=sum(left > 0 for left in self._steps.values()),
            written_for=len({team.team.id for team in self._done if team.written}),
            written=tuple(team for team in self._done if team.written),
            failures=tuple(self._failures),
        )
