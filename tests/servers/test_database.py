"""Sivera Jobs on an operator's PostgreSQL: TLS, scram, an unprivileged role, a pool, another time zone."""

from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blocks.database import _url_of, to_connector
from ops.stack.stack import prepare_database
from sivera.backups.queries import begin_reading
from sivera.database import check, check_room, check_writes, describe, engine_on, parse_url
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.migrating import migrate, read_revisions
from tests.own_postgres import BINARIES, PASSWORD, OwnPostgres, Pool
from tests.unit.tables import Tables

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{}'; END $$"


def test_an_error_is_one_sentence_with_the_remedy(own_postgres: OwnPostgres, own_database: URL) -> None:
    made = ("CREATE TABLE public.t ()", "CREATE SCHEMA web", "CREATE TABLE ads.theirs ()", 'CREATE SCHEMA "select"')
    secured = ("CREATE TABLE ads.secured ()", "GRANT INSERT ON ads.secured TO jobs")
    own_postgres.run(*made, *secured, "ALTER TABLE ads.secured ENABLE ROW LEVEL SECURITY", database="shop")
    for statement, expected in (
        ("TABLE public.t", "`GRANT SELECT, .* ON ALL TABLES IN SCHEMA ads TO jobs`"),
        ("CREATE TABLE web.t ()", "`GRANT USAGE, CREATE ON SCHEMA web TO jobs`"),
        ('CREATE TABLE "select".t ()', '`GRANT USAGE, CREATE ON SCHEMA "select" TO jobs`'),
        ("ALTER TABLE theirs ADD x int", "`ALTER TABLE theirs OWNER TO jobs`"),
        ("SELECT pg_sleep(60)", "took too long for a statement: look in pg_stat_activity"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "connection .* was lost: check that it is running"),
        ("TABLE missing", "is not migrated to this version.*: run `sivera migrate`"),
        (RAISE.format("53100"), "disk .* is full: make room on it"),
        (RAISE.format("25P04"), "slow transaction was ended: run `ALTER ROLE jobs SET transaction_timeout = 0`"),
        ("INSERT INTO secured DEFAULT VALUES", "`ALTER TABLE secured DISABLE ROW LEVEL SECURITY`"),
        (RAISE.format("XX001"), r"server failed \(XX001\): fix what its log reports"),
    ):
        with engine_on(own_database, 1, 1) as engine, pytest.raises(DBAPIError, match=expected) as caught:
            Tables(engine).execute(statement)
        assert str(caught.value) == sentence(caught.value)
        assert not [word for word in ("\n", "a secret", statement) if word in str(caught.value)]


@pytest.mark.parametrize("name", ["shop", "order"])
def test_a_read_only_database_is_named_with_the_remedy(own_postgres: OwnPostgres, name: str) -> None:
    quoted = {"order": '"order"'}.get(name, name)
    said = f"{name} takes no writes: .* `SET .* = off; ALTER DATABASE {quoted} RESET .*; ALTER ROLE jobs RESET default"
    with own_postgres.database(name) as url, engine_on(url) as engine:
        prepare_database(url)
        own_postgres.run(f"ALTER DATABASE {quoted} SET default_transaction_read_only = on")
        with pytest.raises(DBAPIError, match=said):
            Tables(engine).execute("CREATE TABLE t (x int)")
        for requires_writes in (partial(check_writes, engine), partial(prepare_database, url)):
            with pytest.raises(ConfigurationError, match=said):
                requires_writes()


def test_a_full_disk_is_noticed_although_the_database_answers(own_postgres: OwnPostgres, own_database: URL) -> None:
    with engine_on(own_database) as engine:
        check_room(engine)
    with own_postgres.full_disk("shop"), engine_on(own_database) as engine:
        check_writes(engine)
        with pytest.raises(DBAPIError, match=r"the disk of the database server .* is full: make room on it"):
            check_room(engine)
        own_postgres.run("REVOKE TEMPORARY ON DATABASE shop FROM public")
        check_room(engine)


DENIED = (
    ("ALTER ROLE jobs CONNECTION LIMIT 0", "no more connections: run `ALTER ROLE jobs CONNECTION LIMIT -1`"),
    ("ALTER DATABASE shop CONNECTION LIMIT 0", "run `ALTER DATABASE shop CONNECTION LIMIT -1`"),
    ("ALTER ROLE jobs NOLOGIN", "may not log in .*: run `ALTER ROLE jobs LOGIN`"),
    ("REVOKE CONNECT ON DATABASE shop FROM public", "run `GRANT CONNECT ON DATABASE shop TO jobs`"),
)

