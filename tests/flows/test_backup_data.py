"""backup-data as a flow, with a real Prefect server, real PostgreSQL, and a storage block."""

import json
from pathlib import Path

import pytest
from prefect.types import SecretDict

from blocks.names import BACKUPS, TOKEN_KEY
from blocks.storage import Storage
from blocks.token_key import TokenKey, load_token_key
from flows.backup_data import backup_data
from sivera.backups.options import BackupOptions
from sivera.values import PlatformName
from tasks import resources
from tests.flows.runs import artifacts, events, flow_run_id, retry, run, run_deployed
from tests.stage import Stage

FEWEST = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)


@pytest.fixture
def folder(ready: Stage, tmp_path: Path) -> Path:
    assert ready
    place = tmp_path / "backups"
    Storage(url=f"file://{place}").save(BACKUPS, overwrite=True)
    return place


def test_a_backup_is_made_and_proven_and_older_ones_are_dropped(ready: Stage, folder: Path) -> None:
    ready.connect(ready.world.add_grant(PlatformName.GOOGLE, accounts=2))
    first = run(backup_data)
    assert (first.name, (first.message or "").partition(":")[0]) == ("Completed", "verified")
    state = run(backup_data, FEWEST)
    assert "; no longer kept: " in (state.message or "")
    (manifest,) = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert (manifest["run_id"], manifest["outcome"]) == (str(flow_run_id(state)), "verified")
    (dump,) = folder.glob("*.dump")
    assert (dump.stem, dump.stat().st_size) == (manifest["name"], manifest["size"])
    shown = artifacts(state)
    assert shown["backup-data-dump-progress"] == shown["backup-data-check-progress"] == 100.0
    assert "platform_credentials" in str(shown["backup-data-tables"])
    assert str(shown["backup-data-summary"]).count("data:image/svg+xml") == 2
    (finished,) = events("sivera.backup-data.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (True, 1, 0)
    assert (finished["outcome"], finished["size"], len(finished["dropped"])) == ("verified", manifest["size"], 1)


def test_a_wrong_key_leaves_the_run_red_and_its_retry_makes_a_verified_backup(folder: Path) -> None:
    right = load_token_key()
    wrong = {right.current: TokenKey.generate().keys.get_secret_value().popitem()[1]}
    TokenKey(keys=SecretDict(wrong), current=right.current).save(TOKEN_KEY, overwrite=True)
    resources.close()
    failed = run_deployed(backup_data, options=FEWEST)
    assert failed.is_failed()
    assert (failed.message or "").startswith("mismatch: the key ")
    (finished,) = events("sivera.backup-data.finished", failed)
    assert (finished["success"], finished["failed"], finished["outcome"]) == (False, 1, "mismatch")
    right.save(TOKEN_KEY, overwrite=True)
    again = retry(backup_data, failed, options=FEWEST)
    assert (again.name, (again.message or "").partition(":")[0]) == ("Completed", "verified")
    (manifest,) = folder.glob("*.json")
    assert {path.name for path in folder.iterdir()} == {manifest.name, f"{manifest.stem}.dump"}


def test_a_storage_that_fails_leaves_the_run_red(ready: Stage, tmp_path: Path) -> None:
    assert ready
    (tmp_path / "file").write_text("not a folder")
    Storage(url=f"file://{tmp_path}/file").save(BACKUPS, overwrite=True)
    state = run(backup_data)
    assert state.is_failed()
    assert (state.message or "").startswith("no backup was made: the storage failed (")
