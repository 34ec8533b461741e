"""The steps of generate-reports."""

import logging
from collections.abc import Callable, Iterator

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from sqlalchemy.orm import Session

from blocks.names import REPORTS_JOB
from sivera.clock import utc_now
from sivera.logs import log
from sivera.reasons import reason_for
from sivera.reports import writing
from sivera.reports.options import ReportOptions
from sivera.reports.plan import plan_reports
from sivera.reports.summary import DueTeam, ReportPlan, ReportSummary, TeamReports
from sivera.reports.writing import ReportDependencies
from tasks import resources
from tasks.announcing import announce
from tasks.failures import OF_ONE_ITEM, failed, is_tried_again
from tasks.pages import show_table

logger = logging.getLogger("sivera.reports")


@task(name="plan-reports", task_run_name="plan-reports", cache_policy=NO_CACHE)
def plan(options: ReportOptions) -> ReportPlan:
    """Find the teams that lack reports, and those whose reports to restate, once the place for reports is known."""
    resources.report_dependencies()
    with Session(resources.engine()) as session:
        return plan_reports(session, options, utc_now())


@task(name="write-reports", task_run_name="{team.name}", **OF_ONE_ITEM)
def write_reports(team: DueTeam, deadline: float) -> TeamReports | State:
    """Write the reports that a team lacks."""
    return _ended(writing.write_reports, team, deadline)


@task(name="restate-reports", task_run_name="{team.name}", **OF_ONE_ITEM)
def restate_reports(team: DueTeam, deadline: float) -> TeamReports | State:
    """Write new versions of a team's reports whose figures changed."""
    return _ended(writing.restate_reports, team, deadline)


def _ended(
    step: Callable[[ReportDependencies, DueTeam, float], TeamReports], team: DueTeam, deadline: float
) -> TeamReports | State:
    try:
        result = step(resources.report_dependencies(), team, deadline)
    except Exception as error:
        if is_tried_again(error):
            raise
        _log(logging.WARNING, "Team failed", team, reason=reason_for(error))
        return failed(error)
    versions = [one.version for one in result.written]
    first = versions.count(1)
    _log(logging.INFO, "Team ended", team, reports=first, versions=len(versions) - first, put_off=result.left)
    return result


def _log(level: int, message: str, team: DueTeam, **fields: object) -> None:
    log(logger, level, message, team_id=team.id, team=team.name, **fields)


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: ReportSummary) -> None:
    """Show where the reports are, and who has none, and tell the world by an event."""
    place = resources.report_storage().url.rstrip("/")
    table = list(_rows(summary, place))
    if table:
        create_link_artifact(
            key="generate-reports-place",
            link=table[0]["page"] if len(table) == 1 else place,
            link_text="The report" if len(table) == 1 else "The place of the reports",
            description=summary.sentence,
        )
    show_table("generate-reports-list", f"{summary.sentence}.", table, all_of_them="sivera reports list --most 10000")
    failures = [failure.model_dump() for failure in summary.failures]
    show_table("generate-reports-failures", f"{len(failures)} teams failed.", failures)
    announce(
        REPORTS_JOB,
        success=not summary.failures,
        processed=summary.teams - summary.put_off,
        failed=len(summary.failures),
        reports=summary.reports,
        versions=summary.versions,
        putOff=summary.put_off,
    )


def _rows(summary: ReportSummary, place: str) -> Iterator[dict[str, str]]:
    for team in summary.written:
        for one in team.written:
            yield {
                "team": team.team.name,
                "day": one.day.isoformat(),
                "version": str(one.version),
                "page": f"{place}/{one.html_path}",
                "table": f"{place}/{one.csv_path}",
            }
