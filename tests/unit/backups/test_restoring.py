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
from tests.unit.backups.databases import Database, deadline, other_keyring, reason


def to(source: Database, made: Manifest, target: Database, keyring: Keyring | None, **options: bool) -> None:
    restore(made, source.catalog, target.engine.url, keyring, deadline(), **options)


def tables(database: Database) -> int:
    return len(database.rows("SELECT FROM information_schema.tables WHERE table_schema = 'public'"))


def test_a_restored_database_has_the_rows_and_works(source: Database, made: Manifest, target: Database) -> None:
    to(source, made, target, source.keyring)
    for query in ("SELECT * FROM sessions ORDER BY id", "SELECT id, access_token FROM platform_credentials"):
        assert target.rows(query) == source.rows(query)
    migrate(target.engine)
    check_keyring(target.engine, source.keyring)
    target.execute("INSERT INTO teams (name) VALUES ('next')")
    assert [row.id for row in target.rows("SELECT id FROM teams WHERE name = 'next'")] == [2]


def test_a_damaged_truncated_or_missing_dump_restores_nothing(
    source: Database, target: Database, caplog: pytest.LogCaptureFixture
) -> None:
    source.add_sessions(1000)
    made = source.make_backup()
    file = source.dump_file(made)
    raw = file.read_bytes()
    text = gzip.decompress(raw)
    # The database refuses a missing tab before or after the end of the table, where its checksum is known.
    without_tabs = [re.sub(pattern, b"", text, count=1) for pattern in (rb"\t(?=Main)", rb"\t(?=[0-9a-f]{960})")]
    changed = [*without_tabs, text.replace(b"Main", b"Mein", 1), text[:-1], text + b"1\n"]
    flipped = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in (0, len(raw) // 2, len(raw) - 5)]
    broken = [*flipped, raw[:-1], raw + b"x", b""]
    for damaged in [*map(gzip.compress, changed), *broken]:
        file.write_bytes(damaged)
        with pytest.raises(Mismatch, match="is damaged"):
            to(source, made, target, source.keyring)
        assert tables(target) == 0
    file.unlink()
    with pytest.raises(Mismatch, match="is gone from the storage"):
        to(source, made, target, source.keyring)
    file.symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):  # the storage failed, which says nothing about the backup
        to(source, made, target, source.keyring)
    assert tables(target) == 0
    assert "WARNING" not in caplog.text, "it would show values of rows"


def test_an_interrupted_or_refused_restore_changes_nothing(source: Database, made: Manifest, target: Database) -> None:
    with pytest.raises(SiveraError, match="the deadline passed"):
        restore(made, source.catalog, target.engine.url, source.keyring, deadline(0))
    # A grant of a team that does not exist: the checksum is right, but the database refuses the row.
    other = source.rewrite(
        made, "platform_credentials", lambda lines: [line.replace(b"1\t1", b"1\t7") for line in lines]
    )
    with pytest.raises(DBAPIError, match=r"^the database failed \(DBAPIError, 23503\): report it"):
        to(source, other, target, source.keyring)
    assert tables(target) == 0


def test_an_unauthenticated_backup_fills_only_our_tables(source: Database, target: Database) -> None:
    made = source.rewrite(source.make_backup(), "sessions", lambda lines: lines[:1])
    forged = made.tables[-1].model_copy(update={"name": "pg_authid", "columns": ("rolname",)})
    with pytest.raises(Mismatch, match=r"tables of revision 0001 \(it differs in pg_authid\)"):
        to(source, made.model_copy(update={"tables": (*made.tables, forged)}), target, None)
    to(source, made, target, None)
    assert len(target.rows("SELECT FROM sessions")) == 1
    assert target.rows("SELECT FROM token_keys") == []


def test_a_backup_without_a_valid_mac_is_refused_before_any_sql_runs(
    source: Database, made: Manifest, target: Database
) -> None:
    path = source.folder / f"{made.name}.json"
    written = json.loads(path.read_text())

    def refused(expected: str, keyring: Keyring = source.keyring, **changes: object) -> None:
        path.write_text(json.dumps(written | changes))
        changed = source.catalog.read(made.name)
        for without_keys in (False, True):
            with pytest.raises(SiveraError, match=expected):
                to(source, changed, target, keyring, without_keys=without_keys)
        assert re.search(expected, source.check(changed, keyring=keyring).reason)

    forged = "was changed or forged, or the block token-key has a different key 'k1'"
    # What someone could do who can write to the storage, but lacks the key.
    other = source.rewrite(made, "sessions", lambda lines: lines[:50])
    changed = json.loads(other.model_dump_json(include={"tables"}))
    refused(forged, **changed)
    refused(forged, mac=other.signed(other_keyring("k1")).mac, **changed)
    refused(forged, revision="0000")
    refused(forged, other_keyring("k1"))
    refused("has no MAC", mac="")
    refused("lacks 'k2', which proves", mac_key_id="k2")
    refused("lacks 'k1', which proves", other_keyring("k2"))
    assert tables(target) == 0
    checked = backing_up.check(source.deps(), made, deadline(), lambda _: None)
    assert "damaged" in reason(checked, Outcome.MISMATCH)
    source.catalog.read(made.name).require_ours(source.keyring)


def test_a_missing_or_different_token_key_is_named(source: Database, target: Database) -> None:
    source.keyring = other_keyring("k2")
    made = source.make_backup()
    with pytest.raises(ConfigurationError, match=r"lacks 'k1', which tokens .*: add it"):
        to(source, made, target, source.keyring)
    both = Keyring({"k1": bytes(32), "k2": bytes.fromhex("42" * 32)}, current="k2")
    said = "the key 'k1' in the block token-key is not the one"
    assert said in reason(source.check(made, keyring=both), Outcome.MISMATCH)
    with pytest.raises(Mismatch, match=said):
        to(source, made, target, both)
    assert tables(target) == 0
    to(source, made, target, source.keyring, without_keys=True)
    check_keyring(target.engine, source.keyring)
