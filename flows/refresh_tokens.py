"""refresh-tokens: renew every grant before its token ends, so that no team's accounts stop syncing.

Runs every six hours. What to do when it is red: docs/operations.md.
"""

import time
from collections.abc import Sequence

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import REFRESH_JOB, lock_name
from sivera.grants.page import refresh_charts, refresh_page
from sivera.grants.refreshing import RefreshOptions, RefreshTally
from sivera.values import PlatformName
from tasks import resources
from tasks.job import job
from tasks.mapping import work_off
from tasks.pages import show_summary
from tasks.staleness import overtaken
from tasks.tokens import judge_failures, plan, publish_summary, renew_grant

THREADS = 10
"""Grants renewed at the same time. At the usual 150 ms a call, the Prefect server can just record that many.

With 12, a busy server fell behind: see benchmarks/README.md.
"""


@job(
    REFRESH_JOB,
    timeout_seconds=300,
    locks=lambda options: [lock_name(REFRESH_JOB, platform) for platform in options.platforms or PlatformName],
    words=RefreshOptions.words,
    threads=THREADS,
    skip=overtaken,
)
def refresh_tokens(options: RefreshOptions = RefreshOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Renew every grant that is due, starting with those that expire first.

    One grant's failure does not stop the others, but the run ends Failed. A sync may run at the same time: only the
    holder of a grant's lease renews it.
    """
    until = time.monotonic() + options.deadline_seconds
    resources.breaker().stop_at(until)
    due = plan(options)
    tally = RefreshTally(due)
    work_off(REFRESH_JOB, renew_grant, due, tally.add, threads=THREADS, at_once=options.batch_size, until=until)
    down: Sequence[PlatformName] = ()
    try:
        down = judge_failures(tally)
    finally:
        summary = tally.summary(down)
        publish_summary(summary)
    show_summary(REFRESH_JOB, summary, refresh_page, refresh_charts, return_state=True)
    return (Completed if summary.success else Failed)(message=summary.sentence)
