"""Sivera Jobs behind a transaction pool."""

import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.database import check, engine_on, is_pooled, reading
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.migrating import migrate
from sivera.platforms.calling import new_http_client
from sivera.values import PlatformName
from tests.own_postgres import Pool
from tests.stage import Stage


@pytest.mark.parametrize("settings", [{}, {"ignore_startup_parameters": "options"}], ids=["refused", "ignored"])
def test_nothing_relies_on_session_state_behind_a_transaction_pool(
    own_database: URL,
    pgbouncer: Pool,
    settings: dict[str, str],
    world: World,
    sandbox: str,
    keyring: Keyring,
    tmp_path: Path,
) -> None:
    with pgbouncer(**settings) as port, engine_on(own_database.set(port=port), 2, statement_seconds=1) as engine:
        migrate(engine)
        assert is_pooled(engine)
        for each in (engine, reading(engine)):
            with Session(each) as session:
                assert read_clock(session).utcoffset() == timedelta()
                assert session.scalar(text("SHOW timezone")) == "UTC"
        with new_http_client() as http:
            stage = Stage(engine, world, sandbox, keyring, http, tmp_path)
            stage.connect(world.add_grant(PlatformName.META, accounts=1))
            (due,) = stage.due()
            assert not stage.sync(due).reason
            assert stage.rows("SELECT FROM campaign_daily_metrics")
        for _ in range(10):  # by default, psycopg would prepare the statement in one session of the server
            with Session(engine) as session:
                assert session.scalar(text("SELECT count(*) FROM teams WHERE id > :id"), {"id": 1}) == 0
                assert not session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        with pytest.raises(DBAPIError, match="took too long"), Session(engine) as session:
            session.execute(text("SELECT pg_sleep(60)"))
        with engine_on(own_database.set(port=port)) as another, Session(another) as session:
            assert session.scalar(text("SHOW statement_timeout")) == "1min"
        with (
            engine_on(own_database.set(port=port).update_query_dict({"options": "-csearch_path=x"})) as other,
            pytest.raises(ConfigurationError, match=rf"pool at 127.0.0.1:{port}/shop accepts no options: remove"),
        ):
            check(other)


@pytest.mark.parametrize("kind", [psycopg.OperationalError, psycopg.errors.ProtocolViolation])
def test_a_pool_without_its_server_is_named(kind: type[psycopg.Error]) -> None:
    for words in (
        "client_login_timeout (server down)",
        "server login has been failing, cached error: connect failed (server_login_retry)",
        "pgbouncer cannot connect to server",
        "query_wait_timeout",
    ):
        said = sentence(DBAPIError(None, None, kind(f"connection failed: FATAL:  {words}")))
        assert re.match("the pool at the server .* no connection to PostgreSQL: check that .* is running", said)


@pytest.mark.parametrize(
    ("settings", "statement", "said"),
    [
        ({"query_timeout": "1"}, "SELECT pg_sleep(30)", "cancelled a slow .*: raise its query_timeout"),
        ({"pool_mode": "statement"}, "SELECT 1", "allows no transactions: set its pool_mode"),
    ],
)
def test_what_a_pool_refuses_is_named_with_its_setting(
    own_database: URL, pgbouncer: Pool, settings: dict[str, str], statement: str, said: str
) -> None:
    with (
        pgbouncer(**settings) as port,
        engine_on(own_database.set(port=port)) as engine,
        Session(engine) as session,
        pytest.raises(DBAPIError, match=f"pool at 127.0.0.1:{port} {said}"),
    ):
        session.execute(text(statement))
