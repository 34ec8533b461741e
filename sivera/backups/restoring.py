"""Restore a backup, all or nothing, and compare that with the manifest."""

from collections.abc import Iterator
from hashlib import sha256

from sqlalchemy import URL

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog
from sivera.backups.dumping import Progress, open_session, read_shape
from sivera.backups.manifest import Manifest, Mismatch, ShapeOfData
from sivera.crypto import Keyring
from sivera.database import check_encoding
from sivera.errors import ConfigurationError
from sivera.grants.keys import require_keys

SHOWN = 5
"""How many differences or tables a message names."""


def restore(
    manifest: Manifest, catalog: Catalog, url: URL, keyring: Keyring | None, until: float, *, without_keys: bool = False
) -> None:
    """Restore a backup into a database without our tables until a monotonic deadline, and compare it with the manifest.

    Without a keyring, nothing proves that the backup is ours. It holds SQL that is then run, so no superuser may do
    this. `without_keys` restores although keys to the stored tokens are missing. In both cases the missing keys are
    forgotten: else no job would run until they are back.

    Raises:
        ConfigurationError: The database does not fit or does not answer, or a key is missing. Nothing was done.
        Mismatch: The backup is damaged or not ours, and nothing was changed; or the restored database differs from
            what was backed up, or the key of its tokens is another one.
        SiveraError: The restore failed and was rolled back.
    """
    if keyring:
        manifest.require_ours(keyring, without_keys=without_keys)
    with open_session(url, until) as session:
        check_encoding(session.connection())
        if keyring is None and queries.is_superuser(session):
            raise ConfigurationError(
                f"{url.username} is a superuser, and nothing proves that the backup is ours: name a role without that "
                "right, which owns the database; nothing was changed"
            )
        if found := queries.find_tables(session, manifest.shape.tables):
            names = ", ".join(f"{schema}.{name}" for schema, name in found[:SHOWN])
            raise ConfigurationError(
                f"the database {url.database} is not empty: it has {len(found)} tables of ours, such as {names}. "
                "Create a new one and name that; nothing was changed"
            )
    restore_and_compare(manifest, catalog, url, None if without_keys else keyring, until)
    if without_keys or keyring is None:
        with open_session(url, until) as session, session.begin():
            queries.use_schemas(session, manifest.shape.tables)
            queries.forget_keys(session, keyring.key_ids if keyring else frozenset())


def restore_and_compare(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    keyring: Keyring | None,
    until: float,
    progress: Progress = lambda _: None,
) -> None:
    """Restore a backup, compare the rows with the manifest, and decrypt the sentinel of each key, if there are keys.

    Raises:
        Mismatch: The dump is missing or damaged, and nothing was restored; or what was restored differs.
        ConfigurationError: The database does not answer, or a key is missing.
        SiveraError: The restore failed and was rolled back.
    """
    tables = manifest.shape.tables
    with open_session(url, until) as session:
        chosen = programs.find_programs(url, queries.server_version(session))
        begin = queries.begin_restore(session, tables)
    programs.restore(chosen, url, read_dump(manifest, catalog, progress), manifest.dump_version, begin, until)
    with open_session(url, until) as session:
        if differences := differing(manifest.shape, read_shape(session, tables)):
            raise Mismatch(
                f"what was restored is not what was backed up ({', '.join(differences[:SHOWN])}): use another backup"
            )
        if keyring:
            queries.use_schemas(session, tables)
            try:
                require_keys(session, keyring)
            except ConfigurationError as error:
                raise Mismatch(str(error)) from None


def read_dump(manifest: Manifest, catalog: Catalog, progress: Progress) -> Iterator[bytes]:
    """Yield a dump's chunks, each once it is proven: no other SQL is ever run. Mismatch if one is not."""
    try:
        dump = catalog.open_dump(manifest)
    except FileNotFoundError:
        raise Mismatch(f"{manifest.path} is gone from the storage: use another backup") from None
    with dump as file:
        for number, digest in enumerate(manifest.chunks, 1):
            chunk = file.read(manifest.chunk_size)
            if sha256(chunk).hexdigest() != digest:
                raise Mismatch(f"{manifest.path} is damaged, since its SHA-256 has changed: use another backup")
            yield chunk
            progress(min(number / len(manifest.chunks), 0.99))


def differing(wanted: ShapeOfData, found: ShapeOfData) -> list[str]:
    """Return the differences between what was backed up and what was restored."""
    before, after = ({**shape.rows, "revision": shape.revision} for shape in (wanted, found))
    return [
        f"{name} {after.get(name, 'missing')} instead of {before.get(name, 'missing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
