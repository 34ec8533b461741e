"""Restoring a backup into an empty database."""

import hashlib
import json
import re

import pytest

from sivera.backups import backing_up
from sivera.backups.manifest import Manifest, Mismatch, Outcome
from sivera.backups.programs import ProgramFailed
from sivera.backups.restoring import restore, restore_and_compare
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import check_keyring
from sivera.migrating import migrate
from tests.unit.backups.vault import BIG, END, Vault, another, at, deadline, flipped, reason


def to(vault: Vault, made: Manifest, target: Vault, keyring: Keyring | None, *, without_keys: bool = False) -> None:
    restore(made, vault.catalog, target.engine.url, keyring, deadline(), without_keys=without_keys)


def tables(vault: Vault) -> int:
    return len(vault.rows("SELECT FROM information_schema.tables WHERE table_schema = 'public'"))


def test_what_was_backed_up_is_there_again_and_works(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    to(vault, made, target, vault.keyring)
    for query in ("SELECT * FROM sessions ORDER BY id", "SELECT id, access_token FROM platform_credentials"):
        assert target.rows(query) == vault.rows(query)
    migrate(target.engine)
    check_keyring(target.engine, vault.keyring)
    target.execute("INSERT INTO teams (name) VALUES ('next')")
    assert [row.id for row in target.rows("SELECT id FROM teams WHERE name = 'next'")] == [2]


def test_nothing_changes_if_a_restore_is_refused_or_ended(vault: Vault, target: Vault) -> None:
    vault.fill(BIG)
    made = vault.backed_up()
    raw = vault.dump_file(made).read_bytes()
    # In the last chunk: pg_restore has read the others and does not look at the checksum.
    vault.dump_file(made).write_bytes(flipped(raw, -5))
    with pytest.raises(Mismatch, match="is damaged"):
        to(vault, made, target, vault.keyring)
    vault.dump_file(made).write_bytes(raw)
    url = target.engine.url
    with pytest.raises(ProgramFailed):
        restore_and_compare(made, vault.catalog, url, None, deadline(), at(0.5, lambda: vault.rows(END)))
    with pytest.raises(ConfigurationError, match="postgres is a superuser, and nothing proves"):
        to(vault, made, target, None)
    assert tables(target) == 0
    to(vault, made, target, vault.keyring, without_keys=True)
    assert tables(target) == tables(vault)


def test_a_backup_that_is_not_proven_to_be_ours_is_refused_before_anything_is_run(vault: Vault, target: Vault) -> None:
    vault.fill()
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

    forged = "was changed or forged, or the key 'k1' in the block token-key is another"
    # As somebody does who writes to the storage and knows all but the key.
    vault.dump_file(made).write_bytes(b"PGDMP" + bytes(made.size - 5))
    digests = (hashlib.sha256(vault.dump_file(made).read_bytes()).hexdigest(),)
    refused(forged, chunks=digests)
    refused(forged, mac=made.model_copy(update={"chunks": digests}).signed(another("k1")).mac)
    refused(forged, shape={"rows": {"public.sessions": 0}, "revision": "0001"})
    refused(forged, another("k1"))
    refused("has no MAC", mac="")
    refused("lacks 'k2', which proves", mac_key_id="k2")
    refused("lacks 'k1', which proves", another("k2"))
    assert tables(target) == 0
    checked = backing_up.check(vault.deps(), made, deadline(), lambda _: None)
    assert "damaged" in reason(checked, Outcome.MISMATCH)
    vault.catalog.read(made.name).require_ours(vault.keyring)


def test_a_key_of_tokens_that_is_missing_or_another_one_is_named(vault: Vault, target: Vault) -> None:
    vault.fill()
    vault.keyring = another("k2")
    made = vault.backed_up()
    with pytest.raises(ConfigurationError, match=r"lacks 'k1', which tokens .*: add it"):
        to(vault, made, target, vault.keyring)
    both = Keyring({"k1": bytes(32), "k2": bytes.fromhex("42" * 32)}, current="k2")
    assert "the key 'k1' in the block token-key is not the one" in reason(
        vault.judge(made, keyring=both), Outcome.MISMATCH
    )
    to(vault, made, target, vault.keyring, without_keys=True)
    check_keyring(target.engine, vault.keyring)
