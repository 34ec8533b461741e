"""Backups with real PostgreSQL and its own programs: what is made, what its check finds, and what fails."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from sqlalchemy import URL, Engine, make_url, text
from tenacity import Retrying, stop_after_delay, wait_fixed

from sivera.backups import backing_up, checking
from sivera.backups.catalog import name_of
from sivera.backups.dumping import dump
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from sivera.backups.programs import find_programs
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError
from tests.unit.backups.vault import Vault, at, beside, deadline, dump_and_stop, dump_on_full_disk, nothing
from tests.unit.grants.processes import run, running

BIG = 6000
"""Sessions whose dump is some megabytes: more than a pipe and a chunk hold."""

VERIFIED = Verdict(outcome=Outcome.VERIFIED)
FEWEST = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Vault:
    (tmp_path / "backups").mkdir()
    return Vault(engine, keyring, tmp_path / "backups")


def another(key_id: str) -> Keyring:
    return Keyring({key_id: base64.b64decode("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")}, current=key_id)


def child(name: str) -> psutil.Process:
    (found,) = [each for each in psutil.Process().children() if each.name() == name]
    return found


def reason(verdict: object, outcome: Outcome) -> str:
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is outcome, verdict
    return verdict.reason


def test_the_name_is_in_utc() -> None:
    noon = datetime(2026, 11, 22, 3, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    assert name_of(UUID(int=0xAB << 120), noon) == "20261122T030000Z-ab000000"


def test_a_backup_is_what_the_database_held_at_one_moment_and_its_check_proves_it(vault: Vault) -> None:
    vault.fill()
    writes: list[float] = []

    def write(share: float) -> None:
        vault.execute("INSERT INTO sessions (token_hash, expires_at) VALUES (random()::text, now())")
        writes.append(share)

    made = vault.back_up(progress=write)
    assert isinstance(made, Manifest)
    assert writes
    assert made.shape.rows["public.sessions"] == 100
    assert vault.rows("SELECT count(*) FROM sessions") == [(100 + len(writes),)]
    assert (made.key_ids, made.outcome) == (("k1",), Outcome.RUNNING)
    assert made.size == vault.dump_file(made).stat().st_size > 0
    assert {path.stat().st_mode & 0o777 for path in vault.folder.iterdir()} == {0o600}
    shares: list[float] = []
    assert vault.check(made, progress=shares.append) == VERIFIED
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert vault.scratches() == []
    beside = json.loads((vault.folder / f"{made.name}.json").read_text())
    assert (beside["outcome"], beside["sha256"]) == ("verified", made.sha256)
    latest = vault.catalog.last_verified()
    assert latest
    assert latest.name == made.name


def test_an_empty_database_of_ours_is_verified_and_one_without_tables_refused(vault: Vault, postgres: str) -> None:
    made = vault.backed_up()
    assert sum(made.shape.rows.values()) == 1  # the revision
    assert vault.check(made) == VERIFIED
    with (
        beside(postgres, "test_bare") as url,
        pytest.raises(ConfigurationError, match="run `sivera migrate`"),
    ):
        dump(uuid4(), open_engine(url).url, vault.catalog, deadline())
    assert len(vault.files()) == 2


def flipped(raw: bytes, at: int) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


def test_a_damaged_a_truncated_and_a_missing_file_are_mismatches(vault: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    file = vault.dump_file(made)
    raw = file.read_bytes()
    for place in (0, 40, len(raw) // 2, -1):
        file.write_bytes(flipped(raw, place))
        assert "is damaged: its SHA-256" in reason(vault.check(made), Outcome.MISMATCH)
    for length in (0, len(raw) // 2, len(raw) - 1):
        file.write_bytes(raw[:length])
        assert f"but {made.size} were written" in reason(vault.check(made), Outcome.MISMATCH)
    file.unlink()
    assert "is gone from the storage" in reason(vault.check(made), Outcome.MISMATCH)
    assert [each.outcome for each in vault.catalog.list()[0]] == [Outcome.MISMATCH]
    assert vault.scratches() == []


def test_other_data_and_other_keys_are_mismatches_and_a_missing_key_is_inconclusive(vault: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    shape = made.shape.model_copy(update={"rows": {**made.shape.rows, "public.sessions": 99}, "revision": "0000"})
    said = reason(vault.check(made.model_copy(update={"shape": shape})), Outcome.MISMATCH)
    assert f"public.sessions has 100 rows, and had 99 rows; revision: {made.shape.revision}, and before 0000" in said
    assert "the key 'k1' in the block token-key does not decrypt" in reason(
        vault.check(made, another("k1")), Outcome.MISMATCH
    )
    assert "lacks 'k1'" in reason(vault.check(made, another("k2")), Outcome.INCONCLUSIVE)
    assert vault.check(made) == VERIFIED


def test_a_dump_that_fails_leaves_no_half_backup(vault: Vault) -> None:
    vault.fill(BIG)
    url = vault.engine.url.render_as_string(hide_password=False)
    assert run(dump_on_full_disk, url, str(vault.folder), str(uuid4())) == 0
    made = vault.back_up(progress=at(0, lambda: child("pg_dump").kill()))
    assert reason(made, Outcome.INCONCLUSIVE) == "pg_dump was ended by signal 9"
    assert "the deadline came" in reason(vault.back_up(seconds=0), Outcome.INCONCLUSIVE)
    with vault.engine.begin() as holder:
        holder.execute(text("LOCK TABLE sessions"))
        assert "the deadline came" in reason(vault.back_up(seconds=1), Outcome.INCONCLUSIVE)
    assert vault.files() == []


def test_the_next_run_removes_what_a_killed_one_left(vault: Vault) -> None:
    vault.fill(BIG)
    url = vault.engine.url.render_as_string(hide_password=False)
    with running(dump_and_stop, 1, url, str(vault.folder), str(uuid4())):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True):
            with attempt:
                assert [each.suffix for each in vault.folder.iterdir()] == [".part"]
    (vault.folder / "20261122T030000Z-00000000.dump").write_bytes(b"killed before its manifest")
    (vault.folder / "made-by-hand.dump").write_bytes(b"not ours")
    unchecked = vault.backed_up()
    made = vault.backed_up()
    assert set(vault.files()) == {
        "made-by-hand.dump",
        *(f"{each.name}{ending}" for each in (unchecked, made) for ending in (".dump", ".json")),
    }
    assert vault.catalog.read(unchecked.name).verdict == Verdict(
        outcome=Outcome.INCONCLUSIVE, reason="the run ended before the check did"
    )
    assert vault.catalog.read(made.name).outcome is Outcome.RUNNING


def test_a_manifest_that_cannot_be_read_is_named_and_stops_no_later_backup(vault: Vault) -> None:
    first, second = vault.backed_up(), vault.backed_up()
    manifests = [vault.folder / f"{each.name}.json" for each in (first, second)]
    manifests[0].write_text(manifests[1].read_text())
    manifests[1].write_text("{")
    made = vault.backed_up()
    assert vault.check(made) == VERIFIED
    found, unreadable = vault.catalog.list()
    assert [each.name for each in found] == [made.name]
    assert sorted(unreadable) == sorted(
        [
            f"the manifest of backup {first.name} is that of {second.name}: a file was renamed",
            f"the manifest of backup {second.name} cannot be read: it is damaged, or of another version",
        ]
    )
    assert backing_up.drop_superfluous(vault.deps(), FEWEST) == []
    assert vault.dump_file(first).exists()


def test_a_check_that_cannot_be_made_is_inconclusive(vault: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()

    def verdict(seconds: float = 600, progress: Callable[[float], None] = nothing, user: str = "") -> str:
        url = vault.engine.url.set(username=user) if user else vault.engine.url
        found = checking.check_backup(made, vault.catalog, url, lambda: vault.keyring, deadline(seconds), progress)
        assert vault.scratches() == []
        return reason(found, Outcome.INCONCLUSIVE)

    def end() -> None:
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(30), reraise=True):
            with attempt:
                assert vault.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sivera-backup'"
                )

    assert "the deadline came" in verdict(seconds=0)
    said = verdict(progress=at(0.5, end))
    assert "terminating connection" in said or "server closed the connection" in said
    vault.execute("CREATE ROLE clerk LOGIN")
    try:
        assert "ALTER ROLE clerk CREATEDB" in verdict(user="clerk")
    finally:
        vault.execute("DROP ROLE clerk")


def test_scratch_databases_of_killed_checks_are_dropped_and_those_in_use_stay(vault: Vault) -> None:
    made = vault.backed_up()
    with checking.scratch_database(vault.engine.url) as used:
        with vault.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE sivera_check_left"))
        assert vault.check(made) == VERIFIED
        assert vault.scratches() == [used.database]
    assert vault.scratches() == []


def test_programs_older_than_the_server_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_database_with_a_password_is_backed_up_and_restored_and_no_argument_shows_it(
    vault: Vault, postgres: str
) -> None:
    vault.fill(BIG)
    seen: list[tuple[list[str], dict[str, str]]] = []
    look = at(0, lambda: seen.append((child("pg_dump").cmdline(), child("pg_dump").environ())))
    with asking_for_a_password(vault, "s3cret/한글") as url, beside(postgres, "test_target") as target:
        made = dump(uuid4(), url, vault.catalog, deadline(), look)
        found = checking.check_backup(made, vault.catalog, url, lambda: vault.keyring, deadline())
        assert found == VERIFIED
        empty = url.set(database=make_url(target).database)
        restore(made, vault.catalog, empty, lambda: vault.keyring, deadline())
    ((arguments, environment),) = seen
    assert not [each for each in arguments if "s3cret" in each or "***" in each]
    assert environment["PGPASSWORD"] == "s3cret/한글"
    assert not [name for name in environment if name.startswith(("PREFECT", "SIVERA"))]


def test_older_backups_are_dropped_and_what_broke_off_is_dropped_by_the_next_run(vault: Vault) -> None:
    first, second, third = (vault.backed_up() for _ in range(3))
    assert vault.check(third) == VERIFIED
    vault.dump_file(second).unlink()
    (vault.dump_file(second) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"dump"):
        backing_up.drop_superfluous(vault.deps(), FEWEST)
    assert not vault.dump_file(first).exists()
    (vault.dump_file(second) / "in the way").rmdir()
    vault.dump_file(second).rmdir()
    assert second.name in backing_up.drop_superfluous(vault.deps(), FEWEST)
    assert vault.files() == [f"{third.name}.dump", f"{third.name}.json"]


@contextmanager
def asking_for_a_password(vault: Vault, password: str) -> Iterator[URL]:
    """Yield the URL of a user who needs a password."""
    ((path,),) = vault.rows("SHOW hba_file")
    rules = Path(str(path))
    before = rules.read_text()
    vault.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{password}'")
    rules.write_text(f"local all guarded scram-sha-256\nhost all guarded all scram-sha-256\n{before}")
    url = vault.engine.url.set(username="guarded", password=password)
    guesses = open_engine(url.set(password="wrong"))
    try:
        vault.execute("SELECT pg_reload_conf()")
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(30), reraise=True):
            with attempt, pytest.raises(ConfigurationError):
                check(guesses)
            guesses.dispose()
        yield url
    finally:
        rules.write_text(before)
        vault.execute("SELECT pg_reload_conf()")
        vault.execute("DROP ROLE guarded")
