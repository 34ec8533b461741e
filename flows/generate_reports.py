"""generate-reports: write each team's report on the day that has ended where the team is.

Runs three times an hour, and finds work where it is past 01:00. What to do when it is red: docs/operations.md.
"""

import time
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import REPORTS_JOB
from sivera.reports.options import ReportOptions
from sivera.reports.run_page import reports_charts, reports_page
from sivera.reports.summary import ReportTally
from tasks import resources
from tasks.job import job
from tasks.mapping import work_off
from tasks.pages import show_summary
from tasks.reports import plan, publish_summary, restate_reports, write_reports

THREADS = 8
"""Teams that are worked on at the same moment: to draw and write is work for one core, to ask and keep is waiting."""


@job(REPORTS_JOB, timeout_seconds=600, words=ReportOptions.words, threads=THREADS)
def generate_reports(options: ReportOptions = ReportOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Write the reports of every team whose day has ended, those of missed days first; then restate earlier ones.

    No team waits for its report until those of others are restated. One team's failure never stops the others, and
    never leaves the run green. A second run beside this one ends Cancelled; a report has one row for each version, so
    that two runs could not write it twice either.
    """
    until = time.monotonic() + options.deadline_seconds
    resources.breaker().stop_at(until)
    limits: dict[str, Any] = {"threads": THREADS, "at_once": options.batch_size, "until": until, "deadline": until}
    found = plan(options)
    tally = ReportTally(found)
    work_off(REPORTS_JOB, write_reports, found.lacking, tally, **limits)
    work_off(REPORTS_JOB, restate_reports, tally.restating(), tally, **limits)
    summary = tally.summary()
    publish_summary(summary)
    show_summary(REPORTS_JOB, summary, reports_page, reports_charts, return_state=True)
    ended = Failed if summary.failures else Completed
    return ended(message=summary.sentence)
