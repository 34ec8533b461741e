"""Backups with real PostgreSQL and its own programs: what is made, what its check finds, and what breaks."""

import base64
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy import URL, Engine, make_url, text
from tenacity import Retrying, stop_after_delay, wait_fixed

from sivera.backups import backing_up, checking
from sivera.backups.catalog import Catalog
from sivera.backups.dumping import Origin, dump
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from sivera.backups.programs import find_programs
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError
from tests.unit.backups.vault import NEVER, Vault, at, catalog_in, dump_and_stop, dump_on_full_disk
from tests.unit.grants.processes import run, running

BIG = 6000
"""Sessions whose dump is some megabytes: more than a pipe and a chunk hold."""

VERIFIED = Verdict(outcome=Outcome.VERIFIED)


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Vault:
    return Vault(engine, keyring, tmp_path / "backups")


def another(keyring_id: str) -> Keyring:
    return Keyring({keyring_id: base64.b64decode("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")}, current=keyring_id)


def child(name: str) -> psutil.Process:
    (found,) = [each for each in psutil.Process().children() if each.name() == name]
    return found


def reason(verdict: object, outcome: Outcome) -> str:
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is outcome, verdict
    return verdict.reason


def test_a_backup_is_what_the_database_held_at_one_moment_and_its_check_proves_it(vault: Vault) -> None:
    vault.fill()
    writes: list[float] = []

    def write(_: float) -> None:
        vault.execute("INSERT INTO sessions (token_hash, expires_at) VALUES (random()::text, now())")
        writes.append(_)

    made = vault.back_up(tell=write)
    assert isinstance(made, Manifest)
    assert writes
    assert made.shape.rows["public.sessions"] == 100
    assert made.shape.rows["public.platform_credentials"] == 1
    assert vault.rows("SELECT count(*) FROM sessions") == [(100 + len(writes),)]
    assert made.key_ids == ("k1",)
    assert made.size == vault.dump_file(made).stat().st_size > 0
    assert {path.stat().st_mode & 0o777 for path in vault.folder.iterdir()} == {0o600}
    shares: list[float] = []
    assert vault.check(made, tell=shares.append) == VERIFIED
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert vault.accounts() == [("verified", vault.dump_file(made).name, None)]
    assert vault.scratches() == []
    ((size, checksum, manifest),) = vault.rows("SELECT size, checksum, manifest FROM backups")
    assert (size, checksum) == (made.size, made.sha256)
    beside = json.loads(vault.dump_file(made).with_suffix(".json").read_text())
    assert beside == manifest
    assert beside["outcome"] == "verified"


def test_an_empty_database_of_ours_is_verified_and_one_without_tables_refused(vault: Vault, postgres: str) -> None:
    made = vault.backed_up()
    assert sum(made.shape.rows.values()) == 2  # the run itself, and the revision
    assert vault.check(made) == VERIFIED
    with beside(postgres, "test_bare") as url:
        bare = Vault(open_engine(url), vault.keyring, vault.folder)
        deps = bare.deps()
        with pytest.raises(ConfigurationError, match="run `sivera migrate`"):
            backing_up.begin(deps)
        origin = Origin(run_id=deps.run_id, name="bare", started_at=made.started_at)
        with pytest.raises(ConfigurationError, match="run `sivera migrate`"):
            dump(origin, bare.engine.url, bare.catalog, Vault.monotonic(NEVER))
        bare.engine.dispose()
    assert sorted(path.suffix for path in vault.folder.iterdir()) == [".dump", ".json"]


@pytest.mark.parametrize("where", [0, 40, 0.3, 0.6, -1])
def test_a_flipped_byte_is_a_mismatch_wherever_it_is(vault: Vault, where: float) -> None:
    vault.fill()
    made = vault.backed_up()
    raw = bytearray(vault.dump_file(made).read_bytes())
    raw[int(where * len(raw)) if 0 < where < 1 else int(where)] ^= 1
    vault.dump_file(made).write_bytes(raw)
    assert "is damaged: its SHA-256" in reason(vault.check(made), Outcome.MISMATCH)
    assert [row[0] for row in vault.accounts()] == ["mismatch"]
    assert vault.scratches() == []


@pytest.mark.parametrize("left", [0, 10, 0.5, -1])
def test_a_truncated_file_is_a_mismatch(vault: Vault, left: float) -> None:
    vault.fill()
    made = vault.backed_up()
    raw = vault.dump_file(made).read_bytes()
    vault.dump_file(made).write_bytes(raw[: int(left * len(raw)) if 0 < left < 1 else int(left)])
    assert f"and was written with {made.size}" in reason(vault.check(made), Outcome.MISMATCH)


