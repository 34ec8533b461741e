"""backup-data as a flow: a real Prefect server, real PostgreSQL, and a storage block."""

from pathlib import Path

import pytest
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.types import SecretDict

from blocks.names import BACKUP_JOB, BACKUPS, TOKEN_KEY
from blocks.storage import Storage
from blocks.token_key import TokenKey, load_token_key
from flows.backup_data import backup_data
from sivera.backups.options import BackupOptions
from sivera.values import PlatformName
from tasks import resources
from tests.flows.runs import artifacts, events, flow_run_id, retry, run_deployed
from tests.stage import Stage


@pytest.fixture
def folder(ready: Stage, tmp_path: Path) -> Path:
    """Where the storage block keeps backups."""
    assert ready
    place = tmp_path / "backups"
    Storage(url=f"file://{place}").save(BACKUPS, overwrite=True)
    return place


def run(options: BackupOptions | None = None) -> State:
    state: State = backup_data(options or BackupOptions(), return_state=True)
    return state


def test_a_backup_is_made_and_proven_and_older_ones_go(ready: Stage, folder: Path) -> None:
    ready.connect(ready.world.add_grant(PlatformName.GOOGLE, accounts=2))
    first = run()
    assert (first.name, (first.message or "").partition(":")[0]) == ("Completed", "verified")
    state = run(BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0))
    assert "; no longer kept: " in (state.message or "")
    ((name, size),) = ready.rows("SELECT path, size FROM backups WHERE run_id = :run", run=flow_run_id(state))
    assert sorted(path.name for path in folder.iterdir()) == [name, name.replace(".dump", ".json")]
    assert (folder / name).stat().st_size == size
    shown = artifacts(state)
    assert shown["backup-data-dump-progress"] == shown["backup-data-check-progress"] == 100.0
    assert "public.platform_credentials" in str(shown["backup-data-tables"])
    (finished,) = events("sivera.backup-data.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (True, 1, 0)
    assert (finished["outcome"], finished["size"], len(finished["dropped"])) == ("verified", size, 1)


def test_a_wrong_key_leaves_the_run_red_and_keeps_what_there_is(folder: Path) -> None:
    assert run().is_completed()
    before = set(folder.iterdir())
    right = load_token_key()
    wrong = {right.current: TokenKey.generate().keys.get_secret_value().popitem()[1]}
    TokenKey(keys=SecretDict(wrong), current=right.current).save(TOKEN_KEY, overwrite=True)
    state = run(BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0))
    assert state.is_failed()
    assert (state.message or "").startswith("mismatch: the key ")
    assert len(set(folder.iterdir()) - before) == 2
    assert before < set(folder.iterdir())
    (finished,) = events("sivera.backup-data.finished", state)
    assert (finished["success"], finished["failed"], finished["outcome"]) == (False, 1, "mismatch")


def test_a_storage_that_takes_nothing_leaves_the_run_red(ready: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    Storage(url=f"file://{tmp_path}/file").save(BACKUPS, overwrite=True)
    state = run()
    assert state.is_failed()
    assert (state.message or "").startswith("no backup was made: the storage failed (")
    assert [tuple(row) for row in ready.rows("SELECT outcome, path FROM backups")] == [("inconclusive", None)]


def test_a_second_instance_ends_cancelled(ready: Stage, folder: Path) -> None:
    with concurrency(BACKUP_JOB, strict=True, max_retries=0):
        state = run()
    assert (state.name, state.message) == ("Cancelled", "Another instance is already running")
    assert ready.rows("SELECT FROM backups") == []
    assert not folder.exists()


def test_a_run_that_is_retried_makes_a_verified_backup_and_leaves_no_half_one(ready: Stage, folder: Path) -> None:
    right = load_token_key()
    wrong = {right.current: TokenKey.generate().keys.get_secret_value().popitem()[1]}
    TokenKey(keys=SecretDict(wrong), current=right.current).save(TOKEN_KEY, overwrite=True)
    resources.close()
    failed = run_deployed(backup_data)
    assert (failed.message or "").startswith("mismatch: the key ")
    right.save(TOKEN_KEY, overwrite=True)
    again = retry(backup_data, failed, options=BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0))
    assert (again.name, (again.message or "").partition(":")[0]) == ("Completed", "verified")
    (row,) = ready.rows("SELECT run_id, outcome, path FROM backups")
    assert (row.run_id, row.outcome) == (flow_run_id(failed), "verified")
    # The first one is whole too, and goes, also where midnight has passed since: one day's is kept.
    assert {path.name for path in folder.iterdir()} == {row.path, row.path.replace(".dump", ".json")}


def test_a_run_that_was_killed_and_is_retried_leaves_no_half_of_its_first_backup(ready: Stage, folder: Path) -> None:
    (folder.parent / "file").write_text("not a folder")
    Storage(url=f"file://{folder.parent}/file").save(BACKUPS, overwrite=True)
    resources.close()
    failed = run_deployed(backup_data)
    assert failed.is_failed()
    Storage(url=f"file://{folder}").save(BACKUPS, overwrite=True)
    # As a process leaves it that is killed in its dump, and in another one after that.
    folder.mkdir()
    for half in ("20261122T030000Z-00000000.dump", "20261122T030000Z-00000001.dump.part"):
        (folder / half).write_bytes(b"half of a dump")
    with ready.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE backups SET outcome = 'running', path = '20261122T030000Z-00000000.dump', finished_at = NULL"
        )
    assert retry(backup_data, failed).is_completed()
    (row,) = ready.rows("SELECT outcome, path FROM backups")
    assert row.outcome == "verified"
    assert {path.name for path in folder.iterdir()} == {row.path, row.path.replace(".dump", ".json")}
