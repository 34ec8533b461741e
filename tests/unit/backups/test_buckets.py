"""Backups in an object store: a server that answers as S3 does, and what the storage block opens."""

from datetime import timedelta

from fsspec.implementations.dirfs import DirFileSystem
from prefect.types import SecretDict

from blocks.storage import Storage
from sivera.backups import backing_up
from sivera.backups.manifest import Outcome
from sivera.backups.page import backup_charts
from tests.buckets import bucket, credentials, s3_server
from tests.unit.backups.databases import FEWEST, Database, deadline, nothing, reason
from tests.unit.backups.test_retention import backup

PLACE = "sivera/backups"


def filesystem(server: str) -> DirFileSystem:
    once = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5}}
    options = {**credentials(server), **once, "use_listings_cache": False}
    return Storage(url=f"s3://{PLACE}", options=SecretDict(options)).get_filesystem()


def test_backups_work_in_an_object_store_and_an_unreachable_one_is_named(source: Database) -> None:
    with s3_server() as server:
        source.remote, there = filesystem(server), bucket(server)
        made = source.make_backup()
        assert there.find("sivera") == [f"{PLACE}/{made.name}.dump", f"{PLACE}/{made.name}.json"]
        reason(backing_up.check(source.deps(), made, deadline(), nothing), Outcome.VERIFIED)
        assert source.catalog.read("latest").size == made.size
        newer = backup(name="20991122T030000Z-00000000", started_at=made.started_at + timedelta(hours=1))
        source.catalog.write(newer)
        assert backing_up.drop_superfluous(source.deps(), FEWEST) == [made.name]
        assert there.find("sivera") == [f"{PLACE}/{newer.name}.json"]
        assert "is gone from the storage" in reason(source.check(made), Outcome.MISMATCH)
    failed = (
        "the storage failed (EndpointConnectionError): check that it is reachable, has free space and accepts its keys"
    )
    source.remote = filesystem("http://127.0.0.1:9")
    assert reason(source.back_up(), Outcome.INCONCLUSIVE) == failed
    assert failed in reason(source.check(made), Outcome.INCONCLUSIVE)
    assert backup_charts(source.catalog) == [f"No charts: {failed}."]
