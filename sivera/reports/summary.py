"""The plan and the result of a run of generate-reports, and the page of the run."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

from sqlalchemy.orm import Session

from sivera import pages
from sivera.reasons import reason_for
from sivera.reports import queries
from sivera.reports.texts import Language
from sivera.units import counted
from sivera.values import PlatformName, Value

CHART_DAYS = 14
OUTCOMES = {"complete": pages.OKABE_ITO[0], "incomplete": pages.OKABE_ITO[1]}


class DueTeam(Value):
    """A team that a run works for.

    `days` have no report yet, the oldest first, and `latest` is the last day due. If `restates`, its reports are to be
    compared with the figures. `restated_through` is the day up to which that was done before.
    """

    id: int
    name: str
    timezone: str
    language: Language
    latest: date
    days: tuple[date, ...]
    restates: bool
    restated_through: date | None
    meta_conversion: str | None = None

    @property
    def platform(self) -> PlatformName | None:
        """None, because a report calls no platform."""
        return None


class TeamReports(Value):
    """The days that one step wrote for a team. `left` means that the deadline came before the step was done."""

    team: DueTeam
    reports: tuple[date, ...] = ()
    revised: tuple[date, ...] = ()
    left: bool = False


class ReportPlan(Value):
    """The teams that a run works for, and the reasons why it cannot work for others."""

    due: tuple[DueTeam, ...]
    failures: Mapping[str, str] = {}

    @property
    def lacking(self) -> tuple[DueTeam, ...]:
        """The teams with missing reports, those with the oldest missing day first."""
        return tuple(sorted((team for team in self.due if team.days), key=lambda team: (team.days[0], team.id)))

    @property
    def restating(self) -> tuple[DueTeam, ...]:
        """The teams with reports to compare with the figures, those that have waited longest first."""
        waiting = (team for team in self.due if team.restates)
        return tuple(sorted(waiting, key=lambda team: (team.restated_through or date.min, team.id)))


class ReportSummary(Value):
    """What a run did."""

    teams: int
    put_off: int
    written: tuple[TeamReports, ...] = ()
    failures: Mapping[str, str] = {}

    @property
    def reports(self) -> int:
        """How many reports were written for the first time."""
        return sum(len(team.reports) for team in self.written)

    @property
    def revised(self) -> int:
        """How many reports were written again because their figures changed."""
        return sum(len(team.revised) for team in self.written)

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        teams = len({team.team.id for team in self.written})
        parts = [f"{counted(self.reports, 'report')} written for {teams} of {counted(self.teams, 'team')}"]
        parts += [f"{counted(self.revised, 'report')} revised"] if self.revised else []
        parts += [f"{counted(len(self.failures), 'team')} failed"] if self.failures else []
        parts += [f"{counted(self.put_off, 'team')} put off to the next run"] if self.put_off else []
        return ", ".join(parts)


class ReportTally:
    """Adds up a run while its teams end, in any order."""

    def __init__(self, plan: ReportPlan) -> None:
        self._plan = plan
        self._done: list[TeamReports] = []
        self._failures = dict(plan.failures)
        self._steps_left = Counter(team.id for team in (*plan.lacking, *plan.restating))

    def restating(self) -> tuple[DueTeam, ...]:
        """Return the teams with reports to compare now, without those that failed or still have missing reports."""
        return tuple(team for team in self._plan.restating if self._steps_left[team.id] == 1)

    def add(self, team: DueTeam, result: object) -> None:
        """Add what a team's task returned or raised. A run never retries a team."""
        if isinstance(result, TeamReports):
            self._done.append(result)
            self._steps_left[team.id] -= not result.left
        else:
            self._failures[team.name] = reason_for(result)
            del self._steps_left[team.id]

    def summary(self) -> ReportSummary:
        """Return what the run has done so far. A team with an unfinished step is put off."""
        return ReportSummary(
            teams=len(self._plan.due) + len(self._plan.failures),
            put_off=sum(left > 0 for left in self._steps_left.values()),
            written=tuple(team for team in self._done if team.reports or team.revised),
            failures=self._failures,
        )


def reports_page(job: str, summary: ReportSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    columns = ("teams", "reports", "revised", "teams put off", "teams failed")
    counts = (summary.teams, summary.reports, summary.revised, summary.put_off, len(summary.failures))
    written = [(team.team.name, day) for team in summary.written for day in (*team.reports, *team.revised)]
    return pages.page(
        job,
        summary.sentence,
        pages.table(columns, [counts]),
        *pages.listing("Written", ["team", "day"], written, f"{job}-list"),
        *pages.listing("Failed", ["team", "reason"], list(summary.failures.items()), f"{job}-failures"),
        *charts,
    )


def reports_charts(session: Session) -> list[str]:
    """Draw how many teams have a complete or an incomplete report on each of the last days."""
    counts = {(f"{day:%m-%d}", outcome): count for day, outcome, count in queries.reports_by_day(session, CHART_DAYS)}
    days = list(dict.fromkeys(day for day, _ in counts))
    return [pages.bars("Reports by their day", counts, bar=days, part=OUTCOMES, count="teams")]
