"""Backups with real PostgreSQL: what is made, what its check finds, and what fails."""

import resource
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from tenacity import Retrying, stop_after_delay, wait_fixed

from sivera.backups import backing_up, checking
from sivera.backups.manifest import Manifest, Outcome
from sivera.database import engine_on, open_engine
from sivera.errors import ConfigurationError
from sivera.migrating import migrate
from tests.unit.backups.databases import BIG, FEWEST, Database, deadline, empty_database, other_keyring, reason
from tests.unit.backups.test_retention import SUNDAY, backup
from tests.unit.grants.processes import run, running


def dump_and_stop(url: str, folder: Path) -> None:
    """Start a backup in a process that will be killed, and stop in the middle of the dump."""
    Database(open_engine(url), other_keyring("k1"), folder).back_up(lambda _: signal.pause())


def dump_on_full_disk(url: str, folder: Path) -> None:
    """Make a backup in a process that may write only 20,000 bytes to a file."""
    database = Database(open_engine(url), other_keyring("k1"), folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    said = reason(database.back_up(), Outcome.INCONCLUSIVE)
    assert said.startswith("the storage failed (File too large): check that it")


def test_a_backup_is_a_consistent_snapshot_and_its_check_verifies_it(source: Database, target: Database) -> None:
    writes: list[float] = []

    def write(share: float) -> None:
        source.execute("INSERT INTO sessions (token_hash, expires_at) VALUES (random()::text, now())")
        writes.append(share)

    made = source.back_up(progress=write)
    assert isinstance(made, Manifest)
    assert {each.name: each.rows for each in made.tables}["sessions"] == 100
    assert len(source.rows("SELECT FROM sessions")) == 100 + len(writes)
    assert (made.key_ids, made.outcome) == (("k1",), Outcome.RUNNING)
    assert made.size == source.dump_file(made).stat().st_size > 0
    assert {path.stat().st_mode & 0o777 for path in source.folder.iterdir()} == {0o600}
    shares: list[float] = []
    checked = backing_up.check(source.deps(), made, deadline(), shares.append)
    assert reason(checked, Outcome.VERIFIED) == ""
    assert shares == sorted(shares)
    assert writes[-1] == shares[-1] == 1
    assert source.scratch_databases() == []
    assert source.catalog.last_verified() == checked
    said = reason(replace(source, engine=target.engine).back_up(), Outcome.INCONCLUSIVE)
    assert said == "the database has no tables of ours: run `sivera migrate`"
    source.execute("UPDATE sivera_alembic_version SET version_num = '9999'")
    said = reason(source.back_up(), Outcome.INCONCLUSIVE)
    assert said.startswith("the database is at revision 9999, and this version backs up 0")
    assert "install the newer version" in said
    assert len(source.files()) == 2


def test_different_data_is_a_mismatch_and_a_missing_key_is_inconclusive(source: Database) -> None:
    made = source.make_backup()
    tables = [each.model_copy(update={"rows": 99} if each.rows == 100 else {}) for each in made.tables]
    other = made.model_copy(update={"tables": tuple(tables)}).signed(source.keyring)
    assert "has 100 rows of sessions instead of 99" in reason(source.check(other), Outcome.MISMATCH)
    other = made.model_copy(update={"tables": made.tables[1:]}).signed(source.keyring)
    assert f"differs in {made.tables[0].name})" in reason(source.check(other), Outcome.MISMATCH)
    other = made.model_copy(update={"revision": "9999"}).signed(source.keyring)
    assert "install the newer version" in reason(source.check(other), Outcome.INCONCLUSIVE)
    assert "lacks 'k1'" in reason(source.check(made, keyring=other_keyring("k2")), Outcome.INCONCLUSIVE)
    # This dump can be restored, but the database returns its rows in another order.
    other = source.rewrite(made, "sessions", lambda lines: lines[::-1])
    said = reason(source.check(other), Outcome.MISMATCH)
    assert said == "what was restored is not what was backed up (sessions): use another backup"


def test_a_failed_dump_leaves_nothing_behind(source: Database, database_url: str) -> None:
    source.add_sessions(BIG)
    assert run(dump_on_full_disk, database_url, source.folder) == 0
    assert "was lost" in reason(source.back_up(source.disconnect_at(0.1)), Outcome.INCONCLUSIVE)
    with source.engine.begin() as holder:
        holder.execute(text("LOCK TABLE sessions"))
        assert "the deadline passed" in reason(source.back_up(seconds=0.1), Outcome.INCONCLUSIVE)
    assert source.files() == []


def test_the_next_run_cleans_up_after_a_killed_one(source: Database, database_url: str) -> None:
    source.add_sessions(BIG)
    with running(dump_and_stop, 1, database_url, source.folder):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True):
            with attempt:
                assert [each.suffix for each in source.folder.iterdir()] == [".part"]
    source.execute("TRUNCATE sessions CASCADE")
    (source.folder / "20261122T030000Z-00000000.dump").write_bytes(b"killed before its manifest")
    (source.folder / "made-by-hand.dump").write_bytes(b"not ours")
    unchecked, made = source.make_backup(), source.make_backup()
    ours = {f"{each.name}{ending}" for each in (unchecked, made) for ending in (".dump", ".json")}
    assert set(source.files()) == {"made-by-hand.dump", *ours}
    said = reason(source.catalog.read(unchecked.name), Outcome.INCONCLUSIVE)
    assert said == "the run ended before the check did"
    assert source.catalog.read(made.name).outcome is Outcome.RUNNING


