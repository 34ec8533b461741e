"""`sivera reports`: which reports were written, and where they are. Listing them works without Prefect."""

from datetime import date
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ops.commands.session import open_session
from ops.commands.tables import print_table, say, to_minute
from sivera.errors import ConfigurationError
from sivera.reports import queries, rules
from sivera.teams.queries import check_teams

reports = App(name="reports")


@reports.command(name="list")
def list_reports(
    *, team: str | None = None, most: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 50
) -> None:
    """List the reports, newest days first.

    Args:
        team: Show only the reports of this team.
        most: The maximum number of rows.
    """
    with open_session() as session:
        if team is not None:
            check_teams(session, [team])
        found = queries.list_reports(session, team, most)
    print_table(
        ("team", "day", "incomplete accounts", "written (UTC)", "page"),
        [(name, one.day, one.missing, one.written_at, rules.paths(one.team_id, one.day)[0]) for name, one in found],
        "There are no reports. The job generate-reports writes them after 01:00 in each team's time zone.",
    )


@reports.command(name="show")
def show_report(team: str, day: date, /) -> None:
    """Print where the page and the table of a report are stored.

    Args:
        team: The team's name.
        day: The day of the report, such as 2026-11-23.
    """
    from blocks.names import REPORTS  # noqa: PLC0415
    from blocks.storage import load_storage  # noqa: PLC0415

    with open_session() as session:
        found = queries.list_reports(session, team, 1, day)
        place = load_storage(REPORTS).url.rstrip("/")
    if not found:
        raise ConfigurationError(f"the team '{team}' has no report on {day}: `sivera reports list` shows them all")
    _, report = found[0]
    say(f"Written {to_minute(report.written_at)} UTC")
    for path in rules.paths(report.team_id, report.day):
        say(f"{place}/{path}")
