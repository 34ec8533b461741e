"""Backups in an object store: a server that answers as S3 does, and what the storage block opens."""

from datetime import timedelta

from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict

from blocks.storage import Storage
from sivera.backups import backing_up
from sivera.backups.manifest import Outcome
from sivera.backups.page import backup_charts
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.test_retention import backup
from tests.unit.backups.vault import FEWEST, Vault, deadline, nothing, reason

PLACE = "sivera/backups"


def filesystem(server: str) -> DirFileSystem:
    once = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5}}
    options = {**credentials(server), **once, "use_listings_cache": False}
    return Storage(url=f"s3://{PLACE}", options=SecretDict(options)).get_filesystem()


def test_a_backup_is_streamed_proven_and_dropped_and_a_store_that_is_gone_is_named(vault: Vault) -> None:
    with s3_server() as server:
        vault.remote, there = filesystem(server), bucket(server)
        vault.fill()
        made = vault.backed_up()
        assert there.find("sivera") == [f"{PLACE}/{made.name}.dump", f"{PLACE}/{made.name}.json"]
        reason(backing_up.check(vault.deps(), made, deadline(), nothing), Outcome.VERIFIED)
        assert vault.catalog.read("latest").size == made.size
        newer = backup(name="20991122T030000Z-00000000", started_at=made.started_at + timedelta(hours=1))
        vault.catalog.write(newer)
        assert backing_up.drop_superfluous(vault.deps(), FEWEST) == [made.name]
        assert there.find("sivera") == [f"{PLACE}/{newer.name}.json"]
        assert "is gone from the storage" in reason(vault.judge(made), Outcome.MISMATCH)
    failed = (
        "the storage failed (EndpointConnectionError): check that it is reachable, has free space and accepts its keys"
    )
    vault.remote = filesystem("http://127.0.0.1:9")
    assert reason(vault.back_up(), Outcome.INCONCLUSIVE) == failed
    assert failed in reason(vault.judge(made), Outcome.INCONCLUSIVE)
    assert backup_charts(vault.catalog) == [f"No charts: {failed}."]
