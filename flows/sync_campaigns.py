"""sync-campaigns: copy the campaigns and daily metrics of every ad account into the database.

Runs hourly (what changed, and the last days) and once a day in full. What to do when it is red: docs/operations.md.
"""

import time

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from blocks.names import SYNC_JOB, lock_name
from sivera.clock import utc_now
from sivera.sync.options import SyncOptions
from sivera.sync.page import sync_charts, sync_page
from sivera.sync.summary import SyncTally
from sivera.values import PlatformName
from tasks import resources
from tasks.announcing import TOLD
from tasks.campaigns import plan, publish_summary, sync_account
from tasks.mapping import work_off
from tasks.naming import named
from tasks.outbox import publish_events
from tasks.overlap import AnotherInstanceError, only_instance
from tasks.pages import show_summary
from tasks.staleness import overtaken

TIMEOUT_SECONDS = 300
"""The backstop; a run stops by itself at its options' deadline."""


@flow(
    name=SYNC_JOB,
    flow_run_name=named(SYNC_JOB, SyncOptions.words),
    task_runner=ThreadPoolTaskRunner(max_workers=resources.THREADS),  # type: ignore[arg-type]
    timeout_seconds=TIMEOUT_SECONDS,
    **TOLD,
)
def sync_campaigns(options: SyncOptions = SyncOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Copy campaigns and daily metrics of every due ad account into the database.

    One account's failure never stops the others, and never leaves the run green. A second run beside this one ends
    Cancelled; a run of single accounts may go beside it, because an older fetch never overwrites a newer one.
    """
    if late := overtaken():
        return late
    until = time.monotonic() + options.deadline_seconds
    resources.breaker().stop_at(until)
    started_at = utc_now()
    locks = [] if options.account_ids else [lock_name(SYNC_JOB, p) for p in options.platforms or PlatformName]
    try:
        with only_instance(locks):
            found = plan(options)
            tally = SyncTally(options.mode, found)
            work_off(
                SYNC_JOB,
                sync_account,
                found.due,
                tally,
                threads=resources.THREADS,
                at_once=options.batch_size,
                until=until,
                mode=options.mode,
                lookback_days=options.lookback_days,
            )
            summary = tally.summary()
            publish_summary(summary, started_at)
            publish_events()
            show_summary(SYNC_JOB, summary, sync_page, sync_charts, return_state=True)
    except AnotherInstanceError as error:
        return Cancelled(message=str(error))
    ended = Failed if summary.failed else Completed
    return ended(message=summary.sentence)
