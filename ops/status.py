"""`sivera status`: the jobs, grants, accounts, quotas and tables as they are now, for a person or as JSON.

It asks the Prefect server and the database themselves: what it prints is right also where collect-metrics does not run.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from prefect.client.orchestration import SyncPrefectClient
from sqlalchemy.orm import Session

from blocks.server import connect
from ops.session import open_database
from ops.tables import print_table, printable, to_minute
from sivera.grants.rules import WAITING
from sivera.metrics import definitions as of
from sivera.metrics.collecting import measure
from sivera.metrics.definitions import Collection
from sivera.metrics.runs import COMPLETED
from sivera.queries.accounts import ACTIVE
from sivera.queries.alerts import list_open, stale_accounts
from sivera.queries.health import read_clock
from sivera.settings import read_daily_calls
from sivera.values import PlatformName, Value
from tasks.job_runs import JobStatus, job_statuses

STALE = timedelta(hours=3)
"""An account that is synced every hour and was not for so long has missed two runs."""

LITTLE_LEFT = 0.1
LARGEST_TABLES = 8


class Status(Value):
    """How things stand. `attention` says what a person should look at, a sentence each; none where all is well."""

    at: datetime
    attention: tuple[str, ...]
    jobs: tuple[JobStatus, ...]
    figures: Collection


def show_status(*, as_json: bool) -> int:
    """Print how things stand; return 1 where something needs a person, else 0.

    Raises:
        ConfigurationError: The Prefect server or the database does not answer.
    """
    with connect() as client:
        status = read_status(client)
    if as_json:
        sys.stdout.write(f"{status.model_dump_json()}\n")
    else:
        _print(status)
    return 1 if status.attention else 0


def read_status(client: SyncPrefectClient) -> Status:
    """Ask how things stand now."""
    jobs = job_statuses(client)
    with open_database() as engine, Session(engine) as session:
        at = read_clock(session)
        figures = Collection(at=at, samples=tuple(measure(session, read_daily_calls())))
        alerts = len(list_open(session))
        stale = sum(not account.rests for account in stale_accounts(session, STALE))
    return Status(at=at, attention=tuple(_attention(jobs, figures, stale, alerts)), jobs=jobs, figures=figures)


def _attention(jobs: Sequence[JobStatus], figures: Collection, stale: int, alerts: int) -> Iterator[str]:
    for job in jobs:
        if job.last and job.last.outcome != COMPLETED:
            how, why = _words(job.last.outcome), job.message or "no reason"
            yield f"{job.name} {how} at {to_minute(job.last.ended_at)}: {why}"
    to_reconnect = int(sum(count for (_, status), count in figures.values(of.GRANTS).items() if status in WAITING))
    if to_reconnect:
        yield f"{to_reconnect} grants must be connected again: see `sivera credentials list`"
    if alerts:
        yield f"{alerts} alerts are open: see `sivera alerts list`"
    if stale:
        hours = int(STALE.total_seconds() // 3600)
        yield f"{stale} accounts were not synced for {hours} hours: see `sivera accounts list`"
    for (platform, quota), ratio in figures.values(of.QUOTA_LEFT).items():
        if ratio < LITTLE_LEFT:
            yield f"{platform} has {ratio:.0%} left of {_words(quota)}"


def _print(status: Status) -> None:
    write = sys.stdout.write
    write(f"{to_minute(status.at)} UTC: {'look at this' if status.attention else 'nothing needs you'}\n")
    for sentence in status.attention:
        write(f"  ! {printable(sentence)}\n")
    write("\n")
    _table(("job", "last run", "outcome", "took", "began late by", "next"), map(_job_row, status.jobs))
    figures = status.figures
    _table(
        ("platform", "grants", "to reconnect", "accounts", "slow lane", "waiting", "closed"), _connection_rows(figures)
    )
    _table(("platform", "synced: half", "nine of ten", "all", "calls", "throttled", "quota left"), _work_rows(figures))
    _table(("token ends within", *of.EXPIRY_BUCKETS), _expiry_rows(figures))
    _table(("largest tables", "rows, about", "size"), _table_rows(figures))


def _table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    if found := list(rows):
        print_table(columns, found, notes=(), empty="")
        sys.stdout.write("\n")


def _job_row(job: JobStatus) -> Sequence[str]:
    upcoming = to_minute(job.next_at) if job.next_at else "not scheduled"
    if job.last is None:
        return (job.name, "never", "", "", "", upcoming)
    last = job.last
    took, late = _duration(last.duration_seconds), _duration(last.queue_delay_seconds)
    return (job.name, to_minute(last.ended_at), _words(last.outcome), took, late, upcoming)


def _connection_rows(figures: Collection) -> Iterator[Sequence[str]]:
    grants, accounts = figures.values(of.GRANTS), figures.values(of.ACCOUNTS)
    for platform in PlatformName:
        working = grants.get((platform.value, ACTIVE), 0)
        to_reconnect = sum(grants.get((platform.value, status), 0) for status in WAITING)
        states = [accounts.get((platform.value, state), 0) for state in (ACTIVE, "slow_lane", "waiting", "closed")]
        if working or to_reconnect or any(states):
            yield (platform.value, *(f"{count:,.0f}" for count in (working, to_reconnect, *states)))


def _work_rows(figures: Collection) -> Iterator[Sequence[str]]:
    ages, calls, throttles = (figures.values(metric) for metric in (of.SYNC_AGE, of.CALLS, of.THROTTLES))
    quotas = figures.values(of.QUOTA_LEFT)
    for platform in PlatformName:
        name = platform.value
        age = [f"{_duration(seconds)} ago" for labels, seconds in sorted(ages.items()) if labels[0] == name]
        made = sum(count for labels, count in calls.items() if labels[0] == name)
        left = [f"{ratio:.0%} {_words(labels[1])}" for labels, ratio in quotas.items() if labels[0] == name]
        if age or made or left:
            yield (name, *(age or ("", "", "")), f"{made:,.0f}", f"{throttles.get((name,), 0):,.0f}", ", ".join(left))


def _expiry_rows(figures: Collection) -> Iterator[Sequence[str]]:
    found = sorted(figures.values(of.GRANTS_BY_EXPIRY).items())
    for (platform, refresh), of_kind in groupby(found, key=lambda each: each[0][:2]):
        counts = {bucket: value for (_, _, bucket), value in of_kind}
        name = platform if refresh == "yes" else f"{platform}, no refresh token"
        yield (name, *(f"{counts[bucket]:,.0f}" if bucket in counts else "" for bucket in of.EXPIRY_BUCKETS))


def _table_rows(figures: Collection) -> Iterator[Sequence[str]]:
    rows = figures.values(of.TABLE_ROWS)
    largest = sorted(figures.values(of.TABLE_BYTES).items(), key=lambda each: -each[1])
    for labels, size in largest[:LARGEST_TABLES]:
        yield (*labels, f"{rows.get(labels, 0):,.0f}", _size(size))
    yield ("the database", "", _size(figures.values(of.DATABASE_BYTES)[()]))
    age = figures.values(of.BACKUP_AGE).get(())
    yield ("its last verified backup", "", "none" if age is None else f"{_duration(age)} ago")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def _words(text: str) -> str:
    return text.replace("_", " ")