def test_a_file_that_is_gone_is_a_mismatch(vault: Vault) -> None:
    made = vault.backed_up()
    vault.dump_file(made).unlink()
    assert "is gone from the storage" in reason(vault.check(made), Outcome.MISMATCH)


def test_a_backup_of_other_data_under_this_manifest_is_a_mismatch(vault: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    shape = made.shape.model_copy(update={"rows": {**made.shape.rows, "public.sessions": 99}, "revision": "0001"})
    said = reason(vault.check(made.model_copy(update={"shape": shape})), Outcome.MISMATCH)
    assert f"public.sessions has 100 rows, and had 99 rows; revision: {made.shape.revision}, and before 0001" in said


def test_a_wrong_key_is_a_mismatch_and_a_missing_one_leaves_it_open(vault: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    assert "the key 'k1' in the block token-key does not decrypt" in reason(
        vault.check(made, another("k1")), Outcome.MISMATCH
    )
    assert "lacks 'k1'" in reason(vault.check(made, another("k2")), Outcome.INCONCLUSIVE)
    assert vault.check(made) == VERIFIED


def test_a_full_disk_leaves_no_backup_and_no_half_of_one(vault: Vault) -> None:
    vault.fill()
    vault.folder.mkdir()
    url = vault.engine.url.render_as_string(hide_password=False)
    assert run(dump_on_full_disk, url, str(vault.folder), str(uuid4())) == 0
    assert list(vault.folder.iterdir()) == []
    assert vault.accounts() == [("inconclusive", None, "the storage failed (File too large)")]


def test_a_killed_dump_leaves_no_backup(vault: Vault) -> None:
    vault.fill(BIG)
    made = vault.back_up(tell=at(0, lambda: child("pg_dump").kill()))
    assert reason(made, Outcome.INCONCLUSIVE) == "pg_dump was ended by signal 9"
    assert list(vault.folder.iterdir()) == []


def test_a_dump_that_fails_does_not_wait_for_the_counts(vault: Vault) -> None:
    vault.fill()
    with ThreadPoolExecutor(1) as beside, vault.engine.connect() as other:
        # As a migration may hold a table: both wait for it.
        other.execute(text("LOCK TABLE sessions"))
        made = beside.submit(vault.back_up)
        try:
            for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True):
                with attempt:
                    assert vault.rows("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(2,)]
            child("pg_dump").kill()
            assert reason(made.result(30), Outcome.INCONCLUSIVE) == "pg_dump was ended by signal 9"
        finally:
            other.rollback()
    assert list(vault.folder.iterdir()) == []


def test_counts_that_are_not_done_at_the_deadline_end_the_backup(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = tmp_path / "pg_dump"
    quick.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.0'\n")
    quick.chmod(0o755)
    monkeypatch.setenv("SIVERA_POSTGRES_BIN_DIR", str(tmp_path))
    with vault.engine.begin() as other:
        other.execute(text("LOCK TABLE sessions"))
        assert "the deadline came" in reason(vault.back_up(until=2), Outcome.INCONCLUSIVE)
    assert list(vault.folder.glob("*")) == []


def test_a_run_that_was_killed_is_settled_by_the_next(vault: Vault) -> None:
    vault.fill(BIG)
    url = vault.engine.url.render_as_string(hide_password=False)
    deps = vault.deps()
    with running(dump_and_stop, 1, url, str(vault.folder), str(deps.run_id)):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True):
            with attempt:
                assert [each.suffix for each in vault.folder.iterdir()] == [".part"]
    made = vault.backed_up()
    assert vault.accounts()[0] == ("inconclusive", None, "the run was ended before it was whole")
    assert sorted(path.name for path in vault.folder.iterdir()) == [f"{made.name}.dump", f"{made.name}.json"]
    # The next one after a run that was ended between its dump and its check.
    vault.backed_up()
    assert vault.accounts()[1][::2] == ("inconclusive", "the run was ended before it was checked")
    assert vault.catalog.read(made.name).outcome is Outcome.INCONCLUSIVE
    for attempt in Retrying(wait=wait_fixed(0.1), stop=stop_after_delay(30), reraise=True):
        with attempt:
            assert not vault.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'sivera-backup'")


def test_a_manifest_that_cannot_be_read_stops_no_later_backup(vault: Vault) -> None:
    broken = vault.backed_up()
    vault.dump_file(broken).with_suffix(".json").write_text("{")
    made = vault.backed_up()
    assert vault.check(made) == VERIFIED
    said = f"the manifest of backup {broken.name} cannot be read: it is damaged, or of a newer version"
    assert vault.accounts() == [("inconclusive", None, said), ("verified", f"{made.name}.dump", None)]
    assert vault.dump_file(broken).exists()
    assert vault.rows("SELECT id FROM backups WHERE manifest IS NULL") == [(1,)]


def test_a_run_that_is_retried_begins_anew_and_keeps_what_was_whole(vault: Vault) -> None:
    deps = vault.deps()

    def back_up() -> Manifest:
        made = backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), lambda _: None)
        assert isinstance(made, Manifest), made
        return made

    backing_up.begin(deps)
    vault.execute("UPDATE backups SET path = 'half.dump'")
    with vault.catalog.new_dump("half") as file:
        file.write(b"a dump without its manifest")
    first = back_up()
    assert sorted(path.name for path in vault.folder.iterdir()) == [f"{first.name}.dump", f"{first.name}.json"]
    second = back_up()
    assert vault.accounts() == [("running", f"{second.name}.dump", None)]
    assert vault.check(second) == VERIFIED
    assert {each.name for each in vault.catalog.list()[0]} == {first.name, second.name}


