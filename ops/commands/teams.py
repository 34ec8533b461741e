"""`sivera teams`: where a team's day ends, and what language it reads. It needs no Prefect."""

from typing import Literal

from cyclopts import App

from ops.commands.session import open_session
from ops.commands.tables import print_table, say
from sivera.accounts import queries as team_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.reports.rules import find_zone

teams = App(name="teams")


@teams.command(name="list")
def list_teams() -> None:
    """List the teams: their time zone, their language, and what time it is there."""
    with open_session() as session:
        found = [(team, find_zone(team.timezone)) for team in team_queries.list_teams(session)]
    now = utc_now()
    print_table(
        ("id", "team", "time zone", "now there", "language"),
        [
            (
                str(team.id),
                team.name,
                team.timezone,
                f"{now.astimezone(zone):%Y-%m-%d %H:%M}" if zone else "unknown",
                team.language,
            )
            for team, zone in found
        ],
        "There are no teams. Connect a grant, which makes one: sivera credentials add --help",
        [
            f"Nobody knows the time zone of {team.name}: it gets no report. Run: sivera teams set"
            for team, zone in found
            if not zone
        ],
    )


@teams.command(name="set")
def set_team(team: str, /, *, timezone: str | None = None, language: Literal["en", "ko"] | None = None) -> None:
    """Set where a team's day ends, and in which language it reads its reports; what is left out stays.

    Args:
        team: The team's name.
        timezone: An IANA name, such as Asia/Seoul. A report is due at 01:00 there.
        language: English or Korean.
    """
    if timezone is None and language is None:
        raise ConfigurationError("there is nothing to change: give --timezone, --language or both")
    if timezone is not None and not find_zone(timezone):
        raise ConfigurationError(f"nobody knows the time zone '{timezone}': write an IANA name, such as Asia/Seoul")
    with open_session() as session, session.begin():
        found = team_queries.change_team(session, team, timezone=timezone, language=language)
        if found is None:
            raise ConfigurationError(f"there is no team '{team}': `sivera teams list` shows them all")
        say(f"The day of {found.name} ends in {found.timezone}; its reports are written in '{found.language}'.")