WRONG_PARTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"password": "hunter2"}, "refuses the user jobs or its password: correct them"),
    ({"database": "shops"}, "has no database shops: create it"),
    ({"port": 9}, "127.0.0.1:9/shop does not answer: check that it is running"),
    ({"host": "db..example.com"}, "PostgreSQL at db..example.com:.* cannot be resolved: correct it"),
    ({"host": "/login"}, "/login:.*/shop does not answer: check that it is running"),
)

WRONG_OPTIONS = (
    ({"sslmode": "disable"}, "only encrypted connections: add sslmode=require"),
    ({"sslmode": "verify-full"}, "not trusted: name a file with its authority"),
    ({"sslmode": "maybe"}, "'sslmode' of the database URL has an invalid value"),
    ({"connect_timeout": "x"}, "'connect_timeout' of the database URL has an invalid value"),
    ({"options": "-c nothing=1"}, "'nothing' of the database URL has an invalid value"),
    ({"port": "99999"}, "'port' of the database URL has an invalid value"),
    ({"port": "9"}, "127.0.0.1:9/shop does not answer: check that it is running"),
    ({"gssencmode": "require"}, "does not meet what .* requires .*gssencmode.*: remove it"),
    ({"min_protocol_version": "latest"}, "does not meet what .* requires .*min_protocol_version"),
    ({"sslmode": "require", "require_auth": "md5"}, "does not meet what .* requires .*require_auth"),
    ({"sslrootcert": "system", "sslmode": "require"}, "too weak .*: set sslmode to verify-full"),
    ({"sslcert": __file__, "sslkey": "/", "sslmode": "require"}, "name both .* sslcert and sslkey"),
)


def test_a_refused_connection_is_one_sentence_with_the_remedy(own_postgres: OwnPostgres, own_database: URL) -> None:
    def refused(url: URL, expected: str) -> None:
        with engine_on(url) as engine, pytest.raises(ConfigurationError, match=expected) as caught:
            check(engine)
        assert "\n" not in str(caught.value)

    for part, expected in WRONG_PARTS:
        refused(own_database.set(**part), expected)
    for query, expected in WRONG_OPTIONS:
        refused(own_database.set(query=query), expected)
    of_another_name = {"sslrootcert": str(own_postgres.folder / "server.crt"), "sslmode": "verify-full"}
    refused(own_database.set(host="localhost", query=of_another_name), "use that name as the host")
    for denial, expected in DENIED:
        own_postgres.run(denial)
        refused(own_database, expected)
        own_postgres.run(
            "ALTER ROLE jobs LOGIN CONNECTION LIMIT -1",
            "ALTER DATABASE shop CONNECTION LIMIT -1",
            "GRANT CONNECT ON DATABASE shop TO public",
        )


def test_parts_from_the_environment_are_named_too(own_database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGUSER", "ana")
    with engine_on(f"postgresql://:{quote(PASSWORD)}@/shop?port={own_database.port}&sslmode=require") as engine:
        with pytest.raises(ConfigurationError, match=rf"at 127.0.0.1:{own_database.port} refuses the user ana or its"):
            check(engine)
        monkeypatch.setenv("PGSERVICE", "nothing")
        with pytest.raises(ConfigurationError, match=r"service .*: correct it, or unset PGSERVICE"):
            check(engine)


def test_a_server_in_another_language_is_understood(own_postgres: OwnPostgres, own_database: URL) -> None:
    if not Path(f"/usr/share/locale/de/LC_MESSAGES/postgres-{BINARIES.parent.name}.mo").exists():
        pytest.skip("PostgreSQL's messages in German are not installed")
    own_postgres.run("CREATE TABLE public.t ()", "CREATE SCHEMA web", database="shop")
    own_postgres.run("ALTER SYSTEM SET lc_messages = 'C.UTF-8'", "SELECT pg_reload_conf()")
    try:
        with engine_on(own_database) as engine:
            for statement in ("TABLE public.t", "CREATE TABLE web.t ()"):
                with pytest.raises(DBAPIError, match=r"GRANT USAGE, CREATE ON .* ads TO jobs; GRANT .* ON ALL TABLES"):
                    Tables(engine).execute(statement)
            with pytest.raises(DBAPIError, match="is not migrated"):
                Tables(engine).execute("TABLE missing")
        with engine_on(own_database.set(password="hunter2")) as engine:
            with pytest.raises(ConfigurationError, match=r"refuses jobs in .* shop \(Passwort-.*\): correct") as caught:
                check(engine)
            assert "hunter2" not in str(caught.value)
    finally:
        own_postgres.run("ALTER SYSTEM RESET lc_messages", "SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "ALTER SCHEMA ads OWNER TO postgres; GRANT USAGE ON SCHEMA ads TO jobs",
            "`GRANT USAGE, CREATE ON SCHEMA ads TO",
        ),
        ("DROP SCHEMA ads", "`CREATE SCHEMA jobs AUTHORIZATION jobs`"),
        ("CREATE TABLE ads.teams (); CREATE VIEW ads.campaigns AS SELECT 1", "our names, campaigns, teams: give"),
    ],
)
def test_an_impossible_migration_names_the_remedy_and_changes_nothing(
    own_postgres: OwnPostgres, own_database: URL, before: str, said: str
) -> None:
    own_postgres.run(before, database="shop")
    with engine_on(own_database) as engine:
        with pytest.raises((ConfigurationError, DBAPIError), match=said):
            migrate(engine)
        assert read_revisions(engine).current is None


