"""Find the teams with work to do, and write their reports.

A report is read in one snapshot. Its row is written before its files and committed after them. Until then other runs
wait, and after a kill the row is old or missing, so that the next run writes the files again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import find_zone, read_clock
from sivera.errors import SiveraError
from sivera.files import whole_file
from sivera.reports import coverage, queries, rules
from sivera.reports.figures import Line, Report, Section, to_section
from sivera.reports.options import ReportOptions
from sivera.reports.page import render
from sivera.reports.rules import AccountFacts, MissingAccount, Unreported
from sivera.reports.spreadsheet import to_csv
from sivera.reports.summary import DueTeam, ReportPlan, TeamReports
from sivera.teams.queries import check_teams

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class NotKeptError(SiveraError):
    """A file could not be written to the storage for reports, or could not be deleted from it."""


@dataclass(frozen=True)
class ReportDependencies:
    """What reports need from outside: the database, its clock, and storage for files."""

    engine: Engine
    files: "AbstractFileSystem"
    now: Callable[[Session], datetime] = read_clock


def plan_reports(session: Session, options: ReportOptions, now: datetime) -> ReportPlan:
    """Find the teams that a run works for. Raise ConfigurationError for an unknown team."""
    check_teams(session, options.teams)
    # In zones behind UTC the last day due is up to two days ago.
    since = now.date() - timedelta(days=options.make_up_days + 2)
    due, failures = [], {}
    for row in queries.teams_with_reported_days(session, options.teams, since):
        team: dict[str, Any] = dict(row)
        first_day, reported = team.pop("first_day"), team.pop("reported")
        zone = find_zone(team["timezone"])
        if zone is None:
            failures[team["name"]] = (
                f"its time zone '{team['timezone']}' is unknown: set another with `sivera teams set --timezone`"
            )
        elif first_day:
            latest = rules.latest_due_day(now, zone)
            restates = options.check_restated or team["restated_through"] != latest
            days = rules.days_to_write(latest, first_day, reported, options.make_up_days)
            if days or restates:
                due.append(DueTeam(**team, latest=latest, days=days, restates=restates))
    return ReportPlan(due=tuple(due), failures=failures)


def write_reports(deps: ReportDependencies, team: DueTeam, until: float) -> TeamReports:
    """Write a team's missing reports, the oldest first. Start none after the monotonic time `until`.

    Raises:
        NotKeptError: A file could not be written. Reports written before stay.
    """
    written, left = _write_all(deps, team, team.days, until)
    return TeamReports(team=team, reports=written, left=left)


def revise_reports(deps: ReportDependencies, team: DueTeam, until: float) -> TeamReports:
    """Rewrite a team's reports with changed figures, the oldest first, then note that all of them agree.

    Raises:
        NotKeptError: A file could not be written. Reports written before stay.
    """
    if time.monotonic() >= until:
        return TeamReports(team=team, left=True)
    written, left = _write_all(deps, team, _changed_days(deps, team), until)
    if not left:
        with Session(deps.engine) as session, session.begin():
            queries.note_restated(session, team.id, team.latest)
    return TeamReports(team=team, revised=written, left=left)


def _changed_days(deps: ReportDependencies, team: DueTeam) -> Iterator[date]:
    """Yield the days with reports that no longer agree with the figures."""
    since = team.latest - rules.COMPARED
    with Session(deps.engine) as session:
        now = deps.now(session)
        accounts = queries.accounts_of_team(session, team.id, now)
        written = queries.written_digests(session, team.id, since, team.latest)
        digests = queries.day_digests(session, team.id, rules.compared_since(since), team.latest)
        unreported = queries.unreported_campaigns(session, team.id)
    for day, digest in written.items():
        missing = rules.missing_accounts(accounts, day, now)
        if digest != coverage.digest(day, digests, accounts, missing, unreported):
            yield day


def _write_all(
    deps: ReportDependencies, team: DueTeam, days: Iterable[date], until: float
) -> tuple[tuple[date, ...], bool]:
    """Return the days that were written, and whether the deadline came before the end."""
    written: list[date] = []
    for day in days:
        if time.monotonic() >= until:
            return tuple(written), True
        if _write(deps, team, day):
            written.append(day)
    return tuple(written), False


def _write(deps: ReportDependencies, team: DueTeam, day: date) -> bool:
    """Write a report in place of the old one. Return False if another run has written the same."""
    report, now = _read_report(deps, team, day)
    page = render(report, now.astimezone(ZoneInfo(team.timezone)), team.language).encode()
    contents = zip(rules.paths(team.id, day), (page, to_csv(report)), strict=True)
    with Session(deps.engine) as session, session.begin():
        is_new = queries.record_report(session, team.id, day, report.digest, len(report.missing))
        if is_new:
            for path, content in contents:
                _put(deps.files, path, content)
    return is_new


def _put(files: "AbstractFileSystem", path: str, content: bytes) -> None:
    try:
        with whole_file(files, path) as file:
            file.write(content)
    except Exception as error:  # noqa: BLE001 - file systems raise errors of their own, whose texts may hold keys
        raise NotKeptError(
            f"the report could not be stored as {path} ({type(error).__name__}): check that the location in the block "
            "storage/reports exists and has room"
        ) from None


def delete_files(files: "AbstractFileSystem", team_id: int) -> None:
    """Delete all files of a team's reports. Raise NotKeptError if that fails."""
    folder = rules.folder(team_id)
    try:
        if files.exists(folder):
            files.rm(folder, recursive=True)
    except Exception as error:  # noqa: BLE001 - as above
        raise NotKeptError(
            f"the reports in {folder} could not be deleted ({type(error).__name__}): check that the location in the "
            "block storage/reports exists and that files can be deleted from it"
        ) from None


