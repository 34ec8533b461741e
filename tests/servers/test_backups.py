"""Backups of a PostgreSQL as operators bring it: TLS alone, another time zone, a role of few rights, others' tables."""

from collections.abc import Iterator
from dataclasses import replace
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
from sivera.migrating import migrate
from tests.own_postgres import OwnPostgres, Pool
from tests.unit.backups.vault import Vault, another, deadline, reason

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
def shop(own_postgres: OwnPostgres, own_database: URL, keyring: Keyring, tmp_path: Path) -> Iterator[Vault]:
    """Our tables in a database of the operator's."""
    own_postgres.run(*OTHERS, database="shop")
    with engine_on(own_database) as engine:
        migrate(engine)
        vault = Vault(engine, keyring, tmp_path)
        vault.fill()
        yield vault


def test_our_tables_are_backed_up_and_proven_by_a_role_of_few_rights(shop: Vault, own_postgres: OwnPostgres) -> None:
    own_postgres.run(*ADDED, database="shop")
    made = shop.backed_up()
    said = reason(shop.judge(made), Outcome.INCONCLUSIVE)
    assert f"ALTER ROLE jobs CREATEDB, or make the database for checks with CREATE DATABASE {SCRATCH} OWNER" in said
    with own_postgres.empty(SCRATCH) as url, engine_on(url) as engine:
        for _ in range(2):
            reason(shop.judge(made), Outcome.VERIFIED)
            left = replace(shop, engine=engine).rows("SELECT FROM pg_class WHERE relowner = 'jobs'::regrole")
            assert left == []


def test_neither_the_collation_nor_settings_of_a_role_change_the_verdict(
    own_postgres: OwnPostgres, keyring: Keyring, tmp_path: Path
) -> None:
    with own_postgres.database("shop", SORTED_OTHERWISE) as url, own_postgres.empty(SCRATCH), engine_on(url) as engine:
        migrate(engine)
        vault = Vault(engine, keyring, tmp_path)
        vault.fill()
        vault.execute(
            """INSERT INTO metric_samples (name, at, labels, value)
               SELECT name, now(), jsonb_build_object(label, 1.50), pi()
               FROM unnest(ARRAY['a', 'B', 'é', '가']) AS name, unnest(ARRAY['a', 'B', 'é', '가']) AS label"""
        )
        made = vault.backed_up()
        own_postgres.run(*OF_THE_ROLE)
        try:
            for backup in (made, vault.backed_up()):
                reason(vault.judge(backup), Outcome.VERIFIED)
                assert backup.tables == made.tables
        finally:
            own_postgres.run("ALTER ROLE jobs RESET ALL")


def test_a_pool_of_connections_does_not_change_the_verdict(
    shop: Vault, own_postgres: OwnPostgres, pgbouncer: Pool
) -> None:
    with (
        own_postgres.empty(SCRATCH),
        pgbouncer(ignore_startup_parameters="options", default_pool_size="5") as port,
        engine_on(own_postgres.url("shop", port)) as engine,
    ):
        pooled = replace(shop, engine=engine)
        reason(pooled.judge(pooled.backed_up()), Outcome.VERIFIED)


def test_a_backup_of_a_newer_server_is_restored_over_tls_by_a_role_of_few_rights(
    own_postgres: OwnPostgres, engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    vault = Vault(engine, keyring, tmp_path)
    vault.fill()
    made = vault.backed_up()
    with own_postgres.empty("restored") as url, engine_on(url) as target:
        restore(made, vault.catalog, target.url, None, deadline())
        query = "SELECT * FROM public.sessions ORDER BY id"
        assert replace(vault, engine=target).rows(query) == vault.rows(query)
        # The keys may be lost: another one can take over.
        check_keyring(target, another("k9"))


def test_the_server_s_log_shows_no_error_of_the_storage(shop: Vault, own_postgres: OwnPostgres) -> None:
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
def test_a_database_that_takes_no_backup_is_named_with_the_remedy(
    shop: Vault, own_postgres: OwnPostgres, options: str, before: str, said: str
) -> None:
    made = shop.backed_up()
    with own_postgres.empty("restored", options) as url:
        own_postgres.run(before)
        with pytest.raises((SiveraError, DBAPIError), match=said):
            restore(made, shop.catalog, url, shop.keyring, deadline())
