"""sync-campaigns: copy the campaigns and daily metrics of every ad account into the database.

Runs hourly (what changed, and the last days) and once a day in full. What to do when it is red: docs/operations.md.
"""

import time

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import SYNC_JOB, lock_name
from sivera.sync.page import sync_charts, sync_page
from sivera.sync.plan import SyncOptions
from sivera.sync.tally import DiscoveryTally, SyncTally
from sivera.values import PlatformName
from tasks import resources
from tasks.campaigns import discover_accounts, grants_to_discover, plan, publish_summary, sync_account
from tasks.job import job
from tasks.mapping import work_off
from tasks.pages import show_summary
from tasks.staleness import overtaken

DISCOVERY_SECONDS = 60
"""How long a run may list the accounts of grants. The next run starts with the grants that are left over."""


def _locks(options: SyncOptions) -> list[str]:
    # A run of single accounts needs no lock: older data never overwrites newer data.
    return [] if options.account_ids else [lock_name(SYNC_JOB, one) for one in options.platforms or PlatformName]


@job(
    SYNC_JOB,
    timeout_seconds=300,
    locks=_locks,
    words=SyncOptions.words,
    threads=resources.THREADS,
    skip=overtaken,
)
def sync_campaigns(options: SyncOptions = SyncOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Copy campaigns and daily metrics of every due ad account into the database.

    Once a day each grant's accounts are listed again, to find new ones. One account's failure does not stop the others,
    but the run ends Failed.
    """
    until = time.monotonic() + options.deadline_seconds
    resources.breaker().stop_at(until)
    discovered = DiscoveryTally()
    if grants := grants_to_discover(options):
        work_off(
            SYNC_JOB,
            discover_accounts,
            grants,
            discovered.add,
            threads=resources.THREADS,
            at_once=options.batch_size,
            until=min(until, time.monotonic() + DISCOVERY_SECONDS),
        )
    found = plan(options)
    tally = SyncTally(options.mode, found)
    work_off(
        SYNC_JOB,
        sync_account,
        found.due,
        tally.add,
        threads=resources.THREADS,
        at_once=options.batch_size,
        until=until,
        mode=options.mode,
        lookback_days=options.lookback_days,
        even_resting=bool(options.account_ids),
    )
    summary = tally.summary(discovered)
    publish_summary(summary, found.at)
    # A person waits for a run of single accounts; charts of all accounts would add half a second.
    show_summary(SYNC_JOB, summary, sync_page, None if options.account_ids else sync_charts, return_state=True)
    return (Completed if summary.success else Failed)(message=summary.sentence)
