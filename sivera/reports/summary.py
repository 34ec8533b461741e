"""What generate-reports has to do and did: for one team, and in a run, with the page of the run."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

from sqlalchemy.orm import Session

from sivera import pages
from sivera.reasons import reason_for
from sivera.reports import queries
from sivera.reports.texts import Language
from sivera.values import PlatformName, Value

CHART_DAYS = 14
OUTCOMES = {"complete": pages.OKABE_ITO[0], "incomplete": pages.OKABE_ITO[1]}


class DueTeam(Value):
    """A team that a run works for.

    `days` lack their report, the oldest first; `latest` is the last day due. `restates` says that its reports are to be
    compared with the figures; `restated_through` was the last day due when that was last done.
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
        """None: a report calls no platform."""
        return None


class TeamReports(Value):
    """The days that one step wrote for a team; `left` says that the deadline came before it was done."""

    team: DueTeam
    reports: tuple[date, ...] = ()
    revised: tuple[date, ...] = ()
    left: bool = False


class ReportPlan(Value):
    """The teams that a run works for, and those that it cannot work for."""

    due: tuple[DueTeam, ...]
    failures: Mapping[str, str] = {}

    @property
    def lacking(self) -> tuple[DueTeam, ...]:
        """The teams that lack a report; the team with the oldest missing day comes first."""
        return tuple(sorted((team for team in self.due if team.days), key=lambda team: (team.days[0], team.id)))

    @property
    def restating(self) -> tuple[DueTeam, ...]:
        """The teams with reports to compare with the figures; the team that has waited longest comes first."""
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
        """How many reports it wrote for the first time."""
        return sum(len(team.reports) for team in self.written)

    @property
    def revised(self) -> int:
        """How many reports it wrote again because their figures changed."""
        return sum(len(team.revised) for team in self.written)

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        teams = len({team.team.id for team in self.written})
        parts = [f"{self.reports} reports written for {teams} of {self.teams} teams"]
        parts += [f"{self.revised} reports revised"] if self.revised else []
        parts += [f"{len(self.failures)} teams failed"] if self.failures else []
        parts += [f"{self.put_off} teams put off to the next run"] if self.put_off else []
        return ", ".join(parts)


class ReportTally:
    """Adds up a run while its teams end, in any order."""

    def __init__(self, plan: ReportPlan) -> None:
        self._plan = plan
        self._done: list[TeamReports] = []
        self._failures = dict(plan.failures)
        self._steps_left = Counter(team.id for team in (*plan.lacking, *plan.restating))

    def restating(self) -> tuple[DueTeam, ...]:
        """Return the teams with reports to compare now. A team that failed, or still lacks a report, is left out."""
        return tuple(team for team in self._plan.restating if self._steps_left[team.id] == 1)

    def add(self, team: DueTeam, result: object) -> None:
        """Take what a team's task returned or raised; no team is taken twice in a run."""
        if isinstance(result, TeamReports):
            self._done.append(result)
            self._steps_left[team.id] -= not result.left
        else:
            self._failures[team.name] = reason_for(result)
            del self._steps_left[team.id]

    def summary(self) -> ReportSummary:
        """Return what the run did so far. A team with a step that has not ended is put off."""
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
    """Draw how many teams have a report on each of the last days, complete or not."""
    counts = {(f"{day:%m-%d}", outcome): count for day, outcome, count in queries.reports_by_day(session, CHART_DAYS)}
    days = list(dict.fromkeys(day for day, _ in counts))
    return [pages.bars("Reports by their day", counts, bar=days, part=OUTCOMES, count="teams")]
