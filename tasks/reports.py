"""The steps of generate-reports."""

from collections.abc import Callable, Iterator

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from sqlalchemy.orm import Session

from blocks.names import REPORTS_JOB
from sivera.platforms.base import utc_now
from sivera.reports import writing
from sivera.reports.options import ReportOptions
from sivera.reports.plan import plan_reports
from sivera.reports.summary import DueTeam, ReportPlan, ReportSummary, TeamReports
from sivera.reports.writing import ReportEdges
from tasks import resources
from tasks.announcing import announce
from tasks.failures import OF_ONE_ITEM, failed, is_tried_again

MOST_ROWS = 100
"""Of a table in the Prefect UI, which has neither pages nor a limit of its own."""


@task(name="plan-reports", cache_policy=NO_CACHE)
def plan(options: ReportOptions) -> ReportPlan:
    """Find the teams that lack reports, and those whose reports to restate, once the place for reports is known."""
    resources.report_edges()
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
    step: Callable[[ReportEdges, DueTeam, float], TeamReports], team: DueTeam, deadline: float
) -> TeamReports | State:
    try:
        return step(resources.report_edges(), team, deadline)
    except Exception as error:
        if is_tried_again(error):
            raise
        return failed(error)


@task(name="publish-summary", cache_policy=NO_CACHE)
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
    more = f"; the first {MOST_ROWS} of {len(table)} are shown" if len(table) > MOST_ROWS else ""
    create_table_artifact(key="generate-reports-list", description=f"{summary.sentence}{more}", table=table[:MOST_ROWS])
    create_table_artifact(
        key="generate-reports-failures",
        description=f"{len(summary.failures)} teams failed; at most {MOST_ROWS} are shown.",
        table=[failure.model_dump() for failure in summary.failures[:MOST_ROWS]],
    )
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
