"""The steps of check-budgets."""

from uuid import UUID

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run, task_run
from prefect.states import Failed
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from blocks.server import links
from sivera.budgets import checking
from sivera.budgets.options import BudgetOptions
from sivera.budgets.summary import TEAMS, Checked, CheckSummary, budget_row
from sivera.database_errors import sentence
from sivera.teams.queries import check_teams
from sivera.values import PlatformName
from tasks import resources
from tasks.announcing import announce
from tasks.events import notify_all
from tasks.naming import step, tag_task_run
from tasks.pages import show_table

RETRIES = 1


@step("check-options")
def check_options(options: BudgetOptions) -> list[str]:
    """Refuse unknown teams, and return the parts to check: platforms, and the budgets that teams set."""
    with Session(resources.engine()) as session:
        check_teams(session, options.teams)
    return [*(options.platforms or PlatformName), TEAMS]


@step("check-part", "{part}", retries=RETRIES, retry_delay_seconds=2)
def check_part(part: str, options: BudgetOptions, until: float) -> Checked | State:
    """Check the budgets of a platform's accounts, or those that teams set."""
    try:
        if part != TEAMS:
            tag_task_run(part)
        link = links().run(UUID(flow_run.id))
        return checking.check_part(resources.engine(), options, part, until, link=link, send_events=notify_all)
    except SQLAlchemyError as error:
        if isinstance(error, OperationalError) and task_run.run_count <= RETRIES:
            raise
        return Failed(message=f"{sentence(error)}; the next run checks it", data=error)


@step("publish-summary")
def publish_summary(summary: CheckSummary) -> None:
    """Show the budgets that are spent furthest and those not judged as tables, and announce the result."""
    total = summary.total
    furthest = f"The budgets that are spent furthest: {len(total.worst)} of {total.budgets:,}."
    show_table("check-budgets-budgets", furthest, [budget_row(one) for one in total.worst])
    failures = [{"subject": subject, "reason": reason} for subject, reason in total.failures.items()]
    not_judged = failures + [{"subject": subject, "reason": reason} for subject, reason in total.unreported.items()]
    show_table("check-budgets-failures", f"Budgets and accounts that were not judged: {len(not_judged)}.", not_judged)
    announce(
        success=summary.success,
        processed=total.budgets,
        failed=len(total.failures) + len(summary.failed),
        opened=total.opened,
        closed=total.closed,
        stale=total.stale,
        putOff=summary.put_off,
        failures=failures,
    )
