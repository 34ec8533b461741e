"""The way back from a backup, into an empty database."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from sivera.backups.checking import Mismatch
from sivera.backups.manifest import Manifest
from sivera.backups.programs import ProgramFailed
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import STATEMENT_TIMEOUT_SECONDS, migrate, open_engine
from sivera.errors import ConfigurationError
from sivera.grants.keys import check_keyring
from tests.unit.backups.test_backups import BIG, another, beside
from tests.unit.backups.vault import NEVER, Vault, at, nothing


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Vault:
    return Vault(engine, keyring, tmp_path / "backups")


@pytest.fixture
def target(postgres: str) -> Iterator[Vault]:
    """An empty database."""
    with beside(postgres, "test_target") as url:
        engine = open_engine(url)
        yield Vault(engine, another("k9"), Path())
        engine.dispose()


def to(vault: Vault, made: Manifest, target: Vault, keyring: Keyring | None) -> None:
    get = (lambda: keyring) if keyring else None
    restore(made, vault.catalog, target.engine.url, get, Vault.monotonic(NEVER))


def tables(vault: Vault) -> int:
    ((count,),) = vault.rows("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
    assert isinstance(count, int)
    return count


def test_what_was_backed_up_is_there_again_and_works(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    # No more than the storage is needed: of the database that is gone, nothing is asked.
    to(vault, made, target, vault.keyring)
    for query in ("SELECT * FROM sessions ORDER BY id", "SELECT id, access_token FROM platform_credentials"):
        assert target.rows(query) == vault.rows(query)
    migrate(target.engine)
    check_keyring(target.engine, vault.keyring)
    target.execute("INSERT INTO teams (name) VALUES ('next')")
    assert target.rows("SELECT id FROM teams WHERE name = 'next'") == [(2,)]
    # The run that made this backup is under way in it: the first one afterwards completes it from the manifest.
    again = Vault(target.engine, vault.keyring, vault.folder)
    vault.check(made)
    again.backed_up()
    assert again.accounts()[0] == ("verified", f"{made.name}.dump", None)


def test_a_database_that_is_not_empty_is_refused(vault: Vault, target: Vault) -> None:
    made = vault.backed_up()
    target.execute("CREATE TABLE theirs (id int)")
    with pytest.raises(ConfigurationError, match=r"test_target is not empty: it has 1 tables, such as public\.theirs"):
        to(vault, made, target, vault.keyring)
    with pytest.raises(ConfigurationError, match="is not empty"):
        to(vault, made, vault, vault.keyring)
    assert tables(target) == 1


def test_a_missing_key_is_named_and_without_keys_it_restores_all_the_same(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    with pytest.raises(ConfigurationError, match="lacks 'k1'"):
        to(vault, made, target, another("k2"))
    assert tables(target) == 0
    to(vault, made, target, None)
    assert tables(target) == tables(vault)


def test_a_wrong_key_is_found_before_anything_is_changed(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    with pytest.raises(Mismatch, match="the key 'k1' in the block token-key does not decrypt"):
        to(vault, made, target, another("k1"))
    assert tables(target) == 0
    old = made.model_copy(update={"sentinels": {}})
    with pytest.raises(Mismatch, match="the key 'k1' in the block token-key does not decrypt"):
        to(vault, old, target, another("k1"))
    assert tables(target) == tables(vault), "a manifest of earlier versions cannot tell"


class Deadline(float):
    """A day away until it has come."""

    has_come = False

    def __sub__(self, now: float) -> float:
        return 0.0 if self.has_come else super().__sub__(now)


def test_the_deadline_holds_for_the_statistics_too(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    # Not a time: however long the restore takes, there is enough for it, and none left for what comes after it.
    until, locked = Deadline(Vault.monotonic(NEVER)), 0.0
    with target.engine.connect() as holder:

        def lock() -> Keyring:
            nonlocal locked
            if tables(target):
                holder.execute(text("LOCK TABLE sessions IN SHARE UPDATE EXCLUSIVE MODE"))  # which ANALYZE wants
                until.has_come, locked = True, time.monotonic()
            return vault.keyring

        with pytest.raises(OperationalError, match="statement timeout"):
            restore(made, vault.catalog, target.engine.url, lock, until)
    assert 0 < time.monotonic() - locked < STATEMENT_TIMEOUT_SECONDS / 2, "sooner than any statement ends"


def test_a_damaged_backup_changes_nothing(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    raw = bytearray(vault.dump_file(made).read_bytes())
    raw[-5] ^= 1
    vault.dump_file(made).write_bytes(raw)
    with pytest.raises(Mismatch, match="is damaged"):
        to(vault, made, target, vault.keyring)
    vault.dump_file(made).unlink()
    with pytest.raises(Mismatch, match="is gone"):
        to(vault, made, target, vault.keyring)
    assert tables(target) == 0


def test_a_restore_that_is_ended_leaves_the_database_empty(vault: Vault, target: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()
    end = at(
        0.5,
        lambda: vault.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sivera-backup'"
        ),
    )
    with pytest.raises(ProgramFailed):
        restore(made, vault.catalog, target.engine.url, lambda: vault.keyring, Vault.monotonic(NEVER), end)
    assert tables(target) == 0
    restore(made, vault.catalog, target.engine.url, lambda: vault.keyring, Vault.monotonic(NEVER), nothing)
    assert tables(target) == tables(vault)
