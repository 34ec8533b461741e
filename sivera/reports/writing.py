"""The reports of one team: read in one snapshot, written as files, and then as a row.

The row of a version is inserted first and committed last: meanwhile its key keeps every other run from writing the same
files, and a process that is killed on the way leaves files without a row, which the next run writes again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fsspec import AbstractFileSystem
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import utc_now
from sivera.reports import queries, rules
from sivera.reports.figures import to_section
from sivera.reports.keeping import put_whole
from sivera.reports.page import render
from sivera.reports.report import Made, Point, Report
from sivera.reports.spreadsheet import to_csv
from sivera.reports.summary import DueTeam, TeamReports, Written
from sivera.values import PlatformName

COMPARED_DAYS = 31
"""The longest that a report looks back: from the end of a month to its beginning, or by a week."""


@dataclass(frozen=True)
class ReportDependencies:
    """What reports need from outside: the database, a place for files, the time, and a clock that never goes back."""

    engine: Engine
    files: AbstractFileSystem
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic


def write_reports(deps: ReportDependencies, team: DueTeam, until: float) -> TeamReports:
    """Write the reports that a team lacks, the oldest first.

    Args:
        deps: What it needs from outside.
        team: The team, and the days that lack a report.
        until: The monotonic time after which no report is begun.

    Raises:
        NotKeptError: A file could not be written; what was written before stays.
    """
    with Session(deps.engine) as session:
        # Another run, or an earlier attempt of this one, may have written some since they were looked for.
        reported = queries.newest_versions(session, team.id, min(team.days))
    return _write_all(deps, team, [(day, 1) for day in team.days if day not in reported], until)


def restate_reports(deps: ReportDependencies, team: DueTeam, until: float) -> TeamReports:
    """Write new versions of a team's reports whose figures changed, the oldest first; note that they agree then.

    Args:
        deps: What it needs from outside.
        team: The team.
        until: The monotonic time after which no version is begun.

    Raises:
        NotKeptError: A file could not be written; what was written before stays.
    """
    if deps.monotonic() >= until:
        return TeamReports(team=team, left=True)
    done = _write_all(deps, team, _restated(deps, team), until)
    if not done.left:
        with Session(deps.engine) as session, session.begin():
            queries.note_restated(session, team.id, team.latest)
    return done


def _restated(deps: ReportDependencies, team: DueTeam) -> Iterator[tuple[date, int]]:
    """Yield the days whose reports do not agree with the figures any more, with the versions they get."""
    with Session(deps.engine) as session:
        accounts = queries.active_accounts(session, team.id)
        platforms = [account.platform for account in accounts]
        since = rules.restated_since(team.latest, platforms, team.restated_through)
        versions = queries.newest_versions(session, team.id, since)
        digests = queries.day_digests(session, team.id, since - timedelta(days=COMPARED_DAYS), team.latest)
        outstanding = queries.outstanding_reports(session, team.id)
    for day in sorted(day for day in versions if day <= team.latest):
        missing = rules.missing_accounts(accounts, outstanding, digests, day, deps.now())
        if versions[day].checksum != rules.checksum(day, digests, missing):
            yield day, versions[day].version + 1


def _write_all(deps: ReportDependencies, team: DueTeam, days: Iterable[tuple[date, int]], until: float) -> TeamReports:
    written: list[Written] = []
    for day, version in days:
        if deps.monotonic() >= until:
            return TeamReports(team=team, written=tuple(written), left=True)
        if one := _write(deps, team, day, version):
            written.append(one)
    return TeamReports(team=team, written=tuple(written))


def _write(deps: ReportDependencies, team: DueTeam, day: date, version: int) -> Written | None:
    """Write a version; None where another run has."""
    report = read_report(deps, team, day)
    html_path, csv_path = rules.paths(team.id, day, version)
    made = Made(at=deps.now().astimezone(ZoneInfo(team.timezone)), version=version)
    page, table = render(report, made, team.language).encode(), to_csv(report)
    with Session(deps.engine) as session, session.begin():
        added = queries.add_version(
            session,
            team.id,
            day,
            version,
            checksum=report.checksum,
            paths=(html_path, csv_path),
            summary=report.summary(),
        )
        if not added:
            return None
        put_whole(deps.files, html_path, page)
        put_whole(deps.files, csv_path, table)
    return Written(day=day, version=version, html_path=html_path, csv_path=csv_path)


def read_report(deps: ReportDependencies, team: DueTeam, day: date) -> Report:
    """Read what a team's report on a day says."""
    # One snapshot, so that the checksum is that of the figures beside it, also while a sync writes.
    with (
        deps.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        Session(connection) as session,
    ):
        accounts = queries.active_accounts(session, team.id)
        digests = queries.day_digests(session, team.id, day - timedelta(days=COMPARED_DAYS), day)
        outstanding = queries.outstanding_reports(session, team.id)
        lines = queries.campaign_lines(session, team.id, day)
        sums = queries.daily_sums(session, team.id, day)
    missing = rules.missing_accounts(accounts, outstanding, digests, day, deps.now())
    return Report(
        team_id=team.id,
        team=team.name,
        timezone=team.timezone,
        day=day,
        checksum=rules.checksum(day, digests, missing),
        sections=tuple(to_section(currency, lines[currency]) for currency in sorted(lines)),
        points=tuple(
            Point(
                currency=row.currency,
                day=row.day,
                platform=PlatformName(row.platform),
                spend=row.spend,
                conversions=row.conversions,
            )
            for row in sums
        ),
        missing=missing,
        zones={account.id: account.timezone for account in accounts},
    )
