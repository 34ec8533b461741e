"""What commands share: access to the database, argument types, confirmations and secrets from standard input."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import SecretStr, ValidationError
from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from ops.stack.folder import DATABASE_URL_FILE
from ops.stack.prefect_server import use_running_stack
from sivera.database import check, engine_on, parse_url
from sivera.errors import ConfigurationError
from sivera.values import PlatformName

T = TypeVar("T")


def _check_name(_type: object, name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise ValueError("Write the name on one line.")


Name = Annotated[str, Parameter(validator=_check_name)]
Id = Annotated[int, Parameter(validator=Number(gte=1, lt=2**63))]
AccountId = Annotated[Id, Parameter(help="Our id of the account, as `sivera accounts list` shows it.")]
GrantId = Annotated[Id, Parameter(help="Our id of the grant, as `sivera credentials list` shows it.")]
GrantPlatform = Annotated[PlatformName, Parameter(help="The platform of the grant.")]
TeamName = Annotated[Name, Parameter(help="The team of the grant; a new name creates a new team.")]
GrantName = Annotated[
    Name,
    Parameter(help="Distinguishes a team's grants on one platform. Using a name again replaces the tokens."),
]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]


@contextmanager
def open_session() -> Iterator[Session]:
    """Yield a session on the database of SIVERA_DATABASE_URL, of the stack that runs here, or of the block."""
    with engine_on(find_url()) as engine:
        check(engine)
        with Session(engine) as session:
            yield session


def find_url() -> URL:
    """Return the URL of that database."""
    if given := os.environ.get("SIVERA_DATABASE_URL"):
        return parse_url(given)
    if (folder := use_running_stack()) and (file := folder / DATABASE_URL_FILE).exists():
        return parse_url(file.read_text())
    from blocks.database import load_database_url  # noqa: PLC0415 - imports prefect

    return load_database_url()


@contextmanager
def open_resources() -> Iterator[Engine]:
    """Yield the engine of `tasks.resources`, and close all resources in the end."""
    from tasks import resources  # noqa: PLC0415

    try:
        yield resources.engine()
    finally:
        resources.close()


def confirm(word: str, *, yes: bool) -> None:
    """Raise ConfigurationError unless `yes` is set, or a person at the terminal types this word."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError("nothing was done, because there is no terminal to confirm it: pass --yes")
    sys.stdout.write(f"Type {word} to continue: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() != word:
        raise ConfigurationError(f"nothing was done: type '{word}' to confirm it, or pass --yes")


def read_block_secret(what: str) -> SecretStr:
    """Read a secret that is going to be saved as a block, after checking that the Prefect server answers."""
    from blocks.server import connect  # noqa: PLC0415 - imports prefect

    with connect():
        pass
    return read_secret(what)


def load_replaceable(load: Callable[[], T | None]) -> T | None:
    """Load a block that is going to be replaced; None if it is missing or invalid."""
    from blocks.server import BlockError  # noqa: PLC0415 - imports prefect

    try:
        return load()
    except BlockError:
        return None


@contextmanager
def validating(what: str) -> Iterator[None]:
    """Raise ConfigurationError if pydantic refuses `what` within the context."""
    try:
        yield
    except ValidationError as error:
        from blocks.server import explain  # noqa: PLC0415 - imports prefect

        raise ConfigurationError(f"{what} cannot be used ({explain(error)})") from None


def read_secret(what: str) -> SecretStr:
    """Read a secret from standard input; a terminal asks for it without echo.

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
            f"standard input does not hold {what} alone: pass it exactly as you got it, and nothing else"
        )
    return SecretStr(words[0])


def _read(prompt: str) -> str:
    if sys.stdin is None:  # the caller closed it
        return ""
    try:
        return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.read()
    except EOFError:
        return ""
