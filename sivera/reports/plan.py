"""What a run has to do: whose day has ended, who lacks its report, and whose reports are yet to be restated."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.errors import ConfigurationError
from sivera.reports import queries, rules
from sivera.reports.options import ReportOptions
from sivera.reports.summary import DueTeam, ReportPlan, TeamFailure
from sivera.reports.texts import Language


def plan_reports(session: Session, options: ReportOptions, now: datetime) -> ReportPlan:
    """Find the teams that a run with these options works for.

    Raises:
        ConfigurationError: The options name a team that does not exist.
    """
    if missing := account_queries.unknown_teams(session, options.teams):
        raise ConfigurationError(f"there is no team '{missing[0]}': `sivera teams list` shows them all")
    # Two days more than are made up: the last day that ended is as old as that where the local time is behind UTC.
    since = now.date() - timedelta(days=options.make_up_days + 2)
    failures: list[TeamFailure] = []
    found: list[tuple[queries.ReportTeam, ZoneInfo, date, bool]] = []
    for team in queries.teams_with_reported_days(session, options.teams, since):
        try:
            zone = rules.zone_of_team(team.timezone, team.name)
        except ConfigurationError as error:
            failures.append(TeamFailure(team=team.name, reason=str(error)))
            continue
        latest = rules.latest_due_day(now, zone)
        restated = team.restated_through is not None and team.restated_through >= latest
        if latest not in team.reported or options.check_restated or not restated:
            found.append((team, zone, latest, options.check_restated or not restated))
    first = queries.first_days(session, [team.id for team, *_ in found])
    due = [
        DueTeam(
            id=team.id,
            name=team.name,
            timezone=team.timezone,
            language=Language(team.language),
            latest=latest,
            days=rules.days_to_write(latest, zone, first[team.id], team.reported, options.make_up_days),
            restated_through=team.restated_through,
            restates=restates,
        )
        for team, zone, latest, restates in found
        if team.id in first
    ]
    return ReportPlan(due=tuple(team for team in due if team.days or team.restates), failures=tuple(failures))
