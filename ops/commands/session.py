"""What commands share: the database, ids and names as arguments, and a secret from standard input."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import SecretStr
from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from ops.stack.folder import DATABASE_URL_FILE
from ops.stack.prefect_server import use_running_stack
from sivera.database import check, engine_on, parse_url
from sivera.errors import ConfigurationError
from sivera.values import PlatformName


def _check_name(_type: object, name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise ValueError("Write a name in one line.")


Name = Annotated[str, Parameter(validator=_check_name)]
Id = Annotated[int, Parameter(validator=Number(gte=1, lt=2**63))]
AccountId = Annotated[Id, Parameter(help="Our id of the account, as `sivera accounts list` shows it.")]
GrantId = Annotated[Id, Parameter(help="Our id of the grant, as `sivera credentials list` shows it.")]
GrantPlatform = Annotated[PlatformName, Parameter(help="The platform of the grant.")]
TeamName = Annotated[Name, Parameter(help="The team that it belongs to; a new name makes a new team.")]
GrantName = Annotated[
    Name,
    Parameter(help="Tells a team's grants on one platform apart. The same name again replaces the tokens."),
]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]


@contextmanager
def open_session() -> Iterator[Session]:
    """Yield a session on the database of SIVERA_DATABASE_URL, else of the stack that runs here, else of the block."""
    with engine_on(_find_url()) as engine:
        check(engine)
        with Session(engine) as session:
            yield session


def _find_url() -> URL:
    if given := os.environ.get("SIVERA_DATABASE_URL"):
        return parse_url(given)
    if (folder := use_running_stack()) and (file := folder / DATABASE_URL_FILE).exists():
        return parse_url(file.read_text())
    from blocks.database import load_database_url  # noqa: PLC0415 - the only way that takes Prefect, and seconds

    return load_database_url()


@contextmanager
def open_resources() -> Iterator[Engine]:
    """Yield the engine of `tasks.resources`, and close everything there when the body ends."""
    from tasks import resources  # noqa: PLC0415

    try:
        yield resources.engine()
    finally:
        resources.close()


def confirm(word: str, *, yes: bool) -> None:
    """Raise ConfigurationError unless the caller says yes, or a person at the terminal types this word."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError("nothing was done, because nobody is there to confirm it: give --yes")
    sys.stdout.write(f"Type {word} to go on: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() != word:
        raise ConfigurationError(f"nothing was done: type '{word}' to confirm it, or give --yes")


def read_secret(what: str) -> SecretStr:
    """Read a secret from standard input; at a terminal, ask for it and do not show it.

    It is never read from the command line, which every user of the machine can see.
    """
    try:
        words = _read(f"Paste {what}: ").split()
    except UnicodeDecodeError:
        words = ["\ufffd"]
    if not words:
        raise ConfigurationError(f"standard input is empty: pass {what} there")
    if len(words) > 1 or not words[0].isascii():
        raise ConfigurationError(
            f"standard input does not hold {what} alone: pass it there as it was given to you, and nothing else"
        )
    return SecretStr(words[0])


def _read(prompt: str) -> str:
    if sys.stdin is None:  # the caller closed it
        return ""
    try:
        return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.read()
    except EOFError:
        return ""
