"""What a run has to do: whose day has ended, and who lacks its report."""

from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from sivera.errors import ConfigurationError
from sivera.queries import accounts as account_queries
from sivera.queries import reports as queries
from sivera.reports import rules
from sivera.reports.options import ReportOptions
from sivera.reports.summary import DueTeam, ReportPlan, TeamFailure
from sivera.reports.texts import Language


def plan_reports(session: Session, options: ReportOptions, now: datetime) -> ReportPlan:
    """Find the teams that a run with these options writes reports for, the longest missing first.

    Raises:
        ConfigurationError: The options name a team that does not exist.
    """
    if missing := account_queries.unknown_teams(session, options.teams):
        raise ConfigurationError(f"there is no team '{missing[0]}': `sivera teams list` shows them all")
    # Two days more than are made up: the last day that ended is as old as that where the local time is behind UTC.
    since = now.date() - timedelta(days=options.make_up_days + 2)
    failures: list[TeamFailure] = []
    lacking: list[tuple[queries.ReportTeam, date]] = []
    for team in queries.teams_with_reported_days(session, options.teams, since):
        try:
            latest = rules.latest_due_day(now, rules.zone_of_team(team.timezone, team.name))
        except ConfigurationError as error:
            failures.append(TeamFailure(team=team.name, reason=str(error)))
            continue
        if latest not in team.reported or options.check_restated:
            lacking.append((team, latest))
    first = queries.first_days(session, [team.id for team, _ in lacking])
    due = [
        DueTeam(
            id=team.id,
            name=team.name,
            timezone=team.timezone,
            language=Language(team.language),
            latest=latest,
            days=rules.days_to_write(latest, first[team.id], team.reported, options.make_up_days),
        )
        for team, latest in lacking
        if team.id in first
    ]
    if not options.check_restated:
        due = [team for team in due if team.days]
    due.sort(key=lambda team: (team.days[0] if team.days else team.latest, team.id))
    return ReportPlan(due=tuple(due), failures=tuple(failures))
