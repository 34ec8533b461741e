"""The database's credentials, as a block of prefect-sqlalchemy that only holds them."""

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
    """Return the block for a URL of PostgreSQL, with the password in its own masked field.

    A Unix socket's directory is given as libpq's option: `postgresql://user@/database?host=/run/postgresql`.

    Raises:
        ConfigurationError: The URL cannot be kept; the message never shows it.
    """
    parsed = parse_url(url)
    if not parsed.database:
        raise ConfigurationError("the database URL names no database: add its name after the last slash")
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
    """Load the URL of the database, the password within it; see `blocks.server.load`."""
    return _url_of(load(SqlAlchemyConnector, DATABASE, REMEDY))


async def aload_database_url(client: PrefectClient) -> URL:
    """Load it over a client that is open; see `blocks.server.aload`."""
    return _url_of(await aload(client, SqlAlchemyConnector, DATABASE, REMEDY))


def _url_of(connector: Any) -> URL:
    info = connector.connection_info
    return parse_url(info if isinstance(info, str) else info.create_url())