def test_a_deadline_ends_the_dump_and_the_check(vault: Vault) -> None:
    vault.fill(BIG)
    assert "the deadline came" in reason(vault.back_up(until=0), Outcome.INCONCLUSIVE)
    made = vault.backed_up()
    found = checking.check_backup(made, vault.catalog, vault.engine.url, lambda: vault.keyring, time.monotonic())
    assert "the deadline came" in reason(found, Outcome.INCONCLUSIVE)
    assert vault.scratches() == []


def test_a_database_that_ends_the_restore_leaves_it_open(vault: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()

    def end() -> None:
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(30), reraise=True):
            with attempt:
                assert vault.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sivera-backup'"
                )

    said = reason(vault.check(made, tell=at(0.5, end)), Outcome.INCONCLUSIVE)
    assert "terminating connection" in said or "server closed the connection" in said
    assert vault.scratches() == []


def test_a_user_who_may_not_make_databases_leaves_it_open(vault: Vault) -> None:
    made = vault.backed_up()
    vault.execute("CREATE ROLE clerk LOGIN")
    try:
        found = checking.check_backup(
            made,
            vault.catalog,
            vault.engine.url.set(username="clerk"),
            lambda: vault.keyring,
            Vault.monotonic(NEVER),
        )
    finally:
        vault.execute("DROP ROLE clerk")
    assert "ALTER ROLE clerk CREATEDB" in reason(found, Outcome.INCONCLUSIVE)


def test_databases_of_checks_that_were_killed_go_and_those_in_use_stay(vault: Vault) -> None:
    made = vault.backed_up()
    with checking.scratch_database(vault.engine.url) as used:
        with vault.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE sivera_check_left"))
        assert vault.check(made) == VERIFIED
        assert vault.scratches() == [used.database]
    assert vault.scratches() == []


def test_a_server_that_is_newer_than_pg_dump_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [find_programs(version).version for version in (12, 16, 17, 18)] == [16, 16, 18, 18]
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.2'\n")
    old.chmod(0o755)
    monkeypatch.setenv("SIVERA_POSTGRES_BIN_DIR", str(tmp_path))
    assert find_programs(14).folder == tmp_path
    with pytest.raises(
        ConfigurationError, match=r"of PostgreSQL 18, and pg_dump here is 14: .*SIVERA_POSTGRES_BIN_DIR"
    ):
        find_programs(18)
    old.unlink()
    with pytest.raises(ConfigurationError, match="cannot be run"):
        find_programs(14)


def test_the_password_is_in_no_argument(vault: Vault) -> None:
    vault.fill(BIG)
    seen: list[tuple[list[str], dict[str, str]]] = []
    url = vault.engine.url.set(password="s3cret/한글")
    deps = vault.deps()
    origin = backing_up.begin(deps)
    look = at(0, lambda: seen.append((child("pg_dump").cmdline(), child("pg_dump").environ())))
    dump(origin, url, vault.catalog, Vault.monotonic(NEVER), look)
    ((arguments, environment),) = seen
    assert not [each for each in arguments if "s3cret" in each or "***" in each]
    assert environment["PGPASSWORD"] == "s3cret/한글"
    assert not [name for name in environment if name.startswith(("PREFECT", "SIVERA"))]


def test_a_database_that_asks_for_a_password_is_backed_up_and_restored(vault: Vault, postgres: str) -> None:
    vault.fill()
    with asking_for_a_password(vault, "s3cret/한글") as clerk, beside(postgres, "test_target") as target:
        deps = dataclasses.replace(vault.deps(), url=clerk)
        made = backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), lambda _: None)
        assert isinstance(made, Manifest), made
        assert backing_up.check(deps, made, Vault.monotonic(NEVER), lambda _: None).verdict == VERIFIED
        url = clerk.set(database=make_url(target).database)
        restore(made, vault.catalog, url, lambda: vault.keyring, Vault.monotonic(NEVER))


