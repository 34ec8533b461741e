"""One clock: what the jobs store and decide goes by the database's, however wrong that of the worker is."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import DateTime, Engine, text
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.alerts.checking import check_alerts
from sivera.alerts.options import AlertOptions
from sivera.backups.backing_up import check
from sivera.backups.manifest import Outcome as BackupOutcome
from sivera.budgets.checking import check_part
from sivera.budgets.options import BudgetOptions
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.grants.discovering import discover
from sivera.grants.refreshing import RefreshOptions, plan_refresh
from sivera.links import Links
from sivera.metrics.collecting import begin, collect
from sivera.metrics.rules import JobRuns
from sivera.models import Base
from sivera.private_files import PrivateFileSystem
from sivera.reports.options import ReportOptions
from sivera.reports.writing import ReportDependencies, plan_reports, write_reports
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions
from sivera.sync.account import sync_account
from sivera.sync.plan import SyncMode, SyncOptions, plan_sync
from sivera.sync.summary import Outcome
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.backups.databases import Database, deadline, nothing

NEAR = timedelta(hours=1)
SKEWED = pytest.mark.parametrize("skew", [timedelta(days=2), timedelta(days=-2)], ids=["ahead", "behind"])


@pytest.fixture
def world() -> World:
    """A world that lives in the true time, whatever the worker believes."""
    return World(seed=7, now=datetime.now(UTC))


def run_every_job(stage: Stage, platform: PlatformName, credential_id: int, folder: Path) -> None:
    """Do what each job does, without Prefect."""
    engine, deps = stage.engine, replace(stage.deps(), clock=lambda now: now)
    with Session(engine) as session:
        (grant,) = plan_refresh(session, RefreshOptions())
    assert grant.id == credential_id
    tokens = stage.tokens(platform, credential_id)
    tokens.current()
    discover(tokens)
    with Session(engine) as session:
        plan = plan_sync(session, SyncOptions(), read_clock(session))
        now = read_clock(session)
    for due in plan.due:
        for _ in range(2):
            assert sync_account(deps, due, SyncMode.FULL).outcome is Outcome.SYNCED
    assert not check_alerts(engine, Links(), AlertOptions(), ()).opened
    budgets = check_part(engine, BudgetOptions(), platform.value, math.inf)
    assert (budgets.accounts, budgets.stale) == (len(plan.due), 0)
    reports = ReportDependencies(engine, DirFileSystem(path=str(folder), fs=PrivateFileSystem()))
    with Session(engine) as session:
        (team,) = plan_reports(session, ReportOptions(), read_clock(session)).due
    assert team.latest == (now - timedelta(days=1, hours=1)).date()  # a day's report is due an hour after its end
    assert write_reports(reports, team, math.inf).reports == team.days
    cleanup = CleanupDependencies(engine, uuid4())
    kinds = plan_cleanup(cleanup, CleanupOptions())
    assert all(not clean(cleanup, kinds, kind, time.monotonic() + 60).failed for kind in kinds.cutoffs)
    collect(engine, begin(engine, timedelta()), JobRuns(jobs=(), runs=()), {})


def stored_times(stage: Stage) -> Iterator[tuple[str, datetime]]:
    """Yield every time in the database, with its column."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, DateTime):
                query = f"SELECT {column.name} AS at FROM {table.name} WHERE {column.name} IS NOT NULL"  # noqa: S608
                yield from ((str(column), row.at) for row in stage.rows(query))


@pytest.mark.parametrize("platform", [PlatformName.META, PlatformName.AMAZON], ids=str)
@SKEWED
def test_no_job_goes_by_the_clock_of_its_worker(
    stage: Stage, world: World, tmp_path: Path, platform: PlatformName, skew: timedelta
) -> None:
    credential_id = stage.connect(world.add_grant(platform, accounts=1, campaigns=3)).credential_id
    with stage.engine.begin() as connection:
        ends = "UPDATE platform_credentials SET expires_at = now() + interval '1 minute', last_renewed_at = NULL, "
        ends += "created_at = now() - interval '3 days'"
        connection.execute(text(ends))
    with time_machine.travel(datetime.now(UTC) + skew):
        run_every_job(stage, platform, credential_id, tmp_path)
        wrong = datetime.now(UTC)
    found = list(stored_times(stage))
    assert len(found) > 20
    assert not [(column, at) for column, at in found if abs(at - wrong) < NEAR]


@SKEWED
def test_a_backup_goes_by_the_clock_of_its_database(
    engine: Engine, keyring: Keyring, tmp_path: Path, skew: timedelta
) -> None:
    source = Database(engine, keyring, tmp_path)
    with time_machine.travel(datetime.now(UTC) + skew):
        made = check(source.deps(), source.make_backup(), deadline(), nothing)
        wrong = datetime.now(UTC)
    assert made.outcome is BackupOutcome.VERIFIED
    assert not [
        at for at in (made.started_at, made.finished_at, made.checked_at) if at is None or abs(at - wrong) < NEAR
    ]
    assert made.name.startswith(f"{made.started_at:%Y%m%d}T")