def test_a_database_without_utf8_is_refused_before_the_first_table(own_postgres: OwnPostgres) -> None:
    korean = "TEMPLATE template0 ENCODING 'EUC_KR' LOCALE 'C'"
    with own_postgres.database("old", korean) as url, engine_on(url) as engine:
        with pytest.raises(ConfigurationError, match=r"old stores text as EUC_KR.*ENCODING 'UTF8'"):
            migrate(engine)
        assert read_revisions(engine).current is None


def test_another_application_s_revision_is_ignored_and_ours_is_required(
    own_postgres: OwnPostgres, own_database: URL
) -> None:
    theirs = "CREATE TABLE ads.alembic_version AS SELECT 'abc' AS version_num"
    own_postgres.run(theirs, "GRANT SELECT ON ads.alembic_version TO jobs", database="shop")
    with engine_on(own_database) as engine:
        migrate(engine)
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "abc"
            connection.execute(text("DROP TABLE sivera_alembic_version"))
        with pytest.raises(ConfigurationError, match=r"has all tables .* except .*sivera_alembic_version"):
            migrate(engine)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_a_session_overrides_the_styles_and_isolation_of_the_database(
    own_postgres: OwnPostgres, own_database: URL, pgbouncer: Pool, is_pooled: bool
) -> None:
    for style in ("DateStyle = German", "IntervalStyle = sql_standard", "default_transaction_isolation = serializable"):
        own_postgres.run(f"ALTER DATABASE shop SET {style}")
    with (
        pgbouncer() if is_pooled else nullcontext(own_database.port) as port,
        engine_on(own_database.set(port=port)) as engine,
        Session(engine) as session,
    ):
        found = session.execute(text("SELECT interval '26 hours', date '2026-02-01', timestamptz 'epoch'")).one()
        # Our locks and upserts read what another transaction has just committed.
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
        session.rollback()
        begin_reading(session)  # a backup sees one moment
        assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"
    assert found == (timedelta(hours=26), date(2026, 2, 1), datetime.fromtimestamp(0, UTC))


def test_options_of_the_url_are_merged_with_ours(own_postgres: OwnPostgres) -> None:
    name = "{name}"
    with own_postgres.database(name) as url:
        own_postgres.run("CREATE SCHEMA jobs AUTHORIZATION jobs", database=name)
        written = (
            f"postgresql://jobs:{quote(PASSWORD, safe='')}@127.0.0.1:9,127.0.0.1:{url.port}/{quote(name, safe='')}"
            "?sslmode=require&options=-csearch_path%3Djobs%20-c%20TimeZone=Asia/Seoul&connect_timeout=7"
            "&target_session_attrs=read-write&application_name=mine&client_encoding=LATIN1"
        )
        parsed = parse_url(written)
        with engine_on(parsed) as engine, engine.connect() as connection:
            shown = ("application_name", "statement_timeout", "TimeZone")
            settings = ", ".join(f"current_setting('{each}')" for each in shown)
            found = connection.execute(text(f"SELECT current_schema(), {settings}, current_database(), '한글'")).one()
            assert found == ("jobs", "mine", "1min", "UTC", name, "한글")
            driver = connection.connection.driver_connection
            assert driver
            assert driver.info.get_parameters()["connect_timeout"] == "7"
        with engine_on(_url_of(to_connector(written))) as engine:
            check(engine)
        assert describe(parsed) == f"127.0.0.1:9,127.0.0.1:{url.port}/{name}"
