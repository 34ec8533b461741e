"""Connections to PostgreSQL, and migrations."""

import socket
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from sivera.database import VERSION_TABLE, check, open_engine
from sivera.errors import ConfigurationError
from sivera.migrating import migrate, read_revisions
from sivera.models import Base


def test_a_silent_server_is_named(engine: Engine) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver
        assert driver.info.get_parameters()["connect_timeout"] == "5"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            engine = open_engine(f"postgresql://someone:hunter2@127.0.0.1:{port}/db?connect_timeout=1")
            with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}/db does not answer") as caught:
                check(engine)
            assert "hunter2" not in str(caught.value)


def test_connections_that_the_server_closed_are_replaced(engine: Engine, superuser: Engine) -> None:
    with engine.connect(), engine.connect():
        pass
    with superuser.connect() as connection:
        end_all = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'test_sivera'"
        assert set(connection.execute(text(end_all)).scalars()) == {True}
    with engine.connect() as first, engine.connect() as second:
        assert first.scalar(text("SELECT 1")) == second.scalar(text("SELECT 1")) == 1


def test_migrations_and_models_agree_and_an_older_version_says_so(engine: Engine) -> None:
    migrate(engine)  # a second time: nothing to do
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences: list[Any] = compare_metadata(context, Base.metadata)
        assert differences == []
        connection.execute(text("UPDATE sivera_alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="revision 9999, which this version does not know"):
        migrate(engine)
    assert read_revisions(engine).current == "9999"
