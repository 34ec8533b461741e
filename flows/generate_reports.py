"""generate-reports: write each team's daily report once the day has ended in the team's time zone.

Runs three times an hour. A report is due at 01:00 in the team's time zone. What to do when it is red:
docs/operations.md.
"""

import time
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import REPORTS_JOB
from sivera.reports.options import ReportOptions
from sivera.reports.summary import ReportTally, reports_charts, reports_page
from tasks import resources
from tasks.job import job
from tasks.mapping import work_off
from tasks.pages import show_summary
from tasks.reports import plan, publish_summary, revise_reports, write_reports

THREADS = 8
"""Teams processed at the same time: some draw and write while others wait for queries and storage."""


@job(REPORTS_JOB, timeout_seconds=600, words=ReportOptions.words, threads=THREADS)
def generate_reports(options: ReportOptions = ReportOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Write every team's due reports, including those of missed days, and then revise earlier ones.

    Every due report is written before any older one is revised. One team's failure does not stop the others, but the
    run ends Failed.
    """
    until = time.monotonic() + options.deadline_seconds
    resources.breaker().stop_at(until)
    limits: dict[str, Any] = {"threads": THREADS, "at_once": options.batch_size, "until": until, "deadline": until}
    found = plan(options)
    tally = ReportTally(found)
    work_off(REPORTS_JOB, write_reports, found.lacking, tally.add, **limits)
    work_off(REPORTS_JOB, revise_reports, tally.restating(), tally.add, **limits)
    summary = tally.summary()
    publish_summary(summary)
    show_summary(REPORTS_JOB, summary, reports_page, reports_charts, return_state=True)
    ended = Failed if summary.failures else Completed
    return ended(message=summary.sentence)
