"""Restore a backup into an empty database, all or nothing, and compare that with the manifest."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import URL

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog
from sivera.backups.dumping import Progress, open_session, read_shape
from sivera.backups.manifest import Manifest, ShapeOfData
from sivera.crypto import Keyring, UndecryptableError
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import decrypts
from sivera.models import TokenKeyCheck

SHOWN = 5
"""How many differences or tables a message names."""


class Mismatch(SiveraError):
    """A backup is not what its manifest says."""


def restore(
    manifest: Manifest, catalog: Catalog, url: URL, get_keyring: Callable[[], Keyring] | None, until: float
) -> None:
    """Restore a backup into an empty database until a monotonic deadline, and compare that with the manifest.

    Without `get_keyring` it is restored although keys to the stored tokens are missing.

    Raises:
        ConfigurationError: The database is not empty or does not answer, or a key is missing. Nothing was changed.
        Mismatch: The backup is damaged, or a key has changed, and nothing was changed; or the restored database differs
            from what was backed up.
        SiveraError: The restore failed and was rolled back.
    """
    if get_keyring:
        require_keys(manifest.sentinels, get_keyring(), manifest.key_ids)
    with open_session(url, until) as session:
        found = queries.tables(session)
    if found:
        names = ", ".join(f"{schema}.{name}" for schema, name in found[:SHOWN])
        raise ConfigurationError(
            f"the database {url.database} is not empty: it has {len(found)} tables, such as {names}. "
            "Create a new one and name that; nothing was changed"
        )
    restore_and_compare(manifest, catalog, url, get_keyring, until)
    with open_session(url, until) as session, session.begin():
        queries.analyze(session)


def restore_and_compare(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring] | None,
    until: float,
    progress: Progress = lambda _: None,
) -> None:
    """Restore a backup, compare the rows with the manifest, and decrypt the sentinel of each key, if there are keys.

    Raises:
        Mismatch: The dump is missing or damaged, and nothing was restored; or what was restored differs.
        ConfigurationError: The database does not answer, or a key is missing.
        SiveraError: The restore failed and was rolled back.
    """
    with open_session(url, until) as session:
        chosen = programs.find_programs(max(manifest.dump_version, queries.server_version(session)))
    programs.restore(chosen, url, read_dump(manifest, catalog, progress), until)
    with open_session(url, until) as session:
        if differences := differing(manifest.shape, read_shape(session)):
            raise Mismatch(f"what was restored is not what was backed up: {', '.join(differences[:SHOWN])}")
        if get_keyring and manifest.key_ids:
            require_keys(queries.sentinels(session), get_keyring(), manifest.key_ids)


def read_dump(manifest: Manifest, catalog: Catalog, progress: Progress) -> Iterator[bytes]:
    """Yield a dump in chunks; the last one only if all of them are what was written, so that no other is restored.

    Raises:
        Mismatch: The dump is missing or damaged.
    """
    if not catalog.holds(manifest):
        raise Mismatch(f"{manifest.path} is gone from the storage")
    size, digest, last = 0, hashlib.sha256(), b""
    with catalog.open_dump(manifest) as file:
        while chunk := file.read(programs.CHUNK):
            yield last
            last = chunk
            size += len(chunk)
            digest.update(chunk)
            progress(min(size / max(manifest.size, 1), 0.99))
    if size != manifest.size:
        raise Mismatch(f"{manifest.path} has {size} bytes, but {manifest.size} were written")
    if digest.hexdigest() != manifest.sha256:
        raise Mismatch(f"{manifest.path} is damaged: its SHA-256 has changed since it was written")
    yield last


def differing(wanted: ShapeOfData, found: ShapeOfData) -> list[str]:
    """Return the differences between what was backed up and what was restored."""
    before, after = ({**shape.rows, "revision": shape.revision} for shape in (wanted, found))
    return [
        f"{name} {after.get(name, 'missing')} instead of {before.get(name, 'missing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def require_keys(sentinels: Mapping[str, str], keyring: Keyring, key_ids: Sequence[str]) -> None:
    """Check that a keyring has the keys of a backup, by decrypting the sentinel of each.

    Raises:
        Mismatch: A key has changed.
        ConfigurationError: A key is missing.
    """
    for key_id in sorted(set(key_ids) & keyring.key_ids & sentinels.keys()):
        try:
            decrypts(keyring, TokenKeyCheck(id=key_id, sentinel=bytes.fromhex(sentinels[key_id])))
        except UndecryptableError:
            raise Mismatch(
                f"the key '{key_id}' in the block token-key does not decrypt the backup: it is another key of that id"
            ) from None
    if missing := sorted(set(key_ids) - keyring.key_ids):
        names = ", ".join(f"'{each}'" for each in missing)
        raise ConfigurationError(
            f"the block token-key lacks {names}, which tokens in the backup are encrypted with: add it from your copy"
        )
