"""`sivera teams`: the time zone, language and conversions of teams. Only deleting one needs Prefect."""

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Literal

from cyclopts import App
from sqlalchemy.orm import Session

from ops.commands.revocation import revocation_plan, revocation_result
from ops.commands.session import Flag, confirm, open_resources, open_session
from ops.commands.tables import print_table, say
from sivera.backups.options import BackupOptions
from sivera.clock import find_zone, utc_now
from sivera.errors import ConfigurationError
from sivera.grants.rules import DISCONNECTED
from sivera.platforms.base import PlatformClient
from sivera.reports.rules import folder
from sivera.teams import queries
from sivera.values import PlatformName

teams = App(name="teams")

PURCHASES = "purchases"
"""What counts as a conversion on Meta by default."""


@teams.command(name="list")
def list_teams() -> None:
    """List the teams: their time zone and its time, their language, and what they count as a conversion on Meta."""
    with open_session() as session:
        found = [(team, find_zone(team.timezone)) for team in queries.list_teams(session)]
    now = utc_now()
    print_table(
        ("id", "team", "time zone", "now there", "language", "conversion on Meta"),
        [
            (team.id, team.name, team.timezone, _time(now, zone), team.language, team.meta_conversion or PURCHASES)
            for team, zone in found
        ],
        "There are no teams. Connect a grant, which creates one: sivera credentials connect --help",
        [
            f"The time zone of {team.name} is unknown, so it gets no reports. Run: sivera teams set"
            for team, zone in found
            if not zone
        ],
    )


def _time(now: datetime, zone: tzinfo | None) -> str:
    return f"{now.astimezone(zone):%Y-%m-%d %H:%M}" if zone else "unknown"


@teams.command(name="set")
def set_team(
    team: str,
    /,
    *,
    timezone: str | None = None,
    language: Literal["en", "ko"] | None = None,
    meta_conversion: str | None = None,
) -> None:
    """Set a team's time zone, the language of its reports, and what it counts as a conversion on Meta.

    Options that are left out stay as they are.

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
        raise ConfigurationError(f"the time zone '{timezone}' is unknown: write an IANA name, such as Asia/Seoul")
    if meta_conversion is not None and not re.fullmatch(r"[a-z0-9_.]{1,100}", meta_conversion):
        raise ConfigurationError(f"'{meta_conversion}' is not an action type of Meta: write one such as lead")
    stored = changes | ({"meta_conversion": None} if meta_conversion == PURCHASES else {})
    with open_session() as session, session.begin():
        found = queries.find_team(session, team)
        for name, value in stored.items():
            setattr(found, name, value)
        say(
            f"The time zone of {found.name} is {found.timezone}, and the language of its reports is '{found.language}'."
        )
        say(f"It counts {found.meta_conversion or PURCHASES} as conversions on Meta.")


@teams.command(name="delete")
def delete(team: str, /, *, yes: Flag = False, without_revoking: Flag = False) -> None:
    """Delete a team and all its data: revoke its grants, and delete its rows and the files of its reports.

    Args:
        team: The team's name.
        yes: Do not ask for the name again.
        without_revoking: Delete the tokens without asking the platforms, for example if one refuses our application.
    """
    from blocks.names import REPORTS  # noqa: PLC0415
    from blocks.storage import load_storage  # noqa: PLC0415
    from sivera.teams.deleting import delete_team, disconnect_grants  # noqa: PLC0415
    from tasks.grants import client, renewal_dependencies  # noqa: PLC0415

    with open_resources() as engine:
        with Session(engine) as session:
            found = queries.find_team(session, team)
            grants = [grant for grant in queries.grants_of(session, found.id) if grant.status != DISCONNECTED]
            counts = queries.count_rows(session, found.id)
        platform_of = {grant.id: PlatformName(grant.platform) for grant in grants}
        client_for: Callable[[PlatformName], PlatformClient | None] = (lambda _: None) if without_revoking else client
        files = load_storage(REPORTS).get_filesystem()
        deps = renewal_dependencies()
        say(f"This permanently deletes team {team}:")
        for id_, platform in platform_of.items():
            say(f"- grant {id_}: {revocation_plan(platform, client_for(platform))}")
        for table, count in counts.items():
            more = " or more" if count == queries.COUNTED else ""
            say(f"- {count:,}{more} {'row' if count == 1 else 'rows'} of {table}")
        say(f"- the files of its reports, in {folder(found.id)} of the block storage/reports")
        confirm(team, yes=yes)
        for id_, ending in disconnect_grants(deps, client_for, found.id):
            say(f"Disconnected grant {id_}. {revocation_result(platform_of[id_], ending)}")
        delete_team(engine, files, found.id)
    kept = BackupOptions()
    say(f"Deleted team {team}.")
    say(
        f"Existing backups still contain it: {kept.keep_daily} daily, {kept.keep_weekly} weekly and "
        f"{kept.keep_monthly} monthly ones are kept unless backup-data has other options. `sivera restore list` names "
        "them. To remove it there too, make a new backup and delete the files of the older ones. If you restore one, "
        "delete the team again."
    )
    say("A link for its user still works until it is 24 hours old, and connecting with it creates the team again.")
    say("Pages and logs of runs in the Prefect UI may name it until the server deletes them.")
