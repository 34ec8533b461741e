"""`sivera restore` against a real Prefect server and PostgreSQL."""

import re
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks.names import BACKUPS
from blocks.storage import Storage
from flows.backup_data import backup_data
from tests.ops.commands import Sivera
from tests.stage import Stage
from tests.unit.backups.databases import empty_database


@pytest.fixture
def folder(ready: Stage, tmp_path: Path) -> Path:
    assert ready
    place = tmp_path / "backups"
    Storage(url=f"file://{place}").save(BACKUPS, overwrite=True)
    assert backup_data(return_state=True).is_completed()
    return place


def test_a_backup_is_listed_checked_and_restored(
    folder: Path, sivera: Sivera, postgres: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (manifest,) = folder.glob("*.json")
    listed = sivera("restore", "list")
    assert listed.code == 0
    assert manifest.stem in listed.out
    assert "verified" in listed.out
    assert f"{sivera('restore', 'check').out.splitlines()[-1]}" == "verified: the restored data is what was backed up"
    with empty_database(postgres, "test_target") as url:
        restored = sivera("restore", "run", "latest", stdin=url)
        assert (restored.code, restored.err) == (0, "")
        assert restored.out.splitlines()[1].startswith("Restored: ")
        assert "is not empty" in sivera("restore", "run", "latest", stdin=url).err
        # Follow the printed steps.
        monkeypatch.setenv("SIVERA_DATABASE_URL", url)
        for command in re.findall(r"^\d\. `sivera (\w+)`", restored.out, re.MULTILINE):
            answer = sivera(command)
            assert command == "doctor" or (answer.code, answer.err) == (0, "")
        assert re.search("^ok +database .*test_target", answer.out, re.MULTILINE)
    monkeypatch.setenv("SIVERA_DATABASE_URL", database_url)
    assert "there is no backup nosuch" in sivera("restore", "run", "nosuch").err
    dump = manifest.with_suffix(".dump")
    dump.write_bytes(dump.read_bytes()[:-1])
    checked = sivera("restore", "check", manifest.stem)
    assert (checked.code, checked.out.splitlines()[-1].partition(":")[0]) == (2, "mismatch")
    assert "mismatch" in sivera("restore", "list").out
    with empty_database(postgres, "test_target") as url:
        said = sivera("restore", "run", manifest.stem, stdin=url)
    assert "Warning: it is mismatch, not verified: " in said.out
    assert "is damaged" in said.err
    assert "the storage has no verified backup" in sivera("restore", "check").err


def test_a_storage_is_listed_and_restored_without_server_and_database(
    folder: Path, sivera: Sivera, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"--storage=file://{folder}"
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        empty_database(postgres, "test_target") as url,
    ):
        assert "verified" in sivera("restore", "list", storage).out
        monkeypatch.setenv("SIVERA_RESTORE_URL", url)
        assert "127.0.0.1:9" in sivera("restore", "run", "latest", storage, "--without-keys").err
        assert sivera("restore", "run", "latest", storage, "--trust-storage").code == 0
        for dump in folder.glob("*.dump"):
            dump.unlink()
        assert "is gone from the storage: use another backup" in sivera("restore", "list", storage).out
    assert "does not name a place" in sivera("restore", "list", "--storage", "backups").err
