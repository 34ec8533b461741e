"""Restoring a backup into an empty database."""

import gzip
import json
import re

import pytest
from sqlalchemy.exc import DBAPIError

from sivera.backups import backing_up
from sivera.backups.manifest import Manifest, Mismatch, Outcome
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import check_keyring
from sivera.migrating import migrate
from tests.unit.backups.vault import Vault, another, deadline, flipped, reason


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


def test_nothing_of_a_damaged_truncated_or_missing_file_is_restored(
    vault: Vault, target: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    vault.fill(1000)
    made = vault.backed_up()
    file = vault.dump_file(made)
    raw = file.read_bytes()
    text = gzip.decompress(raw)
    # A tab fewer is refused by the database, before or after the checksum is known.
    without_tabs = [re.sub(pattern, b"", text, count=1) for pattern in (rb"\t(?=Main)", rb"\t(?=[0-9a-f]{960})")]
    changed = [*without_tabs, text.replace(b"Main", b"Mein", 1), text[:-1], text + b"1\n"]
    broken = [flipped(raw, 0), flipped(raw, len(raw) // 2), flipped(raw, -5), raw[:-1], raw + b"x", b""]
    for damaged in [*map(gzip.compress, changed), *broken]:
        file.write_bytes(damaged)
        with pytest.raises(Mismatch, match="is damaged"):
            to(vault, made, target, vault.keyring)
        assert tables(target) == 0
    file.unlink()
    with pytest.raises(Mismatch, match="is gone from the storage"):
        to(vault, made, target, vault.keyring)
    file.symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):  # the storage failed, which says nothing of the backup
        to(vault, made, target, vault.keyring)
    assert tables(target) == 0
    assert "WARNING" not in caplog.text, "it would show values of rows"


def test_nothing_changes_if_a_restore_is_ended_or_refused(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.backed_up()
    with pytest.raises(SiveraError, match="the deadline passed"):
        restore(made, vault.catalog, target.engine.url, vault.keyring, deadline(0))
    # Rows of a grant that is not there: the bytes are right, and the database refuses them.
    other = vault.rewrite(
        made, "platform_credentials", lambda lines: [line.replace(b"1\t1", b"1\t7") for line in lines]
    )
    with pytest.raises(DBAPIError, match=r"^the database failed \(DBAPIError, 23503\): report it"):
        to(vault, other, target, vault.keyring)
    assert tables(target) == 0


def test_an_unproven_backup_fills_no_other_tables(vault: Vault, target: Vault) -> None:
    vault.fill()
    made = vault.rewrite(vault.backed_up(), "sessions", lambda lines: lines[:1])
    forged = made.tables[-1].model_copy(update={"name": "pg_authid", "columns": ("rolname",)})
    with pytest.raises(Mismatch, match=r"tables of revision 0001 \(it differs in pg_authid\)"):
        to(vault, made.model_copy(update={"tables": (*made.tables, forged)}), target, None)
    to(vault, made, target, None)
    assert len(target.rows("SELECT FROM sessions")) == 1
    assert target.rows("SELECT FROM token_keys") == []


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

    forged = "was changed or forged, or the block token-key has a different key 'k1'"
    # As somebody does who writes to the storage and knows all but the key.
    other = vault.rewrite(made, "sessions", lambda lines: lines[:50])
    changed = json.loads(other.model_dump_json(include={"tables"}))
    refused(forged, **changed)
    refused(forged, mac=other.signed(another("k1")).mac, **changed)
    refused(forged, revision="0000")
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
    with pytest.raises(Mismatch, match="the key 'k1' in the block token-key is not the one"):
        to(vault, made, target, both)
    assert tables(target) == 0
    to(vault, made, target, vault.keyring, without_keys=True)
    check_keyring(target.engine, vault.keyring)
