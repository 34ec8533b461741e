"""Questions about backups: the account of them, the snapshot that one is of, and databases made beside to check one."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, bindparam, delete, func, select, table, text, update
from sqlalchemy.orm import Session

from sivera.grants import queries as keys
from sivera.models import Backup

SCRATCH = "sivera_check_"
"""What the name of a database begins with that is made to check a backup."""

OURS = """n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
          AND n.nspname NOT LIKE 'pg\\_temp%'"""
"""Which schemas are dumped."""

TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {OURS} AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""  # noqa: S608 - constants

# Since PostgreSQL 18 NOT NULL is a constraint as well: it must not count where an older server is compared.
CONSTRAINTS = f"""
    SELECT count(*) FILTER (WHERE k.convalidated) FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype <> 'n' AND {OURS}
"""  # noqa: S608 - constants

INDEXES = f"""
    SELECT count(*) FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisvalid AND {OURS}
"""  # noqa: S608 - constants


def begin(session: Session, run_id: UUID, path: str) -> str | None:
    """Note that a run begins to make a backup, and return the path of an earlier attempt, whose row this one replaces.

    A run that is retried keeps its id.
    """
    replaced: str | None = session.scalar(delete(Backup).where(Backup.run_id == run_id).returning(Backup.path))
    session.add(Backup(run_id=run_id, outcome="running", path=path))
    return replaced


def unfinished(session: Session, run_id: UUID) -> Sequence[Backup]:
    """Return the backups that other runs began and did not end."""
    return session.scalars(
        select(Backup).where(Backup.outcome == "running", Backup.run_id != run_id).order_by(Backup.id)
    ).all()


def finish(session: Session, run_id: UUID, outcome: str, reason: str | None, manifest: dict[str, Any] | None) -> None:
    """Note what became of a run's backup; without a manifest there is none."""
    known = manifest or {}
    session.execute(
        update(Backup)
        .where(Backup.run_id == run_id)
        .values(
            outcome=outcome,
            reason=reason,
            manifest=manifest,
            path=Backup.path if manifest else None,
            size=known.get("size"),
            checksum=known.get("sha256"),
            finished_at=func.clock_timestamp(),
        )
    )


def note_check(session: Session, path: str, outcome: str, reason: str | None, manifest: dict[str, Any]) -> None:
    """Note what a later check of a backup found."""
    session.execute(
        update(Backup)
        .where(Backup.path == path)
        .values(
            outcome=outcome,
            reason=reason,
            manifest=manifest,
            size=manifest["size"],
            checksum=manifest["sha256"],
            finished_at=func.coalesce(Backup.finished_at, func.clock_timestamp()),
        )
    )


def mark_deleted(session: Session, paths: Sequence[str]) -> None:
    """Note that these backups are no longer kept."""
    session.execute(
        update(Backup).where(Backup.path.in_(paths), Backup.deleted_at.is_(None)).values(deleted_at=func.now())
    )


def last_ended(session: Session) -> Backup | None:
    """Return the backup whose run ended last."""
    return session.scalars(
        select(Backup).where(Backup.outcome != "running").order_by(Backup.started_at.desc()).limit(1)
    ).one_or_none()


def last_verified_age(session: Session) -> timedelta | None:
    """Return how long ago the last verified backup was begun."""
    now, last = session.execute(
        select(func.now(), func.max(Backup.started_at)).where(Backup.outcome == "verified")
    ).one()
    return now - last if last else None


def read_clock(session: Session) -> datetime:
    """Return what time it is at the database."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now


def export_snapshot(session: Session) -> str:
    """Return the name by which others read what this transaction sees, which may stay idle as long as it likes."""
    # The statement timeout stays: it is the deadline of the counts, and pg_dump's own connection sets its own.
    limits = ("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")
    # Not SET: a server that does not know one of them, being older, would refuse it.
    session.execute(
        text("SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN :names").bindparams(
            bindparam("names", limits, expanding=True)
        )
    )
    name: str = session.execute(select(func.pg_export_snapshot())).scalar_one()
    return name


def canceller(session: Session) -> Callable[[], None]:
    """Return what breaks off the statement that this transaction runs, if any: to be called by another thread."""
    driver = session.connection().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - every engine of ours has this driver

    def cancel() -> None:
        # A server that cannot be reached ends the statement as well.
        with suppress(psycopg.Error):
            driver.cancel_safe(timeout=5)

    return cancel


def server_version(session: Session) -> tuple[str, int]:
    """Return the server's version, as it is written and its major number."""
    written, number = session.execute(
        select(func.current_setting("server_version"), func.current_setting("server_version_num"))
    ).one()
    return written, int(number) // 10_000


def tables(session: Session) -> list[tuple[str, str]]:
    """Return schema and name of every table that a dump holds."""
    return [(row[0], row[1]) for row in session.execute(text(TABLES))]


def count_rows(session: Session, schema: str, name: str) -> int:
    """Count the rows of a table."""
    return session.execute(select(func.count()).select_from(table(name, schema=schema))).scalar_one()


def count_constraints(session: Session) -> int:
    """Count the constraints that hold for all rows."""
    count: int = session.execute(text(CONSTRAINTS)).scalar_one()
    return count


def count_indexes(session: Session) -> int:
    """Count the indexes that are whole."""
    count: int = session.execute(text(INDEXES)).scalar_one()
    return count


def revision(session: Session) -> str | None:
    """Return the revision that the database is migrated to; None where it never was."""
    if session.scalar(select(func.to_regclass("sivera_alembic_version"))) is None:
        return None
    found: str | None = session.scalar(text("SELECT version_num FROM sivera_alembic_version"))
    return found


def keys_needed(session: Session) -> list[str]:
    """Return the ids of the keys that ciphertexts name: of tokens, and of the sentinels of keys that are in use."""
    in_use = {check.id for check in keys.list_checks(session) if check.retired_at is None}
    return sorted(in_use | keys.tokens_by_key(session).keys())


def sentinels(session: Session) -> dict[str, str]:
    """Return what is encrypted with each key to know it by, in hexadecimal, by the key's id."""
    return {check.id: check.sentinel.hex() for check in keys.list_checks(session)}


def database_size(session: Session) -> int:
    """Return the size of this database, in bytes."""
    size: int = session.scalars(select(func.pg_database_size(func.current_database()))).one()
    return size


def analyze(session: Session) -> None:
    """Let the planner know what is in the tables."""
    session.execute(text("ANALYZE"))


def announce_scratch(connection: Connection, name: str) -> None:
    """Let others see that a database of this name, which is about to be made, is in use while this connection lives."""
    connection.execute(select(func.set_config("application_name", name, False)))


def abandoned_scratches(connection: Connection) -> Sequence[str]:
    """Return the databases of this user that were made to check a backup by somebody who is gone."""
    return connection.scalars(
        text(
            """SELECT datname FROM pg_database d WHERE starts_with(datname, :prefix)
               AND pg_get_userbyid(datdba) = current_user
               AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = d.datname)"""
        ),
        {"prefix": SCRATCH},
    ).all()


def create_database(connection: Connection, name: str) -> None:
    """Make an empty database; not within a transaction."""
    connection.execute(text(f"CREATE DATABASE {_quoted(connection, name)} TEMPLATE template0 ENCODING 'UTF8'"))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database, whoever is in it; not within a transaction."""
    connection.execute(text(f"DROP DATABASE IF EXISTS {_quoted(connection, name)} WITH (FORCE)"))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)
