"""`sivera teams` and `sivera reports`: where a team's day ends, what it reads, and where its reports are.

May not import prefect at its top; see `ops.cli`.
"""

from datetime import date
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ops.stack.prefect_server import use_running_stack

teams = App(name="teams", help="The teams: where their day ends, and what language they read.")
reports = App(name="reports", help="The teams' daily reports, and where they are kept.")


@teams.command(name="list")
def list_teams() -> None:
    """List the teams: their time zone, their language, and what time it is there."""
    use_running_stack()
    from ops.commands import report_actions  # noqa: PLC0415

    report_actions.list_teams()


@teams.command(name="set")
def set_team(team: str, /, *, timezone: str | None = None, language: Literal["en", "ko"] | None = None) -> None:
    """Say where a team's day ends, and in which language it reads its reports; what is left out stays.

    Args:
        team: The team's name.
        timezone: An IANA name, such as Asia/Seoul. A report is due at 01:00 there.
        language: English or Korean.
    """
    use_running_stack()
    from ops.commands import report_actions  # noqa: PLC0415

    report_actions.set_team(team, timezone, language)


@reports.command(name="list")
def list_reports(
    *, team: str | None = None, most: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 50
) -> None:
    """List the newest version of each report, the last days first.

    Args:
        team: Only those of this team.
        most: At most so many.
    """
    use_running_stack()
    from ops.commands import report_actions  # noqa: PLC0415

    report_actions.list_reports(team, most)


@reports.command(name="show")
def show_report(team: str, day: date, /) -> None:
    """Print where a report is: its page, its table, and those of earlier versions.

    Args:
        team: The team's name.
        day: The day that it is about, as 2026-11-23.
    """
    use_running_stack()
    from ops.commands import report_actions  # noqa: PLC0415

    report_actions.show_report(team, day)
