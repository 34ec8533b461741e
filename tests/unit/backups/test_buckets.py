"""Backups in an object store: a server that answers as S3 does, real PostgreSQL, and what the storage block gives."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict
from s3fs import S3FileSystem
from sqlalchemy import Engine
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.storage import Storage
from sivera.backups import backing_up, checking
from sivera.backups.catalog import Catalog, path_of
from sivera.backups.manifest import Manifest, Outcome
from sivera.backups.options import BackupOptions
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import open_engine
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.test_backups import VERIFIED, beside, reason
from tests.unit.backups.vault import NEVER, PART, PLACE, Vault, at, dump_to_bucket_and_stop
from tests.unit.grants.processes import running

MANY = 13_000
"""Sessions whose dump takes several parts."""


@dataclass
class Bucket(Vault):
    """Backs a database up into a bucket."""

    server: str = ""

    @cached_property
    def there(self) -> S3FileSystem:
        """What lies there, without a cache: one for all questions, since to make it takes longer than to ask."""
        return bucket(self.server)

    @property
    def filesystem(self) -> DirFileSystem:
        return filesystem(self.server)

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.filesystem)

    def names(self) -> list[str]:
        """What lies in the bucket, whole or not."""
        return sorted(path.removeprefix(f"{PLACE}/") for path in self.there.find("sivera"))

    def uploads(self) -> list[Any]:
        """Uploads that nobody completed."""
        found: list[Any] = self.there.list_multipart_uploads("sivera")
        return found


def filesystem(server: str) -> DirFileSystem:
    options = SecretDict({**credentials(server), "default_block_size": PART, "use_listings_cache": False})
    return Storage(url=f"s3://{PLACE}", options=options).get_filesystem()


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Iterator[Bucket]:
    with s3_server() as server:
        yield Bucket(engine, keyring, tmp_path, server=server)


def test_a_backup_is_streamed_listed_proven_restored_and_dropped(vault: Bucket, postgres: str) -> None:
    vault.fill(MANY)
    seen: list[int] = []
    made = vault.back_up(tell=lambda _: seen.append(len(vault.uploads())))
    assert isinstance(made, Manifest), made
    assert made.size > PART
    assert 1 in seen, "parts go there while the dump goes on"
    assert vault.uploads() == []
    assert vault.names() == [f"{made.name}.dump", f"{made.name}.json"]
    assert vault.check(made) == VERIFIED
    assert [(each.name, each.outcome) for each in vault.catalog.list()[0]] == [(made.name, Outcome.VERIFIED)]
    assert vault.catalog.read("latest").size == made.size
    with beside(postgres, "test_from_bucket") as target:
        url = open_engine(target).url
        restore(vault.catalog.read(made.name), vault.catalog, url, lambda: vault.keyring, Vault.monotonic(NEVER))
        restored = Vault(open_engine(target), vault.keyring, vault.folder)
        assert restored.rows("SELECT count(*) FROM sessions") == [(MANY,)]
        restored.engine.dispose()
    vault.execute("DELETE FROM sessions")
    newer = vault.backed_up()
    assert vault.check(newer) == VERIFIED
    fewest = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)
    assert backing_up.drop_superfluous(vault.deps(), fewest) == [made.name]
    assert vault.names() == [f"{newer.name}.dump", f"{newer.name}.json"]


def test_a_damaged_a_shortened_and_a_missing_object_are_mismatches(vault: Bucket) -> None:
    vault.fill()
    made, there = vault.backed_up(), vault.there
    path = f"{PLACE}/{path_of(made.name)}"
    whole: bytes = there.cat_file(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content, said in ((bytes(flipped), "is damaged"), (whole[:-1], f"and was written with {made.size}")):
        there.pipe_file(path, content)
        found = checking.check_backup(
            made, vault.catalog, vault.engine.url, lambda: vault.keyring, Vault.monotonic(NEVER)
        )
        assert said in reason(found, Outcome.MISMATCH)
    there.rm_file(path)
    assert "is gone from the storage" in reason(vault.check(made), Outcome.MISMATCH)


def test_an_upload_that_was_killed_leaves_nothing_that_looks_whole(vault: Bucket) -> None:
    vault.fill(MANY)
    deps = vault.deps()
    url = vault.engine.url.render_as_string(hide_password=False)
    with running(dump_to_bucket_and_stop, 1, url, vault.server, str(deps.run_id)):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(150), reraise=True):
            with attempt:
                assert vault.uploads()
    assert vault.names() == []
    assert vault.catalog.list() == ([], [])
    made = vault.backed_up()
    assert vault.accounts()[0] == ("inconclusive", None, "the run was ended before it was whole")
    assert vault.names() == [f"{made.name}.dump", f"{made.name}.json"]
    assert vault.check(made) == VERIFIED


def test_a_bucket_that_vanishes_leaves_no_backup(vault: Bucket) -> None:
    vault.fill(MANY)
    made = vault.back_up(tell=at(0.3, lambda: vault.there.rm("sivera", recursive=True)))
    assert "the storage failed" in reason(made, Outcome.INCONCLUSIVE)


def test_a_store_that_does_not_answer_is_said_and_decides_nothing(vault: Bucket) -> None:
    made = vault.backed_up()
    nobody = Catalog(filesystem("http://127.0.0.1:9"))
    found = checking.check_backup(made, nobody, vault.engine.url, lambda: vault.keyring, Vault.monotonic(NEVER))
    assert reason(found, Outcome.INCONCLUSIVE) == (
        "it could not be checked: the storage failed (EndpointConnectionError)"
    )
    deps = dataclasses.replace(vault.deps(), catalog=nobody)
    failed = backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), lambda _: None)
    assert reason(failed, Outcome.INCONCLUSIVE) == "the storage failed (EndpointConnectionError)"
    assert vault.accounts()[-1] == ("inconclusive", None, "the storage failed (EndpointConnectionError)")
