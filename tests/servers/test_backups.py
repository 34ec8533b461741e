"""Backups of a PostgreSQL as operators bring it: TLS alone, another time zone, a role of few rights, others' tables."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.backups.manifest import Outcome
from sivera.backups.queries import copy_in
from sivera.backups.restoring import restore
from sivera.crypto import Keyring
from sivera.database import engine_on
from sivera.errors import SiveraError
from sivera.grants.keys import check_keyring
from tests.own_postgres import OwnPostgres, Pool
from tests.unit.backups.databases import Database, deadline, other_keyring, reason

SCRATCH = "sivera_check_shop"

OTHERS = (
    "CREATE EXTENSION pg_trgm",
    "CREATE TABLE public.teams (secret text)",
    "CREATE TABLE ads.others (secret text)",
)
"""What a superuser has made beside our tables, and we may not read."""

ADDED = (
    "CREATE INDEX names ON ads.teams USING gin (name public.gin_trgm_ops)",
    "CREATE FUNCTION public.notice() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER noticed AFTER INSERT ON ads.teams FOR EACH ROW EXECUTE FUNCTION public.notice()",
    "ALTER TABLE public.teams ADD COLUMN team bigint REFERENCES ads.teams",
    "CREATE VIEW public.names AS SELECT name FROM ads.teams",
    "CREATE PUBLICATION ours FOR TABLE ads.teams",
    "CREATE POLICY all_of_them ON ads.teams TO postgres USING (true)",
    "ALTER TABLE ads.teams ADD COLUMN theirs integer DEFAULT 1",
)
"""What they have made of our tables."""

OF_THE_ROLE = (
    "ALTER ROLE jobs SET search_path = ads",
    "ALTER ROLE jobs SET statement_timeout = '1ms'",
    "ALTER ROLE jobs IN DATABASE shop SET bytea_output = escape",
    "ALTER ROLE jobs IN DATABASE shop SET extra_float_digits = -9",
    "ALTER ROLE jobs IN DATABASE shop SET DateStyle = 'German, DMY'",
)
SORTED_OTHERWISE = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'ko'"


@pytest.fixture
def shop(own_postgres: OwnPostgres, own_database: URL, keyring: Keyring, tmp_path: Path) -> Iterator[Database]:
    """Our tables in a database of the operator's."""
    own_postgres.run(*OTHERS, database="shop")
    with engine_on(own_database) as engine:
        yield Database(engine, keyring, tmp_path).filled()


def test_an_unprivileged_role_backs_up_and_checks_our_tables(shop: Database, own_postgres: OwnPostgres) -> None:
    own_postgres.run(*ADDED, database="shop")
    made = shop.make_backup()
    assert made.name.startswith(f"{made.started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-")
    said = reason(shop.check(made), Outcome.INCONCLUSIVE)
    assert f"ALTER ROLE jobs CREATEDB, or make the database for checks with CREATE DATABASE {SCRATCH} OWNER" in said
    with own_postgres.empty(SCRATCH) as url, engine_on(url) as engine:
        for _ in range(2):
            reason(shop.check(made), Outcome.VERIFIED)
            left = replace(shop, engine=engine).rows("SELECT FROM pg_class WHERE relowner = 'jobs'::regrole")
            assert left == []


def test_neither_collation_nor_role_settings_change_the_verdict(
    own_postgres: OwnPostgres, keyring: Keyring, tmp_path: Path
) -> None:
    with own_postgres.database("shop", SORTED_OTHERWISE) as url, own_postgres.empty(SCRATCH), engine_on(url) as engine:
        source = Database(engine, keyring, tmp_path).filled()
        source.execute(
            """INSERT INTO metric_samples (name, at, labels, value)
               SELECT name, now(), jsonb_build_object(label, 1.50), pi()
               FROM unnest(ARRAY['a', 'B', 'é', '가']) AS name, unnest(ARRAY['a', 'B', 'é', '가']) AS label"""
        )
        made = source.make_backup()
        own_postgres.run(*OF_THE_ROLE)
        try:
            for backup in (made, source.make_backup()):
                reason(source.check(backup), Outcome.VERIFIED)
                assert backup.tables == made.tables
        finally:
            own_postgres.run("ALTER ROLE jobs RESET ALL")


def test_a_connection_pool_does_not_change_the_verdict(
    shop: Database, own_postgres: OwnPostgres, pgbouncer: Pool
) -> None:
    with (
        own_postgres.empty(SCRATCH),
        pgbouncer(ignore_startup_parameters="options", default_pool_size="5") as port,
        engine_on(own_postgres.url("shop", port)) as engine,
    ):
        pooled = replace(shop, engine=engine)
        reason(pooled.check(pooled.make_backup()), Outcome.VERIFIED)


def test_an_unprivileged_role_restores_a_newer_server_s_backup_over_tls(
    own_postgres: OwnPostgres, engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    source = Database(engine, keyring, tmp_path).filled()
    made = source.make_backup()
    with own_postgres.empty("restored") as url, engine_on(url) as target:
        restore(made, source.catalog, target.url, None, deadline())
        query = "SELECT * FROM public.sessions ORDER BY id"
        assert replace(source, engine=target).rows(query) == source.rows(query)
        # The keys may be lost: another one can take over.
        check_keyring(target, other_keyring("k9"))


def test_the_server_log_shows_no_storage_error(shop: Database, own_postgres: OwnPostgres) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"Hanok\n"
        raise OSError("https://storage/?key=s3cret")

    with Session(shop.engine) as session, pytest.raises(OSError, match="s3cret"):
        copy_in(session, "teams", ["name"], pieces())
    log = (own_postgres.folder / "postgres.log").read_text()
    assert "COPY from stdin failed" in log
    assert "s3cret" not in log


@pytest.mark.parametrize(
    ("options", "before", "said"),
    [
        ("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", "SELECT", "stores text as LATIN1.*ENCODING 'UTF8'"),
        ("", "ALTER DATABASE restored SET default_transaction_read_only = on", "restored takes no writes"),
        ("", "ALTER DATABASE restored OWNER TO postgres", "`GRANT USAGE, CREATE ON SCHEMA public TO jobs`"),
    ],
)
def test_an_unsuitable_target_is_named_with_the_remedy(
    shop: Database, own_postgres: OwnPostgres, options: str, before: str, said: str
) -> None:
    made = shop.make_backup()
    with own_postgres.empty("restored", options) as url:
        own_postgres.run(before)
        with pytest.raises((SiveraError, DBAPIError), match=said):
            restore(made, shop.catalog, url, shop.keyring, deadline())
