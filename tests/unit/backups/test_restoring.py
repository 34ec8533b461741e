"""Restoring a backup into an empty database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sivera.backups.manifest import Manifest
from sivera.backups.programs import ProgramFailed
from sivera.backups.restoring import Mismatch, restore, restore_and_compare
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.errors import ConfigurationError
from sivera.grants.keys import check_keyring
from sivera.migrating import migrate
from tests.unit.backups.test_backups import BIG, another, flipped
from tests.unit.backups.vault import Vault, at, beside, deadline


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
    restore(made, vault.catalog, target.engine.url, (lambda: keyring) if keyring else None, deadline())


def tables(vault: Vault) -> int:
    ((count,),) = vault.rows("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
    assert isinstance(count, int)
    return count


def test_what_was_backed_up_is_there_again_and_works(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    to(vault, made, target, vault.keyring)
    for query in ("SELECT * FROM sessions ORDER BY id", "SELECT id, access_token FROM platform_credentials"):
        assert target.rows(query) == vault.rows(query)
    migrate(target.engine)
    check_keyring(target.engine, vault.keyring)
    target.execute("INSERT INTO teams (name) VALUES ('next')")
    assert target.rows("SELECT id FROM teams WHERE name = 'next'") == [(2,)]


def test_nothing_changes_if_a_restore_is_refused_or_ended(vault: Vault, target: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()
    with pytest.raises(ConfigurationError, match="lacks 'k1'"):
        to(vault, made, target, another("k2"))
    with pytest.raises(Mismatch, match="the key 'k1' in the block token-key does not decrypt"):
        to(vault, made, target, another("k1"))
    raw = vault.dump_file(made).read_bytes()
    # In the last chunk: pg_restore has read the others and does not look at the checksum.
    vault.dump_file(made).write_bytes(flipped(raw, -5))
    with pytest.raises(Mismatch, match="is damaged"):
        to(vault, made, target, vault.keyring)
    vault.dump_file(made).write_bytes(raw)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sivera-backup'"
    url = target.engine.url
    with pytest.raises(ProgramFailed):
        restore_and_compare(made, vault.catalog, url, None, deadline(), at(0.5, lambda: vault.rows(end)))
    assert tables(target) == 0
    to(vault, made, target, None)
    assert tables(target) == tables(vault)
