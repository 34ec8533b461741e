"""`sivera secret`: the secret that callers of the HTTP API send. Only secrets go to standard output."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import SecretStr

from blocks.cron_secret import CronSecret, generate_secret, load_cron_secret
from blocks.names import CRON_SECRET
from blocks.server import connect
from ops.commands.session import load_replaceable, read_block_secret, validating
from ops.commands.tables import say, say_aside
from ops.stack.folder import CRON_SECRET_FILE, write_private
from ops.stack.prefect_server import use_running_stack

MAX_GRACE = timedelta(days=30)

secret = App(name="secret")


def _check_grace(_type: object, grace: timedelta) -> None:
    if not timedelta() <= grace <= MAX_GRACE:
        raise ValueError(f"Write a duration of at most {MAX_GRACE.days} days, such as 1h or 30m.")


Grace = Annotated[timedelta, Parameter(validator=_check_grace, show_default=False)]


@secret.command
def generate() -> None:
    """Print a new random secret without saving it."""
    say(generate_secret().get_secret_value())


@secret.command(name="set")
def set_secret(*, grace: Grace = timedelta()) -> None:
    """Save a secret of at least 16 characters, read from standard input. The HTTP API uses it within seconds.

    Args:
        grace: How long the previous secret stays valid, such as 1h; by default, not at all.
    """
    _save(read_block_secret("the secret of the HTTP API"), grace)


@secret.command
def rotate(*, grace: Grace = timedelta()) -> None:
    """Replace the secret with a new random one, and print it. The HTTP API uses it within seconds.

    Args:
        grace: How long the previous secret stays valid, such as 1h; by default, not at all.
    """
    fresh = generate_secret()
    _save(fresh, grace)
    say(fresh.get_secret_value())


def _save(secret: SecretStr, grace: timedelta) -> None:
    """Save a secret, with a copy in the folder of the stack that runs here."""
    with connect():
        before = load_replaceable(load_cron_secret)
        until = datetime.now(UTC) + grace if grace else None
        with validating("the secret"):
            block = before.replace(secret, until) if before else CronSecret(current=secret)
        block.save(CRON_SECRET, overwrite=True)
    if folder := use_running_stack():
        _keep_copy(folder / CRON_SECRET_FILE, secret)
    until = block.previous_until
    kept = f"the previous one until {until:%Y-%m-%d %H:%M} UTC" if until else "no other"
    say_aside(f"Saved. Within seconds, the HTTP API accepts it and {kept}.")


def _keep_copy(file: Path, secret: SecretStr) -> None:
    try:
        write_private(file, secret.get_secret_value())
    except OSError as error:
        say_aside(f"The copy in {file} could not be written ({error.strerror}), and is still the old one.")
    else:
        say_aside(f"A copy is in {file}.")
