"""Sivera Jobs on a PostgreSQL that is not ours: TLS, scram, a role of few rights, a pool, another time zone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blocks.database import _url_of, to_connector
from ops.stack.stack import prepare_database
from sandbox.world import World
from sivera.backups.queries import begin_reading
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.database import check, check_room, check_writes, describe, is_pooled, open_engine, parse_url, reading
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.migrating import migrate, read_revisions
from sivera.platforms.calling import new_http_client
from sivera.values import PlatformName
from tests.own_postgres import BINARIES, PASSWORD, OwnPostgres, Pool
from tests.stage import Stage

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{}'; END $$"


@contextmanager
def opened(url: URL | str, statement_seconds: int = 60) -> Iterator[Engine]:
    engine = open_engine(url, pool_size=2, statement_seconds=statement_seconds)
    yield engine
    engine.dispose()


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_an_error_is_one_sentence_with_the_remedy(own_postgres: OwnPostgres, own_database: URL) -> None:
    made = ("CREATE TABLE public.t ()", "CREATE SCHEMA web", "CREATE TABLE ads.theirs ()", 'CREATE SCHEMA "select"')
    secured = ("CREATE TABLE ads.secured ()", "GRANT INSERT ON ads.secured TO jobs")
    own_postgres.run(*made, *secured, "ALTER TABLE ads.secured ENABLE ROW LEVEL SECURITY", database="shop")
    for statement, expected in (
        ("TABLE public.t", "`GRANT SELECT, .* ON ALL TABLES IN SCHEMA ads TO jobs`"),
        ("CREATE TABLE web.t ()", "`GRANT USAGE, CREATE ON SCHEMA web TO jobs`"),
        ('CREATE TABLE "select".t ()', '`GRANT USAGE, CREATE ON SCHEMA "select" TO jobs`'),
        ("ALTER TABLE theirs ADD x int", "`ALTER TABLE theirs OWNER TO jobs`"),
        ("SELECT pg_sleep(60)", "took too long for a statement: see in pg_stat_activity"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "connection .* was lost: see that it runs"),
        ("TABLE missing", "is not migrated to this version.*: run `sivera migrate`"),
        (RAISE.format("53100"), "disk .* is full: make room on it"),
        (RAISE.format("25P04"), r"took too long: run `ALTER ROLE jobs SET transaction_timeout = 0`"),
        ("INSERT INTO secured DEFAULT VALUES", "`ALTER TABLE secured DISABLE ROW LEVEL SECURITY`"),
        (RAISE.format("XX001"), r"server failed \(XX001\): correct what its log names"),
    ):
        with opened(own_database, statement_seconds=1) as engine, pytest.raises(DBAPIError, match=expected) as caught:
            run(engine, statement)
        assert str(caught.value) == sentence(caught.value)
        assert not {"\n", "a secret", statement} & set(str(caught.value))


@pytest.mark.parametrize("name", ["shop", "order"])
def test_a_database_that_takes_no_writes_is_said_with_the_remedy(own_postgres: OwnPostgres, name: str) -> None:
    quoted = {"order": '"order"'}.get(name, name)
    said = f"{name} takes no writes: .* `SET .* = off; ALTER DATABASE {quoted} RESET .*; ALTER ROLE jobs RESET default"
    with own_postgres.database(name) as url, opened(url) as engine:
        own_postgres.run(f"ALTER DATABASE {quoted} SET default_transaction_read_only = on")
        with pytest.raises(DBAPIError, match=said):
            run(engine, "CREATE TABLE t (x int)")
        with pytest.raises(ConfigurationError, match=said):
            check_writes(engine)


def test_a_full_disk_is_noticed_although_the_database_answers(own_postgres: OwnPostgres, own_database: URL) -> None:
    with opened(own_database) as engine:
        check_room(engine)
    with own_postgres.full_disk("shop"), opened(own_database) as engine:
        check_writes(engine)
        with pytest.raises(DBAPIError, match=r"the disk of the database's server .* is full: make room on it"):
            check_room(engine)
        own_postgres.run("REVOKE TEMPORARY ON DATABASE shop FROM public")
        check_room(engine)


REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ALTER ROLE jobs CONNECTION LIMIT 0", {}, "no more connections: run `ALTER ROLE jobs CONNECTION LIMIT -1`"),
    ("ALTER DATABASE shop CONNECTION LIMIT 0", {}, "run `ALTER DATABASE shop CONNECTION LIMIT -1`"),
    ("ALTER ROLE jobs NOLOGIN", {}, "may not log in .*: run `ALTER ROLE jobs LOGIN`"),
    ("REVOKE CONNECT ON DATABASE shop FROM public", {}, "run `GRANT CONNECT ON DATABASE shop TO jobs`"),
    ("SELECT", {"password": "hunter2"}, "refuses the user jobs or its password: correct them"),
    ("SELECT", {"database": "shops"}, "has no database shops: create it"),
    ("SELECT", {"query": {"sslmode": "disable"}}, "only encrypted connections: add sslmode=require"),
    ("SELECT", {"query": {"sslmode": "verify-full"}}, "not trusted: name a file with its authority"),
    ("SELECT", {"query": {"sslmode": "maybe"}}, "'sslmode' of the database URL has a value that does not fit"),
    ("SELECT", {"query": {"connect_timeout": "x"}}, "'connect_timeout' of the database URL has a value that"),
    ("SELECT", {"query": {"options": "-c nothing=1"}}, "'nothing' of the database URL has a value that does not"),
    ("SELECT", {"port": 9}, "127.0.0.1:9/shop does not answer: see that it runs"),
    ("SELECT", {"query": {"port": "9"}}, "127.0.0.1:9/shop does not answer: see that it runs"),
    ("SELECT", {"host": "db..example.com"}, "the host of PostgreSQL at db..example.com:.* is not known: correct it"),
    ("SELECT", {"host": "/login"}, "/login:.*/shop does not answer: see that it runs"),
    ("SELECT", {"query": {"gssencmode": "require"}}, "does not do what .* requires .*gssencmode.*: take it out"),
    ("SELECT", {"query": {"min_protocol_version": "latest"}}, "does not do what .* requires .*min_protocol_version"),
    ("SELECT", {"query": {"sslmode": "require", "require_auth": "md5"}}, "does not do what .* requires .*require_auth"),
    ("SELECT", {"query": {"sslrootcert": "system", "sslmode": "require"}}, "too weak .*: set sslmode to verify-full"),
    (
        "SELECT",
        {"query": {"sslcert": __file__, "sslkey": "/", "sslmode": "require"}},
        "name both .* sslcert and sslkey",
    ),
    (
        "SELECT",
        {"host": "localhost", "query": {"sslrootcert": "{folder}/server.crt", "sslmode": "verify-full"}},
        "certificate of another name: write the host as it stands there",
    ),
)


def test_a_refused_connection_is_one_sentence_with_the_remedy(own_postgres: OwnPostgres, own_database: URL) -> None:
    for before, change, expected in REFUSED:
        own_postgres.run(before)
        query = {name: value.format(folder=own_postgres.folder) for name, value in change.get("query", {}).items()}
        url = own_database.set(**change).set(query=query or own_database.query)
        with opened(url) as engine, pytest.raises(ConfigurationError, match=expected) as caught:
            check(engine)
        own_postgres.run(
            "ALTER ROLE jobs LOGIN CONNECTION LIMIT -1",
            "ALTER DATABASE shop CONNECTION LIMIT -1",
            "GRANT CONNECT ON DATABASE shop TO public",
        )
        assert "\n" not in str(caught.value)


def test_what_the_environment_says_of_a_database_is_named_too(
    own_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PGHOST", "127.0.0.1"), ("PGUSER", "ana")):
        monkeypatch.setenv(name, value)
    with opened(f"postgresql://:{quote(PASSWORD)}@/shop?port={own_database.port}&sslmode=require") as engine:
        with pytest.raises(ConfigurationError, match=rf"at 127.0.0.1:{own_database.port} refuses the user ana or its"):
            check(engine)
        monkeypatch.setenv("PGSERVICE", "nothing")
        with pytest.raises(ConfigurationError, match=r"service .*: correct it, or unset PGSERVICE"):
            check(engine)


def test_a_server_that_does_not_speak_english_is_understood(own_postgres: OwnPostgres, own_database: URL) -> None:
    if not Path(f"/usr/share/locale/de/LC_MESSAGES/postgres-{BINARIES.parent.name}.mo").exists():
        pytest.skip("PostgreSQL's messages in German are not installed")
    own_postgres.run("CREATE TABLE public.t ()", "CREATE SCHEMA web", database="shop")
    own_postgres.run("ALTER SYSTEM SET lc_messages = 'C.UTF-8'", "SELECT pg_reload_conf()")
    try:
        with opened(own_database) as engine:
            for statement in ("TABLE public.t", "CREATE TABLE web.t ()"):
                with pytest.raises(DBAPIError, match=r"GRANT USAGE, CREATE ON .* ads TO jobs; GRANT .* ON ALL TABLES"):
                    run(engine, statement)
            with pytest.raises(DBAPIError, match="is not migrated"):
                run(engine, "TABLE missing")
        with opened(own_database.set(password="hunter2")) as engine:
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
        ("CREATE TABLE ads.teams (); CREATE VIEW ads.campaigns AS SELECT 1", "names of ours, campaigns, teams: give"),
    ],
)
def test_a_migration_that_cannot_be_made_names_the_remedy_and_changes_nothing(
    own_postgres: OwnPostgres, own_database: URL, before: str, said: str
) -> None:
    own_postgres.run(before, database="shop")
    with opened(own_database) as engine:
        with pytest.raises((ConfigurationError, DBAPIError), match=said):
            migrate(engine)
        assert read_revisions(engine).current is None


def test_a_database_that_cannot_hold_every_name_is_refused_before_the_first_table(own_postgres: OwnPostgres) -> None:
    with own_postgres.database("old", "TEMPLATE template0 ENCODING 'EUC_KR' LOCALE 'C'") as url, opened(url) as engine:
        with pytest.raises(ConfigurationError, match=r"old keeps text as EUC_KR.*ENCODING 'UTF8'"):
            migrate(engine)
        assert read_revisions(engine).current is None


def test_another_application_s_revision_does_not_matter_and_ours_is_missed(
    own_postgres: OwnPostgres, own_database: URL
) -> None:
    theirs = "CREATE TABLE ads.alembic_version AS SELECT 'abc' AS version_num"
    own_postgres.run(theirs, "GRANT SELECT ON ads.alembic_version TO jobs", database="shop")
    with opened(own_database) as engine:
        migrate(engine)
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "abc"
            connection.execute(text("DROP TABLE sivera_alembic_version"))
        with pytest.raises(ConfigurationError, match=r"has all tables .*, and not .*sivera_alembic_version"):
            migrate(engine)


@pytest.mark.parametrize("settings", [{}, {"ignore_startup_parameters": "options"}], ids=["refused", "ignored"])
def test_behind_a_pool_of_transactions_nothing_relies_on_the_session(
    own_database: URL,
    pgbouncer: Pool,
    settings: dict[str, str],
    world: World,
    sandbox: str,
    keyring: Keyring,
    tmp_path: Path,
) -> None:
    with pgbouncer(**settings) as port, opened(own_database.set(port=port), statement_seconds=1) as engine:
        migrate(engine)
        assert is_pooled(engine)
        for each in (engine, reading(engine)):
            with Session(each) as session:
                assert read_clock(session).utcoffset() == timedelta()
                assert session.scalar(text("SHOW timezone")) == "UTC"
        with new_http_client() as http:
            stage = Stage(world, sandbox, engine, keyring, http, tmp_path)
            stage.connect(world.add_grant(PlatformName.META, accounts=1))
            (due,) = stage.due()
            assert not stage.sync(due).reason
            assert stage.rows("SELECT FROM campaign_daily_metrics")
        for _ in range(10):  # psycopg would prepare the statement, in one session of the server
            with Session(engine) as session:
                assert session.scalar(text("SELECT count(*) FROM teams WHERE id > :id"), {"id": 1}) == 0
                assert not session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        with pytest.raises(DBAPIError, match="took too long"), Session(engine) as session:
            session.execute(text("SELECT pg_sleep(60)"))
        with opened(own_database.set(port=port)) as another, Session(another) as session:
            assert session.scalar(text("SHOW statement_timeout")) == "1min"
        with (
            opened(own_database.set(port=port).update_query_dict({"options": "-csearch_path=x"})) as other,
            pytest.raises(ConfigurationError, match=rf"pool at 127.0.0.1:{port}/shop takes no options: take"),
        ):
            check(other)


@pytest.mark.parametrize("kind", [psycopg.OperationalError, psycopg.errors.ProtocolViolation])
@pytest.mark.parametrize(
    "words",
    [
        "client_login_timeout (server down)",
        "server login has been failing, cached error: connect failed (server_login_retry)",
        "pgbouncer cannot connect to server",
        "query_wait_timeout",
    ],
)
def test_a_pool_that_does_not_reach_its_server_says_so(words: str, kind: type[psycopg.Error]) -> None:
    said = sentence(DBAPIError(None, None, kind(f"connection failed: FATAL:  {words}")))
    assert re.match("the pool at the server .* no connection to PostgreSQL: see that .* runs", said)


def test_a_pool_that_ends_what_takes_long_says_so(own_database: URL, pgbouncer: Pool) -> None:
    with (
        pgbouncer(query_timeout="1") as port,
        opened(own_database.set(port=port)) as engine,
        pytest.raises(DBAPIError, match=rf"pool at 127.0.0.1:{port} ended what took too long: raise its query_timeout"),
    ):
        run(engine, "SELECT pg_sleep(30)")


def test_a_pool_of_statements_is_named_with_what_to_set(own_database: URL, pgbouncer: Pool) -> None:
    with (
        pgbouncer(pool_mode="statement") as port,
        opened(own_database.set(port=port)) as engine,
        pytest.raises(ConfigurationError, match=rf"pool at 127.0.0.1:{port} takes no transactions: set its pool_mode"),
    ):
        check(engine)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_a_session_has_our_styles_and_isolation_whatever_the_database_sets(
    own_postgres: OwnPostgres, own_database: URL, pgbouncer: Pool, is_pooled: bool
) -> None:
    for style in (
        "DateStyle = 'German'",
        "IntervalStyle = 'sql_standard'",
        "default_transaction_isolation = 'serializable'",
    ):
        own_postgres.run(f"ALTER DATABASE shop SET {style}")
    with (
        pgbouncer() if is_pooled else nullcontext(own_database.port) as port,
        opened(own_database.set(port=port)) as engine,
        Session(engine) as session,
    ):
        found = session.execute(text("SELECT interval '26 hours', date '2026-02-01', timestamptz 'epoch'")).one()
        # Our locks and upserts read what another transaction has just committed.
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
        session.rollback()
        begin_reading(session)  # a backup sees one moment
        assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"
    assert found == (timedelta(hours=26), date(2026, 2, 1), datetime.fromtimestamp(0, UTC))


def test_the_stack_does_not_start_on_a_database_that_takes_no_writes(
    own_postgres: OwnPostgres, own_database: URL
) -> None:
    prepare_database(own_database)
    own_postgres.run("ALTER ROLE jobs IN DATABASE shop SET default_transaction_read_only = on")
    with pytest.raises(ConfigurationError, match="shop takes no writes"):
        prepare_database(own_database)


def test_options_of_the_url_are_kept_and_joined_with_ours(own_postgres: OwnPostgres) -> None:
    name = "{name}"
    with own_postgres.database(name) as url:
        own_postgres.run("CREATE SCHEMA jobs AUTHORIZATION jobs", database=name)
        written = (
            f"postgresql://jobs:{quote(PASSWORD, safe='')}@127.0.0.1:9,127.0.0.1:{url.port}/{quote(name, safe='')}"
            "?sslmode=require&options=-csearch_path%3Djobs%20-c%20TimeZone=Asia/Seoul&connect_timeout=7"
            "&target_session_attrs=read-write&application_name=mine&client_encoding=LATIN1"
        )
        parsed = parse_url(written)
        with opened(parsed) as engine, engine.connect() as connection:
            shown = (
                "SELECT current_schema(), current_setting('application_name'), current_setting('statement_timeout'),"
            )
            found = connection.execute(text(f"{shown} current_setting('TimeZone'), current_database(), '한글'")).one()
            assert found == ("jobs", "mine", "1min", "UTC", name, "한글")
            driver = connection.connection.driver_connection
            assert driver
            assert driver.info.get_parameters()["connect_timeout"] == "7"
        with opened(_url_of(to_connector(written))) as engine:
            check(engine)
        assert describe(parsed) == f"127.0.0.1:9,127.0.0.1:{url.port}/{name}"
