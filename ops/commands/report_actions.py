"""What `ops.commands.reports` does once the way to the Prefect server is set: it imports prefect."""

from datetime import date

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from blocks.names import REPORTS
from blocks.storage import load_storage
from ops.commands.session import open_database
from ops.commands.tables import print_table, say, to_minute
from sivera.accounts import queries as account_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.reports import queries
from sivera.reports.rules import find_zone


def list_teams() -> None:
    """Print all teams."""
    with open_database() as engine, Session(engine) as session:
        found = account_queries.list_teams(session)
    now = utc_now()
    zones = {team.id: find_zone(team.timezone) for team in found}
    print_table(
        ("id", "team", "time zone", "now there", "language"),
        [
            (
                str(team.id),
                team.name,
                team.timezone,
                f"{now.astimezone(zone):%Y-%m-%d %H:%M}" if (zone := zones[team.id]) else "unknown",
                team.language,
            )
            for team in found
        ],
        notes=[
            f"Nobody knows the time zone of {team.name}: it gets no report. Run: sivera teams set"
            for team in found
            if not zones[team.id]
        ],
        empty="There are no teams. Connect a grant, which makes one: sivera credentials add --help",
    )


def set_team(name: str, timezone: str | None, language: str | None) -> None:
    """Change where a team's day ends, and what it reads.

    Raises:
        ConfigurationError: There is nothing to change, no such team, or no such time zone; nothing was changed.
    """
    if timezone is None and language is None:
        raise ConfigurationError("there is nothing to change: give --timezone, --language or both")
    if timezone is not None and not find_zone(timezone):
        raise ConfigurationError(f"nobody knows the time zone '{timezone}': write an IANA name, such as Asia/Seoul")
    with open_database() as engine, Session(engine) as session, session.begin():
        team = account_queries.change_team(session, name, timezone=timezone, language=language)
        if team is None:
            raise ConfigurationError(f"there is no team '{name}': `sivera teams list` shows them all")
        say(f"The day of {team.name} ends in {team.timezone}; its reports are written in '{team.language}'.")


def list_reports(team: str | None, most: int) -> None:
    """Print the newest version of each report.

    Raises:
        ConfigurationError: There is no such team.
    """
    with open_database() as engine:
        _check_team(engine, team)
        with Session(engine) as session:
            found = queries.list_reports(session, team, most)
    print_table(
        ("team", "day", "version", "made (UTC)", "page"),
        [
            (name, report.day.isoformat(), str(report.version), to_minute(report.created_at), report.html_path)
            for name, report in found
        ],
        notes=[],
        empty="There are no reports. They are written after 01:00 in each team's time zone: generate-reports",
    )


def show_report(team: str, day: date) -> None:
    """Print where the versions of a report are, the newest first.

    Raises:
        ConfigurationError: There is no such team, or it has no report on that day.
    """
    with open_database() as engine:
        _check_team(engine, team)
        with Session(engine) as session:
            versions = queries.versions_of(session, team, day)
        place = load_storage(REPORTS).url.rstrip("/")
    if not versions:
        raise ConfigurationError(f"the team '{team}' has no report on {day}: `sivera reports list` shows them all")
    for report in versions:
        say(f"Version {report.version}, made {to_minute(report.created_at)} UTC")
        say(f"  {place}/{report.html_path}")
        say(f"  {place}/{report.csv_path}")


def _check_team(engine: Engine, team: str | None) -> None:
    with Session(engine) as session:
        if team is not None and account_queries.unknown_teams(session, [team]):
            raise ConfigurationError(f"there is no team '{team}': `sivera teams list` shows them all")
