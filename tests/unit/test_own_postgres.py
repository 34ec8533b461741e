"""Sivera Jobs on a PostgreSQL that is not ours: TLS, scram, a role of few rights, a pool, another time zone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.database import check, describe, is_pooled, open_engine, parse_url, reading, to_conninfo
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.migrating import migrate, read_revisions
from tests.own_postgres import OwnPostgres

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'a secret' USING ERRCODE = '{}'; END $$"


@contextmanager
def opened(url: URL | str, statement_seconds: int = 60) -> Iterator[Engine]:
    engine = open_engine(url, pool_size=2, statement_seconds=statement_seconds)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("before", "statement", "said"),
    [
        (
            "ALTER DATABASE shop SET default_transaction_read_only = on",
            "CREATE TABLE t (x int)",
            "shop takes no writes: .* `ALTER DATABASE shop RESET default_transaction_read_only`",
        ),
        ("CREATE TABLE public.t ()", "TABLE public.t", "`GRANT SELECT, .* ON ALL TABLES IN SCHEMA ads TO jobs`"),
        ("CREATE SCHEMA web", "CREATE TABLE web.t ()", "`GRANT USAGE, CREATE ON SCHEMA web TO jobs`"),
        ("CREATE TABLE ads.theirs ()", "ALTER TABLE theirs ADD x int", "`ALTER TABLE theirs OWNER TO jobs`"),
        ("SELECT", "SELECT pg_sleep(60)", "took too long for a statement: see in pg_stat_activity"),
        ("SELECT", "SELECT pg_terminate_backend(pg_backend_pid())", "connection .* was lost: see that it runs"),
        ("SELECT", "TABLE missing", "is not migrated to this version.*: run `sivera migrate`"),
        ("SELECT", RAISE.format("53100"), "disk .* is full: make room on it"),
        ("SELECT", RAISE.format("53200"), "out of memory: give it more"),
        ("SELECT", RAISE.format("55P03"), "holds a lock for too long: find it in pg_locks"),
        ("SELECT", RAISE.format("XX001"), r"server failed \(XX001\): see its log"),
    ],
)
def test_an_error_is_one_sentence_with_the_remedy(
    own_postgres: OwnPostgres, own_database: URL, before: str, statement: str, said: str
) -> None:
    own_postgres.run(before, database="shop")
    with opened(own_database, statement_seconds=1) as engine, pytest.raises(DBAPIError, match=said) as caught:
        with engine.begin() as connection:
            connection.execute(text(statement))
    assert str(caught.value) == sentence(caught.value)
    assert not {"\n", "a secret", statement} & set(str(caught.value))


@pytest.mark.parametrize(
    ("before", "change", "said"),
    [
        ("ALTER ROLE jobs CONNECTION LIMIT 0", {}, "takes no more connections: close"),
        ("REVOKE CONNECT ON DATABASE shop FROM public", {}, "run `GRANT CONNECT ON DATABASE shop TO jobs`"),
        ("SELECT", {"password": "hunter2"}, "refuses the user jobs or its password: correct them"),
        ("SELECT", {"database": "shops"}, "has no database shops: create it"),
        ("SELECT", {"query": {"sslmode": "disable"}}, "only encrypted connections: add sslmode=require"),
        ("SELECT", {"query": {"sslmode": "verify-full"}}, "not trusted: name its authority by sslrootcert"),
        ("SELECT", {"query": {"sslmode": "maybe"}}, "'sslmode' of the database URL has a value that does not fit"),
        ("SELECT", {"query": {"connect_timeout": "x"}}, "'connect_timeout' of the database URL has a value that"),
        ("SELECT", {"query": {"options": "-c nothing=1"}}, "'nothing' of the database URL has a value that does not"),
        ("SELECT", {"port": 9}, "127.0.0.1:9/shop does not answer: see that it runs"),
    ],
)
def test_a_refused_connection_is_one_sentence_with_the_remedy(
    own_postgres: OwnPostgres, own_database: URL, before: str, change: dict[str, str], said: str
) -> None:
    own_postgres.run(before)
    try:
        with opened(own_database.set(**change)) as engine, pytest.raises(ConfigurationError, match=said) as caught:
            check(engine)
    finally:
        own_postgres.run("ALTER ROLE jobs CONNECTION LIMIT -1")
    assert "\n" not in str(caught.value)
