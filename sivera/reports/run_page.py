"""The page of a run of generate-reports: its figures, its failures, and a picture of the reports of the last days."""

from sqlalchemy.orm import Session

from sivera import chart_queries as queries
from sivera import pages
from sivera.reports.summary import ReportSummary

DAYS = 14
OUTCOMES = {"first version": "#0072b2", "restated": "#56b4e9", "incomplete": "#e69f00"}
"""Of the newest version of a report; one that lacks an account is incomplete, restated or not."""


def reports_page(job: str, summary: ReportSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    columns = ("teams", "reports", "new versions", "teams put off", "teams failed")
    counts = (summary.teams, summary.reports, summary.versions, summary.put_off, len(summary.failures))
    written = [(team.team.name, one.day, one.version) for team in summary.written for one in team.written]
    failures = [(one.team, one.reason) for one in summary.failures]
    return pages.page(
        job,
        summary.sentence,
        pages.table(columns, [counts]),
        *pages.listing("Written", ["team", "day", "version"], written, f"{job}-list"),
        *pages.listing("Failed", ["team", "reason"], failures, f"{job}-failures"),
        *charts,
    )


def reports_charts(session: Session) -> list[str]:
    """Draw how many teams have a report on each of the last days, and which kind of one."""
    counts = {(f"{day:%m-%d}", outcome): count for day, outcome, count in queries.reports_by_outcome(session, DAYS)}
    days = list(dict.fromkeys(day for day, _ in counts))
    return [pages.bars("Reports by the day that they are on", counts, bar=days, part=OUTCOMES, count="teams")]
