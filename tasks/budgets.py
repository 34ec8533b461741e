"""The steps of check-budgets."""

from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run, task_run
from prefect.states import Failed
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from blocks.names import BUDGETS_JOB
from blocks.server import links
from sivera.budgets import checking
from sivera.budgets.options import BudgetOptions
from sivera.budgets.summary import TEAMS, Checked, CheckSummary, budget_row
from sivera.database_errors import sentence
from sivera.teams.queries import check_teams
from sivera.values import PlatformName
from tasks import resources
from tasks.announcing import announce
from tasks.events import send_alert_events
from tasks.naming import tag_task_run
from tasks.pages import show_table

RETRIES = 1
OF_A_PART: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": 2,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(name="check-options", task_run_name="check-options", cache_policy=NO_CACHE)
def check_options(options: BudgetOptions) -> list[str]:
    """Refuse unknown teams, and return what to check."""
    with Session(resources.engine()) as session:
        check_teams(session, options.teams)
    return [*(options.platforms or PlatformName), TEAMS]


@task(task_run_name="{part}", **OF_A_PART)
def check_part(part: str, options: BudgetOptions, until: float) -> Checked | State:
    """Check the budgets of a platform's accounts, or those that teams set."""
    try:
        if part != TEAMS:
            tag_task_run(part)
        run = flow_run.id
        link = links().run(UUID(run)) if run else ""
        return checking.check_part(resources.engine(), options, part, until, link=link, send_events=send_alert_events)
    except SQLAlchemyError as error:
        if isinstance(error, OperationalError) and task_run.run_count <= RETRIES:
            raise
        return Failed(message=f"{sentence(error)}; the next run checks it", data=error)


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CheckSummary) -> None:
    """Show what the run found as tables, and announce it."""
    total = summary.total
    furthest = f"Of {total.budgets:,} budgets the {len(total.worst)} that are spent furthest."
    show_table("check-budgets-budgets", furthest, [budget_row(one) for one in total.worst])
    failures = [{"subject": subject, "reason": reason} for subject, reason in total.failures.items()]
    unknown = [{"subject": subject, "reason": reason} for subject, reason in total.unreported.items()]
    not_judged = [*failures, *unknown]
    show_table("check-budgets-failures", f"{len(not_judged)} budgets or accounts were not judged.", not_judged)
    announce(
        BUDGETS_JOB,
        success=summary.success,
        processed=total.budgets,
        failed=len(total.failures) + len(summary.failed),
        opened=total.opened,
        closed=total.closed,
        stale=total.stale,
        putOff=summary.put_off,
        failures=failures,
    )
