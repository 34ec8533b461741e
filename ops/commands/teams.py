"""`sivera teams`: where a team's day ends, what language it reads, what it counts. It needs no Prefect."""

import re
from typing import Literal

from cyclopts import App

from ops.commands.session import open_session
from ops.commands.tables import print_table, say
from sivera.accounts import queries as team_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.reports.rules import find_zone

teams = App(name="teams")

PURCHASES = "purchases"
"""What counts as a conversion on Meta unless a team says otherwise."""


@teams.command(name="list")
def list_teams() -> None:
    """List the teams: their time zone, what time it is there, their language, and what they count on Meta."""
    with open_session() as session:
        found = [(team, find_zone(team.timezone)) for team in team_queries.list_teams(session)]
    now = utc_now()
    print_table(
        ("id", "team", "time zone", "now there", "language", "conversion on Meta"),
        [
            (
                str(team.id),
                team.name,
                team.timezone,
                f"{now.astimezone(zone):%Y-%m-%d %H:%M}" if zone else "unknown",
                team.language,
                team.meta_conversion or PURCHASES,
            )
            for team, zone in found
        ],
        "There are no teams. Connect a grant, which makes one: sivera credentials connect --help",
        [
            f"Nobody knows the time zone of {team.name}: it gets no report. Run: sivera teams set"
            for team, zone in found
            if not zone
        ],
    )


@teams.command(name="set")
def set_team(
    team: str,
    /,
    *,
    timezone: str | None = None,
    language: Literal["en", "ko"] | None = None,
    meta_conversion: str | None = None,
) -> None:
    """Set where a team's day ends, in which language it reads its reports, and what it counts as a conversion on Meta.

    What is left out stays.

    Args:
        team: The team's name.
        timezone: An IANA name, such as Asia/Seoul. A report is due at 01:00 there.
        language: English or Korean.
        meta_conversion: An action type of Meta, such as lead; `purchases` is the default. The next full sync reads the
            last 28 days again; older days keep what was counted.
    """
    given = {"timezone": timezone, "language": language, "meta_conversion": meta_conversion}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise ConfigurationError("there is nothing to change: give --timezone, --language or --meta-conversion")
    if timezone is not None and not find_zone(timezone):
        raise ConfigurationError(f"nobody knows the time zone '{timezone}': write an IANA name, such as Asia/Seoul")
    if meta_conversion is not None and not re.fullmatch(r"[a-z0-9_.]{1,100}", meta_conversion):
        raise ConfigurationError(f"'{meta_conversion}' is no action type of Meta: write one such as lead")
    stored = changes | ({"meta_conversion": None} if meta_conversion == PURCHASES else {})
    with open_session() as session, session.begin():
        found = team_queries.change_team(session, team, stored)
        if found is None:
            raise ConfigurationError(f"there is no team '{team}': `sivera teams list` shows them all")
        say(f"The day of {found.name} ends in {found.timezone}; its reports are written in '{found.language}'.")
        say(f"On Meta it counts {found.meta_conversion or PURCHASES}.")
