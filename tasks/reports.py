"""The steps of generate-reports."""

import logging
from collections.abc import Callable

from prefect.artifacts import create_link_artifact
from prefect.client.schemas.objects import State
from sqlalchemy.orm import Session

from blocks.names import REPORTS
from blocks.storage import Storage, load_storage
from sivera.clock import read_clock
from sivera.logs import log
from sivera.reports import writing
from sivera.reports.options import ReportOptions
from sivera.reports.rules import paths
from sivera.reports.summary import DueTeam, ReportPlan, ReportSummary, TeamReports
from sivera.reports.writing import ReportDependencies, plan_reports
from sivera.units import counted
from tasks import resources
from tasks.announcing import announce
from tasks.failures import RETRIED, end_attempt
from tasks.naming import step
from tasks.pages import show_table

logger = logging.getLogger("sivera.reports")


@resources.once
def _storage() -> Storage:
    return load_storage(REPORTS)


@resources.once
def _deps() -> ReportDependencies:
    return ReportDependencies(resources.engine(), _storage().get_filesystem())


@step("plan-reports")
def plan(options: ReportOptions) -> ReportPlan:
    """Open the storage of the reports, and find the teams with reports to write or to compare."""
    _deps()
    with Session(resources.engine()) as session:
        return plan_reports(session, options, read_clock(session))


@step("write-reports", "{team.name}", **RETRIED)
def write_reports(team: DueTeam, deadline: float) -> TeamReports | State:
    """Write a team's missing reports."""
    return _run(writing.write_reports, team, deadline)


@step("revise-reports", "{team.name}", **RETRIED)
def revise_reports(team: DueTeam, deadline: float) -> TeamReports | State:
    """Write a team's reports again if their figures changed."""
    return _run(writing.revise_reports, team, deadline)


def _run(
    step: Callable[[ReportDependencies, DueTeam, float], TeamReports], team: DueTeam, deadline: float
) -> TeamReports | State:
    try:
        result = step(_deps(), team, deadline)
    except Exception as error:  # noqa: BLE001 - what is not ours is raised again
        return end_attempt(error, logger, "Team failed", team_id=team.id, team=team.name)
    counts = {"reports": len(result.reports), "revised": len(result.revised), "put_off": result.left}
    log(logger, logging.INFO, "Team ended", team_id=team.id, team=team.name, **counts)
    return result


@step("publish-summary")
def publish_summary(summary: ReportSummary) -> None:
    """Show where the reports are and which teams failed, and announce the result."""
    place = _storage().url.rstrip("/")
    table = [
        {"team": team.team.name, "day": day.isoformat(), "page": f"{place}/{page}", "table": f"{place}/{table}"}
        for team in summary.written
        for day in (*team.reports, *team.revised)
        for page, table in [paths(team.team.id, day)]
    ]
    if table:
        create_link_artifact(
            key="generate-reports-place",
            link=table[0]["page"] if len(table) == 1 else place,
            link_text="The report" if len(table) == 1 else "The place of the reports",
            description=summary.sentence,
        )
    show_table("generate-reports-list", f"{summary.sentence}.", table, all_of_them="sivera reports list --most 10000")
    failures = [{"team": team, "reason": reason} for team, reason in summary.failures.items()]
    show_table("generate-reports-failures", f"{counted(len(failures), 'team')} failed.", failures)
    announce(
        success=not summary.failures,
        processed=summary.teams - summary.put_off,
        failed=len(summary.failures),
        reports=summary.reports,
        revised=summary.revised,
        putOff=summary.put_off,
    )
