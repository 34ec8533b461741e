"""After three days down, what piled up is one run a job: a real Prefect server and a worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from ops.plan import run_times
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from sivera.occurrences import queries
from sivera.occurrences.rules import LATE_AFTER, LONG_PAST, NOT_ITS_TURN, Occurrence, Outcome
from sqlalchemy.orm import Session
from tasks.occurrences import account_for_occurrences
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.names import WORK_POOL
from blocks.server import connect
from ops.deploy import deploy
from ops.stack.prefect_server import CLIENT, WORKER, spool_of
from sivera.clock import utc_now
from tests.prefect_server import PrefectServer
from tests.stage import Stage
from tests.tasks.late_runs import schedule_runs, to_datetime

DOWN = timedelta(days=3)
JOBS = {
    "sync-campaigns/all": ("hourly", "0 * * * *", timedelta(hours=5)),
    "refresh-tokens/all": ("six-hourly", "0 */6 * * *", timedelta(hours=24)),
}
"""A schedule of each, and how far ahead the server had made runs: some, as its scheduler does."""


@contextmanager
def worker(server: PrefectServer, folder: Path) -> Iterator[Path]:
    """Run a worker of our work pool as the stack does; yield its log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    log = folder / "worker.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own command line
            [
                sys.executable,
                "-P",
                "-m",
                "prefect",
                "worker",
                "start",
                "--pool",
                WORK_POOL,
                "--install-policy",
                "never",
            ],
            env=inherited | CLIENT | WORKER | spool_of(folder) | server.environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()


def read_runs(runs: list[FlowRun]) -> list[FlowRun]:
    with connect() as client:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run.id for run in runs]))
        return client.read_flow_runs(flow_run_filter=wanted, limit=200)


def test_sync_and_tokens_run_once_and_the_others_are_skipped_by_it(
    ready: Stage, clean_prefect: PrefectServer, tmp_path: Path
) -> None:
    deploy()
    now = utc_now()
    # After the time of the full sync, which is work of its own.
    since = (now - DOWN).replace(hour=3, minute=0, second=0, microsecond=0)
    # What the scheduler had made before the server went down, and where the accounting stopped.
    late = {name: schedule_runs(name, since, since + ahead) for name, (_, _, ahead) in JOBS.items()}
    with Session(ready.engine) as session, session.begin():
        queries.record(session, [waiting(name, slug, since) for name, (slug, _, _) in JOBS.items()])
    with connect() as client:
        paused = [client.read_deployment_by_name(name).id for name in JOBS]
        for deployment_id in paused:
            client.pause_deployment(deployment_id)  # whose time comes during the test would take part

        everything = [run for runs in late.values() for run in runs]
        with worker(clean_prefect, tmp_path) as log:
            for attempt in Retrying(wait=wait_fixed(1), stop=stop_after_delay(300), reraise=True):
                with attempt:
                    states = [run.state for run in read_runs(everything)]
                    assert all(state and state.is_final() for state in states), log.read_text()[-2000:]
        for deployment_id in paused:
            client.resume_deployment(deployment_id)
    account_for_occurrences.fn()

    with Session(ready.engine) as session:
        rows = queries.list_occurrences(session, since=since)
    for name, runs in late.items():
        slug, cron, _ = JOBS[name]
        assert len(runs) > 3
        ended = {run.id: run.state for run in read_runs(runs) if run.state}
        found = {row.run_id or row.scheduled_at: row for row in rows if row.deployment == name}
        (ran,) = (id_ for id_, state in ended.items() if state.is_completed())
        assert found[ran].outcome is Outcome.LATE
        skipped = [found[id_] for id_ in ended if id_ != ran]
        assert {row.outcome for row in skipped} == {Outcome.SKIPPED}
        # A server that stands still for a minute loses the first one's slot: another gets it, and ends by itself.
        assert {row.message for row in skipped} <= {*NOT_ITS_TURN}
        assert {row.skipped_by for row in skipped if row.message != LONG_PAST} == {ran}
        expected = [when for when in run_times(cron, "UTC", since, now) if now - when > LATE_AFTER]
        accounted = {row.scheduled_at: row.outcome for row in rows if row.deployment == name and row.schedule == slug}
        assert accounted.keys() >= set(expected)
        made = {to_datetime(run) for run in runs}
        assert {accounted[when] for when in expected if when not in made} == {Outcome.MISSED}


def waiting(deployment: str, slug: str, at: datetime) -> Occurrence:
    return Occurrence(
        deployment=deployment,
        scheduled_at=at,
        job=deployment.partition("/")[0],
        schedule=slug,
        outcome=Outcome.WAITING,
    )
