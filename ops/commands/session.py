"""The database, for commands at the terminal. Importing this imports prefect."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from sivera.errors import ConfigurationError
from tasks import resources

UNMIGRATED = ("42P01", "42703")
"""PostgreSQL's codes for a missing table and a missing column."""


@contextmanager
def open_database() -> Iterator[Engine]:
    """Yield the engine of the database that the block names, and close all that the process opened."""
    try:
        yield resources.engine()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in UNMIGRATED:
            raise ConfigurationError("the database is not migrated to this version: run `sivera migrate`") from None
        raise ConfigurationError(
            f"the database failed ({type(error.orig).__name__}): see that it is well, and try again"
        ) from None
    finally:
        resources.close()
