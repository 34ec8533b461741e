"""check-budgets: compare spending with budgets, and open alerts on those that run out or are overspent.

Runs every four hours, for five minutes at most. What to do when it is red: docs/operations.md.
"""

import time

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import BUDGETS_JOB
from sivera.budgets.options import BudgetOptions
from sivera.budgets.summary import CheckSummary, budgets_charts, budgets_page
from tasks.budgets import check_options, check_part, publish_summary
from tasks.job import job
from tasks.pages import show_summary
from tasks.progress import Progress


@job(BUDGETS_JOB, timeout_seconds=300, words=BudgetOptions.words)
def check_budgets(options: BudgetOptions = BudgetOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Check the budgets of each platform and those that teams set.

    A platform that fails does not stop the others, but the run ends Failed. A spent budget is not a failure. Spending
    comes from the last sync of each account. The next check-alerts sends the alerts.
    """
    until = time.monotonic() + options.deadline_seconds
    parts = check_options(options)
    ended: dict[str, State] = {
        part: check_part(part, options, until, return_state=True)
        for part in Progress(BUDGETS_JOB, len(parts)).over(parts)
    }
    summary = CheckSummary.of({part: state.result(raise_on_failure=False) for part, state in ended.items()})
    publish_summary(summary)
    show_summary(BUDGETS_JOB, summary, budgets_page, budgets_charts, return_state=True)
    return (Completed if summary.success else Failed)(message=summary.sentence)
