"""cleanup-expired-tokens: delete expired OAuth states and sessions, and old records of the jobs.

Runs once a day, for a minute at most. What to do when it is red: docs/operations.md.
"""

import time

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import CLEANUP_JOB
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.page import cleanup_charts, cleanup_page
from sivera.retention.rules import CleanupSummary
from tasks.job import job
from tasks.pages import show_summary
from tasks.progress import Progress
from tasks.retention import clean, plan, publish_summary


@job(CLEANUP_JOB, timeout_seconds=60, words=CleanupOptions.words)
def cleanup_expired_tokens(options: CleanupOptions = CleanupOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Delete expired rows, kind by kind, children before parents.

    The next run continues where this one runs out of time. If a kind fails or is refused, the others continue and the
    run ends Failed. Grants are never deleted: an expired access token can be renewed while its refresh token works.
    """
    end = time.monotonic() + options.deadline_seconds
    found = plan(options)
    ended = {kind: clean(found, kind, end, return_state=True) for kind in Progress(CLEANUP_JOB, len(Kind)).over(Kind)}
    results = {kind: state.result(raise_on_failure=False) for kind, state in ended.items()}
    summary = CleanupSummary.of(found, results)
    publish_summary(summary)
    show_summary(CLEANUP_JOB, summary, cleanup_page, cleanup_charts, return_state=True)
    return (Failed if summary.failures else Completed)(message=summary.sentence)
