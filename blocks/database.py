"""The credentials of the database, as a block of prefect-sqlalchemy that only stores them."""

from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector  # type: ignore[import-untyped]
from pydantic import SecretStr
from sqlalchemy import URL

from blocks.names import DATABASE
from blocks.server import aload, load
from sivera.database import parse_url
from sivera.errors import ConfigurationError

DATABASE_BLOCK: type[Block] = SqlAlchemyConnector
REMEDY = "set SIVERA_DATABASE_URL and run `sivera deploy`"


def to_connector(url: URL | str) -> Block:
    """Return the block for a PostgreSQL URL, with the password in a masked field of its own.

    A Unix socket is given by libpq's option: `postgresql://user@/database?host=/run/postgresql`. ConfigurationError,
    which never shows the URL, if it cannot be used.
    """
    parsed = parse_url(url)
    if not parsed.database:
        raise ConfigurationError("the database URL has no database name: add it after the last slash")
    return DATABASE_BLOCK(
        connection_info=ConnectionComponents(
            driver=parsed.drivername,
            username=parsed.username,
            password=SecretStr(parsed.password) if parsed.password else None,
            host=parsed.host,
            port=parsed.port,
            database=parsed.database,
            query=dict(parsed.query) or None,
        )
    )


def load_database_url() -> URL:
    """Load the URL of the database, with its password; see `blocks.server.load`."""
    return _url_of(load(SqlAlchemyConnector, DATABASE, REMEDY))


async def aload_database_url(client: PrefectClient) -> URL:
    """Load the URL of the database over an open client; see `blocks.server.aload`."""
    return _url_of(await aload(client, SqlAlchemyConnector, DATABASE, REMEDY))


def _url_of(connector: Any) -> URL:
    info = connector.connection_info
    return parse_url(info if isinstance(info, str) else info.create_url())
