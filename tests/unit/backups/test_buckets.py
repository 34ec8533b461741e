"""Backups in an object store: a server that answers as S3 does, and what the storage block opens."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict
from s3fs import S3FileSystem
from sqlalchemy import Engine
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.storage import Storage
from sivera.backups import backing_up
from sivera.backups.catalog import Catalog
from sivera.backups.checking import check_backup
from sivera.backups.manifest import Outcome
from sivera.backups.page import backup_charts
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import open_engine
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.test_backups import FEWEST, VERIFIED, reason
from tests.unit.backups.vault import PART, PLACE, Vault, beside, deadline, dump_to_bucket_and_stop, nothing
from tests.unit.grants.processes import running

MANY = 13_000
"""Sessions whose dump takes several parts."""


@dataclass
class Bucket(Vault):
    """Backs a database up into a bucket."""

    server: str = ""

    @cached_property
    def there(self) -> S3FileSystem:
        """What lies there, without a cache."""
        return bucket(self.server)

    @property
    def catalog(self) -> Catalog:
        return Catalog(filesystem(self.server))

    def files(self) -> list[str]:
        return sorted(path.removeprefix(f"{PLACE}/") for path in self.there.find("sivera"))

    def uploads(self) -> list[Any]:
        """Return the uploads that are not complete."""
        found: list[Any] = self.there.list_multipart_uploads("sivera")
        return found


def filesystem(server: str) -> DirFileSystem:
    once = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5}}
    options = {**credentials(server), **once, "default_block_size": PART, "use_listings_cache": False}
    return Storage(url=f"s3://{PLACE}", options=SecretDict(options)).get_filesystem()


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Iterator[Bucket]:
    with s3_server() as server:
        yield Bucket(engine, keyring, tmp_path, server=server)


def test_a_backup_is_streamed_proven_restored_and_dropped_and_a_killed_upload_leaves_nothing(
    vault: Bucket, postgres: str
) -> None:
    vault.fill(MANY)
    url = vault.engine.url.render_as_string(hide_password=False)
    with running(dump_to_bucket_and_stop, 1, url, vault.server, str(uuid4())):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(150), reraise=True):
            with attempt:
                assert vault.uploads(), "parts are uploaded during the dump"
    assert vault.files() == []
    made = vault.backed_up()
    assert made.size > PART
    assert vault.files() == [f"{made.name}.dump", f"{made.name}.json"]
    assert vault.check(made) == VERIFIED
    assert vault.catalog.read("latest").size == made.size
    with beside(postgres, "test_from_bucket") as target:
        engine = open_engine(target)
        restore(vault.catalog.read(made.name), vault.catalog, engine.url, lambda: vault.keyring, deadline())
        assert Vault(engine, vault.keyring, vault.folder).rows("SELECT count(*) FROM sessions") == [(MANY,)]
        engine.dispose()
    vault.execute("DELETE FROM sessions")
    newer = vault.backed_up()
    whole: bytes = vault.there.cat_file(f"{PLACE}/{newer.path}")
    vault.there.pipe_file(f"{PLACE}/{newer.path}", whole[:-1])
    assert f"but {newer.size} were written" in reason(vault.check(newer), Outcome.MISMATCH)
    vault.there.pipe_file(f"{PLACE}/{newer.path}", whole)
    assert vault.check(newer) == VERIFIED
    assert backing_up.drop_superfluous(vault.deps(), FEWEST) == [made.name]
    assert vault.files() == [f"{newer.name}.dump", f"{newer.name}.json"]


def test_a_store_that_does_not_answer_is_named_and_decides_nothing(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    vault = Vault(engine, keyring, tmp_path)
    made = vault.backed_up()
    nobody = Catalog(filesystem("http://127.0.0.1:9"))
    failed = backing_up.dump(replace(vault.deps(), catalog=nobody), deadline(), nothing)
    assert reason(failed, Outcome.INCONCLUSIVE) == "the storage failed (EndpointConnectionError)"
    found = check_backup(made, nobody, engine.url, lambda: keyring, deadline())
    assert "the storage failed (EndpointConnectionError)" in reason(found, Outcome.INCONCLUSIVE)
    assert backup_charts(nobody) == ["No charts: the storage failed (EndpointConnectionError)."]
