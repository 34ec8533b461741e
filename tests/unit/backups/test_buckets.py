"""Backups in an object store: a server that answers as S3 does, and what the storage block opens."""

from dataclasses import replace
from pathlib import Path

from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict
from sqlalchemy import Engine

from blocks.storage import Storage
from sivera.backups import backing_up
from sivera.backups.manifest import Outcome
from sivera.backups.page import backup_charts
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import open_engine
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.test_backups import FEWEST, reason
from tests.unit.backups.vault import Vault, beside, deadline

PLACE = "sivera/backups"


def filesystem(server: str) -> DirFileSystem:
    once = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5}}
    options = {**credentials(server), **once, "use_listings_cache": False}
    return Storage(url=f"s3://{PLACE}", options=SecretDict(options)).get_filesystem()


def test_a_backup_is_streamed_proven_restored_and_dropped(
    engine: Engine, keyring: Keyring, tmp_path: Path, postgres: str
) -> None:
    with s3_server() as server:
        vault, there = Vault(engine, keyring, tmp_path, filesystem(server)), bucket(server)
        vault.fill()
        made = vault.backed_up()
        assert there.find("sivera") == [f"{PLACE}/{made.name}.dump", f"{PLACE}/{made.name}.json"]
        reason(vault.check(made), Outcome.VERIFIED)
        with beside(postgres, "test_from_bucket") as target:
            url = open_engine(target).url
            restore(vault.catalog.read("latest"), vault.catalog, url, lambda: keyring, deadline())
        newer = vault.backed_up()
        whole: bytes = there.cat_file(f"{PLACE}/{newer.path}")
        there.pipe_file(f"{PLACE}/{newer.path}", whole[:-1])
        assert f"but {newer.size} were written" in reason(vault.check(newer), Outcome.MISMATCH)
        there.pipe_file(f"{PLACE}/{newer.path}", whole)
        reason(vault.check(newer), Outcome.VERIFIED)
        assert backing_up.drop_superfluous(vault.deps(), FEWEST) == [made.name]
        assert there.find("sivera") == [f"{PLACE}/{newer.name}.dump", f"{PLACE}/{newer.name}.json"]


def test_a_store_that_does_not_answer_is_named_and_decides_nothing(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    vault = Vault(engine, keyring, tmp_path)
    made = vault.backed_up()
    nobody = replace(vault, remote=filesystem("http://127.0.0.1:9"))
    failed = "the storage failed (EndpointConnectionError)"
    said = nobody.back_up()
    assert reason(said, Outcome.INCONCLUSIVE) == failed
    assert failed in reason(nobody.judge(made), Outcome.INCONCLUSIVE)
    assert backup_charts(nobody.catalog) == [f"No charts: {failed}."]
