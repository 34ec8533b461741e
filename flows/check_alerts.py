"""check-alerts: tell people, once, of what began to be wrong, and once more when it is over.

Runs every five minutes. What to do at an alert: docs/operations.md.
"""

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import ALERTS_JOB
from sivera.alerts.options import AlertOptions
from tasks.alerts import check, publish_summary, send_again
from tasks.job import job
from tasks.occurrences import account_for_occurrences
from tasks.outbox import publish_events


@job(ALERTS_JOB, timeout_seconds=120)
def check_alerts(options: AlertOptions = AlertOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Look at every job, grant and account, and leave an event for each alert that begins or is over.

    Automations of the Prefect server turn these events into messages, and one of them tells where no check has ended
    well for a while. Where the scheduled times cannot be accounted for, or refused messages not sent again, all else is
    done, and the run ends Failed.
    """
    accounted: State = account_for_occurrences(return_state=True)
    is_complete = accounted.is_completed()
    summary = check(options, is_complete=is_complete)
    sent: State = send_again(return_state=True)
    publish_events()
    publish_summary(summary, success=is_complete and sent.is_completed())
    said = [summary.sentence]
    if not is_complete:
        said.append(f"the scheduled times were not accounted for: {accounted.message}")
    if not sent.is_completed():
        said.append(f"the messages that were not taken were not sent again: {sent.message}")
    return Failed(message="; ".join(said)) if said[1:] else Completed(message=summary.sentence)
