"""The way to PostgreSQL: bad URLs and silent servers are said in one line, and the models are what is migrated."""

import socket
import time
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from sivera.database import VERSION_TABLE, check, migrate, open_engine, parse_url, read_revisions
from sivera.errors import ConfigurationError
from sivera.models import Base

SECONDS = 30
"""Ten by design, more on a machine that stops now and then; without a limit of ours it would be minutes or for ever."""


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql://u:hunter2@host:port/db", "mysql://u:hunter2@h/db"])
def test_a_bad_url_is_said_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write postgresql://") as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_within_seconds() -> None:
    engine = open_engine("postgresql://someone:hunter2@127.0.0.1:9/db")
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9/db does not answer") as caught:
        check(engine)
    assert time.monotonic() - began < SECONDS
    assert "hunter2" not in str(caught.value)


def test_a_server_that_never_answers_is_named_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = open_engine(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db", connect_seconds=2)
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match="does not answer"):
            check(engine)
        assert time.monotonic() - began < SECONDS


def test_migrations_and_models_agree(engine: Engine) -> None:
    migrate(engine)  # a second time: nothing to do
    with engine.connect() as connection:
        differences: list[Any] = compare_metadata(
            MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), Base.metadata
        )
    assert differences == []


def test_a_version_older_than_the_database_says_so_and_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE sivera_alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="revision 9999, which this version does not know"):
        migrate(engine)
    assert read_revisions(engine).current == "9999"
