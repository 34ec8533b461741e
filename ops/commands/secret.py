"""`sivera secret`: the secret that callers of the HTTP API send.

Prefect takes seconds to import: nothing here may import it at the top.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import SecretStr, ValidationError

from ops.commands.session import read_secret
from ops.stack.folder import CRON_SECRET_FILE, write_private
from ops.stack.prefect_server import use_running_stack
from sivera.errors import ConfigurationError

MAX_GRACE = timedelta(days=30)

secret = App(name="secret", help="The secret that callers of the HTTP API send.")


def _check_grace(_type: object, grace: timedelta) -> None:
    if not timedelta() <= grace <= MAX_GRACE:
        raise ValueError(f"Write a time of at most {MAX_GRACE.days} days, such as 1h or 30m.")


Grace = Annotated[timedelta, Parameter(validator=_check_grace, show_default=False)]


@secret.command
def generate() -> None:
    """Print a fresh random secret, and save nothing."""
    from blocks.cron_secret import generate_secret  # noqa: PLC0415

    sys.stdout.write(f"{generate_secret().get_secret_value()}\n")


@secret.command(name="set")
def set_secret(*, grace: Grace = timedelta()) -> None:
    """Save a secret of at least 16 characters, read from standard input; the HTTP API uses it seconds later.

    Args:
        grace: How long the secret before it is accepted as well, such as 1h; left out, it ends at once.
    """
    folder = use_running_stack()
    from blocks.server import connect  # noqa: PLC0415

    with connect():
        pass  # before a person pastes a secret
    _save(folder, read_secret("the secret of the HTTP API"), grace)


@secret.command
def rotate(*, grace: Grace = timedelta()) -> None:
    """Replace the secret by a fresh random one, and print that; the HTTP API uses it seconds later.

    Args:
        grace: How long the secret before it is accepted as well, such as 1h; left out, it ends at once.
    """
    folder = use_running_stack()
    from blocks.cron_secret import generate_secret  # noqa: PLC0415

    fresh = generate_secret()
    _save(folder, fresh, grace)
    sys.stdout.write(f"{fresh.get_secret_value()}\n")


def _save(folder: Path | None, secret: SecretStr, grace: timedelta) -> None:
    """Save a secret; the stack that runs here keeps a copy in its folder."""
    from blocks.cron_secret import CronSecret, load_cron_secret  # noqa: PLC0415
    from blocks.names import CRON_SECRET  # noqa: PLC0415
    from blocks.server import BlockError, connect, explain  # noqa: PLC0415

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
    if folder:
        _keep_copy(folder / CRON_SECRET_FILE, secret)
    until = block.previous_until
    kept = f"the one before it until {until:%Y-%m-%d %H:%M} UTC" if until else "no other"
    _say(f"Saved. Within seconds the HTTP API accepts it, and {kept}.")


def _keep_copy(file: Path, secret: SecretStr) -> None:
    try:
        write_private(file, secret.get_secret_value())
    except OSError as error:
        _say(f"The copy in {file} could not be written ({error.strerror}), and is the old one.")
    else:
        _say(f"A copy is kept in {file}.")


def _say(line: str) -> None:
    # Nothing but a secret goes to the standard output.
    sys.stderr.write(f"{line}\n")
