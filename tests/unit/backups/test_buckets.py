"""Backups in an object store: a server that answers as S3 does, and what the storage block opens."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict
from sqlalchemy import Engine

from blocks.storage import Storage
from sivera.backups import backing_up
from sivera.backups.manifest import Outcome
from sivera.backups.page import backup_charts
from sivera.crypto import Keyring
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.test_backups import FEWEST, reason
from tests.unit.backups.test_retention import backup
from tests.unit.backups.vault import Vault

PLACE = "sivera/backups"


def filesystem(server: str) -> DirFileSystem:
    once = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5}}
    options = {**credentials(server), **once, "use_listings_cache": False}
    return Storage(url=f"s3://{PLACE}", options=SecretDict(options)).get_filesystem()


def test_a_backup_is_streamed_proven_and_dropped(engine: Engine, keyring: Keyring, tmp_path: Path) -> None:
    with s3_server() as server:
        vault, there = Vault(engine, keyring, tmp_path, filesystem(server)), bucket(server)
        vault.fill()
        made = vault.backed_up()
        assert there.find("sivera") == [f"{PLACE}/{made.name}.dump", f"{PLACE}/{made.name}.json"]
        reason(vault.check(made), Outcome.VERIFIED)
        assert vault.catalog.read("latest").size == made.size
        newer = backup(name="20991122T030000Z-00000000", started_at=made.started_at + timedelta(hours=1))
        vault.catalog.write(newer)
        assert backing_up.drop_superfluous(vault.deps(), FEWEST) == [made.name]
        assert there.find("sivera") == [f"{PLACE}/{newer.name}.json"]


def test_a_store_that_does_not_answer_is_named_and_decides_nothing(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    vault = Vault(engine, keyring, tmp_path)
    made = vault.backed_up()
    nobody = replace(vault, remote=filesystem("http://127.0.0.1:9"))
    failed = "the storage failed (EndpointConnectionError): see that it answers, has room, and takes its keys"
    said = nobody.back_up()
    assert reason(said, Outcome.INCONCLUSIVE) == failed
    assert failed in reason(nobody.judge(made), Outcome.INCONCLUSIVE)
    assert backup_charts(nobody.catalog) == [f"No charts: {failed}."]
