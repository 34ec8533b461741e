"""The steps of check-alerts."""

import logging
from datetime import UTC

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from blocks.alert_messages import find_refusals
from blocks.names import ALERTS_JOB
from blocks.server import connect
from sivera.alerts import checking, resending
from sivera.alerts.checking import CheckSummary
from sivera.alerts.options import AlertOptions
from sivera.alerts.queries import list_open
from sivera.clock import utc_now
from tasks import resources
from tasks.announcing import announce
from tasks.pages import show_table

logger = logging.getLogger("sivera.alerts")


@task(name="check", task_run_name="check", cache_policy=NO_CACHE)
def check(options: AlertOptions, *, is_complete: bool) -> CheckSummary:
    """Open an alert for what began, and close those of what is over."""
    return checking.check_alerts(resources.alert_dependencies(), options, is_complete=is_complete)


@task(name="send-again", task_run_name="send-again", cache_policy=NO_CACHE)
def send_again() -> int:
    """Leave what a service did not take in the outbox, for that channel alone; return how many messages that are."""
    with connect() as client:
        refusals = find_refusals(client, utc_now() - 2 * resending.LONGEST_WAIT)
    count = resending.send_again(resources.engine(), refusals)
    if count:
        logger.warning("Messages that were not taken and are sent again: %s. See `sivera alerts list`", count)
    return count


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CheckSummary, *, success: bool) -> None:
    """Show what is open as a table, and tell the world that somebody looked, and whether at everything."""
    with Session(resources.engine()) as session:
        rows = [
            {
                "since (UTC)": f"{alert.since.astimezone(UTC):%Y-%m-%d %H:%M}",
                "kind": alert.kind,
                "title": alert.title,
                "link": alert.link,
            }
            for alert in list_open(session)
        ]
    # Of 288 runs a day hardly one finds something else than the one before: the others leave no version of the table.
    show_table(
        "check-alerts-open", f"{len(rows)} alerts are open.", rows, all_of_them="sivera alerts list", if_changed=True
    )
    announce(
        ALERTS_JOB,
        success=success,
        processed=summary.still_open,
        failed=0,
        opened=len(summary.opened),
        closed=len(summary.closed),
    )
