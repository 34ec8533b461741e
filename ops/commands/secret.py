"""`sivera secret`: the secret that callers of the HTTP API send. Nothing but a secret goes to the standard output."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import SecretStr, ValidationError

from blocks.cron_secret import CronSecret, generate_secret, load_cron_secret
from blocks.names import CRON_SECRET
from blocks.server import BlockError, connect, explain
from ops.commands.session import read_secret
from ops.commands.tables import say, say_aside
from ops.stack.folder import CRON_SECRET_FILE, write_private
from ops.stack.prefect_server import use_running_stack
from sivera.errors import ConfigurationError

MAX_GRACE = timedelta(days=30)

secret = App(name="secret")


def _check_grace(_type: object, grace: timedelta) -> None:
    if not timedelta() <= grace <= MAX_GRACE:
        raise ValueError(f"Write a time of at most {MAX_GRACE.days} days, such as 1h or 30m.")


Grace = Annotated[timedelta, Parameter(validator=_check_grace, show_default=False)]


@secret.command
def generate() -> None:
    """Print a fresh random secret, and save nothing."""
    say(generate_secret().get_secret_value())


@secret.command(name="set")
def set_secret(*, grace: Grace = timedelta()) -> None:
    """Save a secret of at least 16 characters, read from standard input; the HTTP API uses it seconds later.

    Args:
        grace: How long the secret before it is accepted as well, such as 1h; left out, it ends at once.
    """
    with connect():
        pass  # before a person pastes a secret
    _save(read_secret("the secret of the HTTP API"), grace)


@secret.command
def rotate(*, grace: Grace = timedelta()) -> None:
    """Replace the secret by a fresh random one, and print that; the HTTP API uses it seconds later.

    Args:
        grace: How long the secret before it is accepted as well, such as 1h; left out, it ends at once.
    """
    fresh = generate_secret()
    _save(fresh, grace)
    say(fresh.get_secret_value())


def _save(secret: SecretStr, grace: timedelta) -> None:
    """Save a secret; the stack that runs here keeps a copy in its folder."""
    with connect():
        try:
            before = load_cron_secret()
        except BlockError:
            before = None  # missing, or not worth keeping
        try:
            until = datetime.now(UTC) + grace if grace else None
            block = before.replace(secret, until) if before else CronSecret(current=secret)
        except ValidationError as error:
            raise ConfigurationError(f"the secret is invalid ({explain(error)})") from None
        block.save(CRON_SECRET, overwrite=True)
    if folder := use_running_stack():
        _keep_copy(folder / CRON_SECRET_FILE, secret)
    until = block.previous_until
    kept = f"the one before it until {until:%Y-%m-%d %H:%M} UTC" if until else "no other"
    say_aside(f"Saved. Within seconds the HTTP API accepts it, and {kept}.")


def _keep_copy(file: Path, secret: SecretStr) -> None:
    try:
        write_private(file, secret.get_secret_value())
    except OSError as error:
        say_aside(f"The copy in {file} could not be written ({error.strerror}), and is the old one.")
    else:
        say_aside(f"A copy is kept in {file}.")
