"""What generate-reports did: of one team, of a run."""

from datetime import date

from sivera.reasons import reason_for
from sivera.reports.texts import Language
from sivera.values import PlatformName, Value


class DueTeam(Value):
    """A team whose reports are to be written: `days` lack theirs, the oldest first; `latest` is the last one due."""

    id: int
    name: str
    timezone: str
    language: Language
    latest: date
    days: tuple[date, ...]

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
    """What was written for a team; `left` says that the deadline came before all of it was."""

    team: DueTeam
    written: tuple[Written, ...] = ()
    left: bool = False


class TeamFailure(Value):
    """Why a team did not get all of its reports, in words that a person can act on."""

    team: str
    reason: str


class ReportPlan(Value):
    """What a run found to do, the longest missing first, and the teams of which it cannot tell."""

    due: tuple[DueTeam, ...]
    failures: tuple[TeamFailure, ...] = ()


class ReportSummary(Value):
    """What a run did. `reports` counts first versions, `versions` later ones."""

    teams: int
    reports: int
    versions: int
    put_off: int
    written: tuple[TeamReports, ...] = ()
    failures: tuple[TeamFailure, ...] = ()

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{self.reports} reports written for {len(self.written)} of {self.teams} teams"]
        parts += [f"{self.versions} new versions of restated days"] if self.versions else []
        parts += [f"{len(self.failures)} teams failed"] if self.failures else []
        parts += [f"{self.put_off} teams put off to the next run"] if self.put_off else []
        return ", ".join(parts)


class ReportTally:
    """Adds up a run while its teams end, in whatever order.

    Args:
        plan: What the run found to do; a team of which nothing is heard was put off.
    """

    def __init__(self, plan: ReportPlan) -> None:
        self._plan = plan
        self._done: list[TeamReports] = []
        self._failures = list(plan.failures)

    def add(self, team: DueTeam, result: object) -> bool:
        """Take what a team's task returned or raised; no team is taken again in the same run."""
        if isinstance(result, TeamReports):
            self._done.append(result)
        else:
            error = result if isinstance(result, Exception) else TypeError(f"the reports ended as {result!r}")
            self._failures.append(TeamFailure(team=team.name, reason=reason_for(error)))
        return False

    def summary(self) -> ReportSummary:
        """Return what the run did so far."""
        versions = [one.version for team in self._done for one in team.written]
        failed = len(self._failures)
        whole = sum(not team.left for team in self._done)
        return ReportSummary(
            teams=len(self._plan.due) + len(self._plan.failures),
            reports=versions.count(1),
            versions=len(versions) - versions.count(1),
            put_off=len(self._plan.due) + len(self._plan.failures) - whole - failed,
            written=tuple(team for team in self._done if team.written),
            failures=tuple(self._failures),
        )
