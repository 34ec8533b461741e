"""`sivera status`: the current state of the jobs, grants, accounts, quotas and tables."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from ops.commands.session import Flag, open_resources, open_session
from ops.commands.tables import print_table, say, say_json, to_minute
from sivera.alerts.checking import OF_JOBS, find_in_data
from sivera.alerts.job_rules import LOOK_BACK, job_conditions
from sivera.alerts.options import DEFAULTS, AlertOptions
from sivera.alerts.queries import list_open
from sivera.clock import read_clock, utc_now
from sivera.history.rules import Occurrence
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection, Sample
from sivera.metrics.queries import measure
from sivera.metrics.rules import JobStatus
from sivera.metrics.tables import Row, tables, words
from sivera.settings import read_daily_calls
from sivera.units import duration
from sivera.values import Value

LITTLE_LEFT = 0.1


class Status(Value):
    """The current state. `attention` has a sentence for each thing that a person should look at."""

    at: datetime
    attention: tuple[str, ...]
    jobs: tuple[JobStatus, ...]
    figures: Collection


def status(*, json: Flag = False, database: Flag = False) -> int:
    """Print the current state; return 1 if something needs attention, otherwise 0.

    Args:
        json: Print one JSON object.
        database: Ask only the database, which takes a second. For jobs, it has the result of the last check-alerts;
            it knows nothing about backups.
    """
    if database:
        with open_session() as session:
            found = _read_status(session)
    else:
        found = _read_all()
    if json:
        say_json(found.model_dump_json())
    else:
        _print(found)
    return 1 if found.attention else 0


def _read_all() -> Status:
    from blocks.deployments import read_alert_options  # noqa: PLC0415
    from blocks.server import connect  # noqa: PLC0415
    from tasks.catalog import last_backup  # noqa: PLC0415
    from tasks.history import read_history  # noqa: PLC0415
    from tasks.job_runs import job_statuses  # noqa: PLC0415

    with connect() as client:
        jobs, options = job_statuses(client), read_alert_options(client)
    occurrences = read_history(utc_now() - LOOK_BACK, for_alerts=True)
    with open_resources() as engine, Session(engine) as session:
        return _read_status(session, jobs, occurrences, last_backup(read_clock(session)), options)


def _read_status(
    session: Session,
    jobs: tuple[JobStatus, ...] = (),
    occurrences: Sequence[Occurrence] | None = None,
    backup_at: datetime | None = None,
    options: AlertOptions = DEFAULTS,
) -> Status:
    at = read_clock(session)
    samples = list(measure(session, read_daily_calls()))
    if backup_at:
        samples.append(Sample(name=of.BACKUP_AGE.name, value=(at - backup_at).total_seconds()))
    figures = Collection(at=at, samples=tuple(samples))
    if occurrences is None:  # for jobs, the database has the result of the last check-alerts
        said = [f"{alert.title}: {alert.message}" for alert in list_open(session, OF_JOBS)]
    else:
        said = [f"{one.title}: {one.text}" for one in job_conditions(occurrences, at, options)]
    said += [f"{one.title}: {one.text}" for one in find_in_data(session, options)]
    return Status(at=at, attention=(*said, *_scarce(figures)), jobs=jobs, figures=figures)


def _scarce(figures: Collection) -> Iterator[str]:
    for (platform, quota), ratio in figures.values(of.QUOTA_LEFT).items():
        if ratio < LITTLE_LEFT:
            yield f"{platform} has only {ratio:.0%} of its {words(quota)} left: calls wait until it allows more"


def _print(status: Status) -> None:
    say(f"{to_minute(status.at)} UTC: {'this needs attention' if status.attention else 'nothing needs attention'}")
    for sentence in status.attention:
        say(f"  ! {sentence}")
    say("")
    _table(("job", "last run", "outcome", "took", "began late by", "next"), [_job_row(job) for job in status.jobs])
    for table in tables(status.figures):
        _table(table.columns, table.rows)


def _table(columns: Sequence[str], rows: Sequence[Row]) -> None:
    if rows:
        print_table(columns, [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows])
        say("")


def _job_row(job: JobStatus) -> Sequence[str]:
    upcoming = to_minute(job.next_at) if job.next_at else "not scheduled"
    if job.last is None:
        return (job.name, "never", "", "", "", upcoming)
    last = job.last
    took, late = duration(last.duration_seconds), duration(last.queue_delay_seconds)
    return (job.name, to_minute(last.ended_at), words(last.outcome), took, late, upcoming)