def test_older_backups_go_and_the_account_says_so(vault: Vault) -> None:
    vault.fill()
    first, second = vault.backed_up(), vault.backed_up()
    vault.check(first)
    third = vault.backed_up()
    assert vault.check(third) == VERIFIED
    dropped = backing_up.drop_superfluous(vault.deps(), BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0))
    assert sorted(dropped) == sorted([first.name, second.name])
    assert [each.name for each in vault.catalog.list()[0]] == [third.name]
    assert sorted(path.name for path in vault.folder.iterdir()) == [f"{third.name}.dump", f"{third.name}.json"]
    kept = vault.rows("SELECT path FROM backups WHERE deleted_at IS NULL")
    assert kept == [(f"{third.name}.dump",)]


def test_backups_that_were_removed_by_a_run_that_broke_off_are_no_longer_kept(vault: Vault) -> None:
    first, second, third = (vault.backed_up() for _ in range(3))
    assert vault.check(third) == VERIFIED
    fewest = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)
    vault.dump_file(second).unlink()
    (vault.dump_file(second) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"dump"):
        backing_up.drop_superfluous(vault.deps(), fewest)
    assert not vault.dump_file(first).exists()
    (vault.dump_file(second) / "in the way").rmdir()
    vault.dump_file(second).rmdir()
    assert backing_up.drop_superfluous(vault.deps(), fewest) == [second.name]
    assert vault.rows("SELECT path FROM backups WHERE deleted_at IS NULL") == [(f"{third.name}.dump",)]


def test_a_count_that_a_lock_holds_up_ends_with_the_deadline(vault: Vault) -> None:
    with vault.engine.begin() as holder:
        holder.execute(text("LOCK TABLE sessions"))
        assert "the deadline came" in reason(vault.back_up(until=3), Outcome.INCONCLUSIVE)
    assert list(vault.folder.glob("*")) == []


def test_a_statement_that_the_deadline_ends_is_not_told_as_a_failure_of_the_database(vault: Vault) -> None:
    with vault.engine.begin() as holder:
        # Before anything is dumped or counted, it is read which keys are needed.
        holder.execute(text("LOCK TABLE platform_credentials"))
        assert "the deadline came" in reason(vault.back_up(until=1), Outcome.INCONCLUSIVE)
    assert list(vault.folder.glob("*")) == []


def test_a_storage_without_files_of_its_own_will_do(vault: Vault) -> None:
    vault.fill(BIG)
    catalog = Catalog(DirFileSystem(path=f"/{vault.folder.name}", fs=MemoryFileSystem(skip_instance_cache=True)))
    deps = dataclasses.replace(vault.deps(), catalog=catalog)
    made = backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), lambda _: None)
    assert isinstance(made, Manifest), made
    assert backing_up.check(deps, made, Vault.monotonic(NEVER), lambda _: None).verdict == VERIFIED
    assert catalog.list()[0][0].outcome is Outcome.VERIFIED
    catalog.remove(made.name)
    assert catalog.list() == ([], [])


def test_a_manifest_that_cannot_be_read_is_said_and_left_alone(vault: Vault) -> None:
    made = vault.backed_up()
    (vault.folder / "odd.json").write_text("{")
    (vault.folder / "swapped.json").write_text(vault.dump_file(made).with_suffix(".json").read_text())
    found, unreadable = catalog_in(vault.folder).list()
    assert [each.name for each in found] == [made.name]
    assert [re.sub(":.*", "", each) for each in unreadable] == [
        "the manifest of backup odd cannot be read",
        f"the manifest of backup swapped is that of {made.name}",
    ]


@contextmanager
def closing_engine(url: URL) -> Iterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def asking_for_a_password(vault: Vault, password: str) -> Iterator[URL]:
    """The URL of a user whom the server lets in by SCRAM alone."""
    ((path,),) = vault.rows("SHOW hba_file")
    rules = Path(str(path))
    before = rules.read_text()
    vault.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{password}'")
    rules.write_text(f"local all guarded scram-sha-256\nhost all guarded all scram-sha-256\n{before}")
    url = vault.engine.url.set(username="guarded", password=password)
    try:
        vault.execute("SELECT pg_reload_conf()")
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(30), reraise=True):
            with attempt, closing_engine(url.set(password="wrong")) as guesses, pytest.raises(ConfigurationError):
                check(guesses)
        yield url
    finally:
        rules.write_text(before)
        vault.execute("SELECT pg_reload_conf()")
        vault.execute("DROP ROLE guarded")


@contextmanager
def beside(postgres: str, name: str) -> Iterator[str]:
    """The URL of an empty database."""
    engine = open_engine(postgres)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
