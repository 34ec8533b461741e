"""check-alerts: notify people once when something breaks, and once when it works again.

Runs every five minutes. What to do at an alert: docs/operations.md.
"""

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import ALERTS_JOB
from sivera.alerts.options import AlertOptions
from tasks.alerts import check, publish_summary, send_messages
from tasks.job import job


@job(ALERTS_JOB, timeout_seconds=120)
def check_alerts(options: AlertOptions = AlertOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Check every job, grant and account, and send a message for each alert that opened or closed.

    This sends the alerts of check-budgets too. If the jobs cannot be checked or a channel refuses a message, the rest
    is still done and the run ends Failed. If no check succeeds for a while, the watchdog sends a message.
    """
    summary = check(options)
    summary = summary.model_copy(update={"sent": send_messages()})
    publish_summary(summary)
    return (Completed if summary.success else Failed)(message=summary.sentence)