def _read_report(deps: ReportDependencies, team: DueTeam, day: date) -> tuple[Report, datetime]:
    """Read the content of a team's report on a day, and the time of reading."""
    # One snapshot, so that the digest matches the figures even while a sync writes.
    with (
        deps.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        Session(connection) as session,
    ):
        now = deps.now(session)
        accounts = queries.accounts_of_team(session, team.id, now)
        digests = queries.day_digests(session, team.id, rules.compared_since(day), day)
        unreported = queries.unreported_campaigns(session, team.id)
        lines = queries.read_lines(session, team.id, day)
        points = queries.daily_sums(session, team.id, day)
    missing = rules.missing_accounts(accounts, day, now)
    report = Report(
        team=team.name,
        timezone=team.timezone,
        day=day,
        digest=coverage.digest(day, digests, accounts, missing, unreported),
        sections=_sections(lines, accounts, day, missing, tuple(rules.running(unreported, day))),
        points=tuple(points),
        missing=missing,
        late=coverage.late_accounts(accounts, day),
        meta_conversion=team.meta_conversion,
    )
    return report, now


def _sections(
    lines: Mapping[str, list[Line]],
    accounts: Sequence[AccountFacts],
    day: date,
    missing: Sequence[MissingAccount],
    unreported: Sequence[Unreported],
) -> tuple[Section, ...]:
    """Add up the lines of each currency, and mark how much of the figures is known."""
    states, gaps = coverage.states_of(accounts, day, missing), coverage.gaps(accounts, day, missing)
    sections = []
    for currency in sorted(lines.keys() | {one.currency for one in unreported}):
        found = lines.get(currency, [])
        with_figures = {(line.account_id, line.campaign_id) for line in found}
        found += [
            Line(*one[:5], is_reported=False)
            for one in unreported
            if one.currency == currency and (one.account_id, one.campaign_id) not in with_figures
        ]
        known = [line.marked(states[line.account_id]) for line in found if line.account_id is not None]
        has_lines = {line.account_id for line in known}
        quiet = [
            Line(one.platform, one.id, one.name).marked(states[one.id])
            for one in accounts
            if one.is_active
            and one.currency == currency
            and one.id not in has_lines
            and coverage.is_partial(states[one.id])
        ]
        sections.append(to_section(currency, known, quiet, gaps.get(currency, ())))
    return tuple(sections)