def test_an_unreadable_manifest_is_named_and_its_backup_is_kept(source: Database) -> None:
    renamed, *damaged, gone, made = (backup(name=f"20261122T03000{n}Z-00000000") for n in range(6))
    for each in (renamed, *damaged, gone, made):
        source.catalog.write(each)
    manifests = [source.folder / f"{each.name}.json" for each in (made, renamed, *damaged, gone)]
    text = manifests[0].read_text()
    before, between, after = text.split(':00Z"')
    local = (f'{before}:00"{between}:00Z"{after}', f'{before}:00Z"{between}:00"{after}')
    for path, content in zip(manifests[1:], (text, "{", *local, ""), strict=True):
        path.write_text(content)
    manifests[-1].unlink()
    manifests[-1].symlink_to("gone")  # as if another run had dropped it since the folder was listed
    found, unreadable = source.catalog.list()
    assert [each.name for each in found] == [made.name]
    assert sorted(unreadable) == [
        f"the manifest of backup {renamed.name} is that of {made.name} (the file was renamed): rename it back",
        *(
            f"the manifest of backup {each.name} cannot be read (damaged, or of another version): restore another "
            "backup"
            for each in damaged
        ),
    ]
    assert backing_up.drop_superfluous(source.deps(), FEWEST) == []
    for name in ("missing", f"../{made.name}"):
        with pytest.raises(ConfigurationError, match=f"there is no backup {name}: see `sivera restore list`"):
            source.catalog.read(name)


def test_an_interrupted_check_is_inconclusive(source: Database) -> None:
    source.add_sessions(BIG)
    made = source.make_backup()
    assert "the deadline passed" in reason(source.check(made, seconds=0), Outcome.INCONCLUSIVE)
    assert "was lost" in reason(source.check(made, progress=source.disconnect_at(0.3)), Outcome.INCONCLUSIVE)
    assert source.scratch_databases() == []


def test_a_check_drops_what_a_killed_one_left_and_excludes_others(source: Database) -> None:
    with source.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE sivera_check_test_sivera"))
    with checking.scratch_database(source.engine.url) as used:
        assert source.scratch_databases() == [used.database] == ["sivera_check_test_sivera"]
        second = checking.scratch_database(source.engine.url)
        with pytest.raises(ConfigurationError, match="another check"), second:
            pass
        assert source.scratch_databases() == [used.database]
    assert source.scratch_databases() == []


@pytest.mark.parametrize("name", ["x" * 60, "가" * 20])
def test_the_database_may_have_a_long_name(source: Database, postgres: str, name: str) -> None:
    with empty_database(postgres, name) as url, engine_on(url) as engine:
        migrate(engine)
        named = replace(source, engine=engine)
        assert reason(named.check(named.make_backup()), Outcome.VERIFIED) == ""
        with checking.scratch_database(engine.url) as used:
            assert named.scratch_databases() == [used.database]
    assert source.scratch_databases() == []


def test_a_verified_backup_of_a_time_ahead_of_the_clock_does_not_count_as_the_last_one(source: Database) -> None:
    past, ahead = (backup(SUNDAY + n * timedelta(days=9), name=f"2026112{n}T030000Z-00000000") for n in (0, 1))
    for each in (past, ahead):
        source.catalog.write(each)
    assert source.catalog.last_verified() == ahead
    assert source.catalog.last_verified(by=SUNDAY) == past
    assert source.catalog.last_verified(by=SUNDAY - timedelta(days=1)) is None


def test_old_backups_are_dropped_even_after_an_interrupted_removal(source: Database) -> None:
    first, second = (backup(name=f"20261122T03000{n}Z-00000000", outcome=Outcome.MISMATCH) for n in range(2))
    third = backup(name="20261122T030002Z-00000000")
    for each in (first, second, third):
        source.catalog.write(each)
    for each in (first, third):
        source.dump_file(each).write_bytes(b"dump")
    assert backing_up.drop_superfluous(source.deps(), FEWEST) == [first.name, second.name]
    assert source.files() == [f"{third.name}.dump", f"{third.name}.json"]
