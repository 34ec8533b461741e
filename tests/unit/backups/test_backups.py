"""Backups with real PostgreSQL: what is made, what its check finds, and what fails."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from tenacity import Retrying, stop_after_delay, wait_fixed

from sivera.backups import backing_up, checking
from sivera.backups.catalog import name_of
from sivera.backups.dumping import dump
from sivera.backups.manifest import Manifest, Outcome
from sivera.database import engine_on
from sivera.errors import ConfigurationError
from sivera.migrating import migrate
from tests.unit.backups.test_retention import backup
from tests.unit.backups.vault import (
    BIG,
    END,
    FEWEST,
    Vault,
    another,
    at,
    beside,
    deadline,
    dump_and_stop,
    dump_on_full_disk,
    reason,
)
from tests.unit.grants.processes import run, running


def test_the_name_is_in_utc() -> None:
    noon = datetime(2026, 11, 22, 3, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    assert name_of(UUID(int=0xAB << 120), noon) == "20261122T030000Z-ab000000"


def test_a_backup_is_what_the_database_held_at_one_moment_and_its_check_proves_it(vault: Vault, target: Vault) -> None:
    vault.fill()
    writes: list[float] = []

    def write(share: float) -> None:
        vault.execute("INSERT INTO sessions (token_hash, expires_at) VALUES (random()::text, now())")
        writes.append(share)

    made = vault.back_up(progress=write)
    assert isinstance(made, Manifest)
    assert {each.name: each.rows for each in made.tables}["sessions"] == 100
    assert len(vault.rows("SELECT FROM sessions")) == 100 + len(writes)
    assert (made.key_ids, made.outcome) == (("k1",), Outcome.RUNNING)
    assert made.size == vault.dump_file(made).stat().st_size > 0
    assert {path.stat().st_mode & 0o777 for path in vault.folder.iterdir()} == {0o600}
    shares: list[float] = []
    checked = backing_up.check(vault.deps(), made, deadline(), shares.append)
    assert reason(checked, Outcome.VERIFIED) == ""
    assert shares == sorted(shares)
    assert writes[-1] == shares[-1] == 1
    assert vault.scratches() == []
    assert vault.catalog.last_verified() == checked
    with pytest.raises(ConfigurationError, match="no tables of ours: run `sivera migrate`"):
        dump(uuid4(), target.engine.url, vault.catalog, vault.keyring, deadline())
    vault.execute("UPDATE sivera_alembic_version SET version_num = '9999'")
    said = reason(vault.back_up(), Outcome.INCONCLUSIVE)
    assert said.startswith("the database is at revision 9999, and this version backs up 0")
    assert "install the newer version" in said
    assert len(vault.files()) == 2


def test_other_data_are_a_mismatch_and_a_missing_key_is_inconclusive(vault: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    tables = [each.model_copy(update={"rows": 99} if each.rows == 100 else {}) for each in made.tables]
    other = made.model_copy(update={"tables": tuple(tables)}).signed(vault.keyring)
    assert "has 100 rows of sessions instead of 99" in reason(vault.judge(other), Outcome.MISMATCH)
    other = made.model_copy(update={"tables": made.tables[1:]}).signed(vault.keyring)
    assert f"differs in {made.tables[0].name})" in reason(vault.judge(other), Outcome.MISMATCH)
    other = made.model_copy(update={"revision": "9999"}).signed(vault.keyring)
    assert "install the newer version" in reason(vault.judge(other), Outcome.INCONCLUSIVE)
    assert "lacks 'k1'" in reason(vault.judge(made, keyring=another("k2")), Outcome.INCONCLUSIVE)


def test_what_is_restored_is_read_again_and_compared(vault: Vault) -> None:
    vault.fill()
    # A dump that can be restored, but is not what the database then gives back: its order is another.
    made = vault.rewrite(vault.backed_up(), "sessions", lambda lines: lines[::-1])
    said = reason(vault.judge(made), Outcome.MISMATCH)
    assert said == "what was restored is not what was backed up (sessions): use another backup"


def test_a_dump_that_fails_leaves_no_half_backup(vault: Vault) -> None:
    vault.fill(BIG)
    url = vault.engine.url.render_as_string(hide_password=False)
    assert run(dump_on_full_disk, url, str(vault.folder)) == 0
    made = vault.back_up(progress=at(0.1, lambda: vault.rows(END)))
    assert "was lost" in reason(made, Outcome.INCONCLUSIVE)
    with vault.engine.begin() as holder:
        holder.execute(text("LOCK TABLE sessions"))
        assert "the deadline passed" in reason(vault.back_up(seconds=0.1), Outcome.INCONCLUSIVE)
    assert vault.files() == []


def test_the_next_run_removes_what_a_killed_one_left(vault: Vault) -> None:
    vault.fill(BIG)
    url = vault.engine.url.render_as_string(hide_password=False)
    with running(dump_and_stop, 1, url, str(vault.folder)):
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(60), reraise=True):
            with attempt:
                assert [each.suffix for each in vault.folder.iterdir()] == [".part"]
    vault.execute("TRUNCATE sessions CASCADE")
    (vault.folder / "20261122T030000Z-00000000.dump").write_bytes(b"killed before its manifest")
    (vault.folder / "made-by-hand.dump").write_bytes(b"not ours")
    unchecked, made = vault.backed_up(), vault.backed_up()
    ours = {f"{each.name}{ending}" for each in (unchecked, made) for ending in (".dump", ".json")}
    assert set(vault.files()) == {"made-by-hand.dump", *ours}
    said = reason(vault.catalog.read(unchecked.name), Outcome.INCONCLUSIVE)
    assert said == "the run ended before the check did"
    assert vault.catalog.read(made.name).outcome is Outcome.RUNNING


def test_a_manifest_that_cannot_be_read_is_named_and_what_it_stands_for_is_kept(vault: Vault) -> None:
    first, second, made = (backup(name=f"20261122T03000{n}Z-00000000") for n in range(3))
    for each in (first, second, made):
        vault.catalog.write(each)
    manifests = [vault.folder / f"{each.name}.json" for each in (first, second)]
    manifests[0].write_text(manifests[1].read_text())
    manifests[1].write_text("{")
    found, unreadable = vault.catalog.list()
    assert [each.name for each in found] == [made.name]
    assert sorted(unreadable) == [
        f"the manifest of backup {first.name} is that of {second.name} (the file was renamed): rename it back",
        f"the manifest of backup {second.name} cannot be read (damaged, or of another version): restore another backup",
    ]
    assert backing_up.drop_superfluous(vault.deps(), FEWEST) == []
    for name in ("missing", f"../{made.name}"):
        with pytest.raises(ConfigurationError, match=f"there is no backup {name}: see `sivera restore list`"):
            vault.catalog.read(name)


def test_a_check_that_does_not_end_is_inconclusive(vault: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()
    assert "the deadline passed" in reason(vault.judge(made, seconds=0), Outcome.INCONCLUSIVE)
    assert "was lost" in reason(vault.judge(made, progress=at(0.3, lambda: vault.rows(END))), Outcome.INCONCLUSIVE)
    assert vault.scratches() == []


def test_the_scratch_database_of_a_killed_check_is_dropped_and_two_checks_take_turns(vault: Vault) -> None:
    with vault.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE sivera_check_test_sivera"))
    with checking.scratch_database(vault.engine.url) as used:
        assert vault.scratches() == [used.database] == ["sivera_check_test_sivera"]
        second = checking.scratch_database(vault.engine.url)
        with pytest.raises(ConfigurationError, match="another check"), second:
            pass
        assert vault.scratches() == [used.database]
    assert vault.scratches() == []


@pytest.mark.parametrize("name", ["x" * 60, "가" * 20])
def test_the_database_may_have_a_long_name(vault: Vault, postgres: str, name: str) -> None:
    with beside(postgres, name) as url, engine_on(url) as engine:
        migrate(engine)
        named = replace(vault, engine=engine)
        assert reason(named.judge(named.backed_up()), Outcome.VERIFIED) == ""
        with checking.scratch_database(engine.url) as used:
            assert named.scratches() == [used.database]
    assert vault.scratches() == []


def test_older_backups_are_dropped_also_if_that_broke_off_before(vault: Vault) -> None:
    first, second = (backup(name=f"20261122T03000{n}Z-00000000", outcome=Outcome.MISMATCH) for n in range(2))
    third = backup(name="20261122T030002Z-00000000")
    for each in (first, second, third):
        vault.catalog.write(each)
    for each in (first, third):
        vault.dump_file(each).write_bytes(b"dump")
    assert backing_up.drop_superfluous(vault.deps(), FEWEST) == [first.name, second.name]
    assert vault.files() == [f"{third.name}.dump", f"{third.name}.json"]
