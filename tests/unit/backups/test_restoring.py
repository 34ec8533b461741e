"""Restoring a backup into an empty database."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sivera.backups.manifest import Manifest, Mismatch, Outcome
from sivera.backups.programs import ProgramFailed
from sivera.backups.restoring import restore, restore_and_compare
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import check_keyring
from sivera.migrating import migrate
from tests.unit.backups.test_backups import BIG, another, flipped, reason
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


def to(vault: Vault, made: Manifest, target: Vault, keyring: Keyring | None, *, without_keys: bool = False) -> None:
    restore(made, vault.catalog, target.engine.url, keyring, deadline(), without_keys=without_keys)


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
    with pytest.raises(Mismatch, match="or the key 'k1' in the block token-key is another"):
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
    with pytest.raises(ConfigurationError, match="postgres is a superuser, and nothing proves"):
        to(vault, made, target, None)
    to(vault, made, target, vault.keyring, without_keys=True)
    assert tables(target) == tables(vault)


def test_a_backup_that_is_not_proven_to_be_ours_is_refused_before_anything_is_run(vault: Vault, target: Vault) -> None:
    made = vault.backed_up()
    path = vault.folder / f"{made.name}.json"
    written = json.loads(path.read_text())

    def refused(expected: str, keyring: Keyring = vault.keyring, **changes: object) -> None:
        path.write_text(json.dumps(written | changes))
        changed = vault.catalog.read(made.name)
        for without_keys in (False, True):
            with pytest.raises(SiveraError, match=expected):
                to(vault, changed, target, keyring, without_keys=without_keys)
        assert re.search(expected, vault.judge(changed, keyring=keyring).reason)
        assert tables(target) == 0

    forged = "was changed or forged, or the key 'k1' in the block"
    # As somebody does who writes to the storage and knows all but the key.
    vault.dump_file(made).write_bytes(b"PGDMP" + bytes(made.size - 5))
    digests = (hashlib.sha256(vault.dump_file(made).read_bytes()).hexdigest(),)
    refused(forged, chunks=digests)
    refused(forged, mac=made.model_copy(update={"chunks": digests}).signed(another("k1")).mac)
    refused(forged, shape={"rows": {"public.sessions": 0}, "revision": "0001"})
    refused("has no MAC", mac="")
    refused("lacks 'k2', which proves", mac_key_id="k2")
    assert vault.catalog.read(made.name).mac == made.mac
    checked = vault.check(made)
    assert "damaged" in reason(checked, Outcome.MISMATCH)
    checked.require_ours(vault.keyring)
