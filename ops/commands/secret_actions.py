"""What `ops.commands.secret` does once the way to the Prefect server is set: it imports prefect."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr, ValidationError

from blocks.cron_secret import CronSecret, generate_secret, load_cron_secret
from blocks.names import CRON_SECRET
from blocks.server import BlockError, connect, explain
from ops.stack.folder import CRON_SECRET_FILE, write_private
from sivera.errors import ConfigurationError


def generate() -> None:
    """Print a fresh secret."""
    sys.stdout.write(f"{generate_secret().get_secret_value()}\n")


def set_secret(folder: Path | None, read_secret: Callable[[str], SecretStr], grace: timedelta) -> None:
    """Save a secret that a person has.

    Args:
        folder: Of the stack that runs here, which keeps a copy for callers on the same machine.
        read_secret: Asks for what it is told.
        grace: For how long the one before it is taken as well.

    Raises:
        ConfigurationError: It will not do, or the Prefect server does not answer; nothing was saved.
    """
    with connect():
        pass  # before a person pastes a secret
    _save(folder, read_secret("the secret of the HTTP door"), grace)


def rotate(folder: Path | None, grace: timedelta) -> None:
    """Replace the secret by a fresh one and print it: nothing but the secret goes to the standard output.

    Raises:
        ConfigurationError: The Prefect server does not answer; nothing was saved.
    """
    secret = generate_secret()
    _save(folder, secret, grace)
    sys.stdout.write(f"{secret.get_secret_value()}\n")


def _save(folder: Path | None, secret: SecretStr, grace: timedelta) -> None:
    until = datetime.now(UTC) + grace if grace else None
    with connect():
        before = _saved()
        try:
            block = before.replace(secret, until) if before else CronSecret(current=secret)
        except ValidationError as error:
            raise ConfigurationError(f"the secret will not do ({explain(error)})") from None
        block.save(CRON_SECRET, overwrite=True)
    if folder:
        _keep_copy(folder / CRON_SECRET_FILE, secret)
    until = block.previous_until
    kept = f"the one before it until {until:%Y-%m-%d %H:%M} UTC" if until else "none before it"
    _say(f"Saved. Within seconds the HTTP door takes it, and {kept}.")


def _keep_copy(file: Path, secret: SecretStr) -> None:
    try:
        write_private(file, secret.get_secret_value())
    except OSError as error:
        _say(f"The copy in {file} could not be written ({error.strerror}), and is the old one.")
    else:
        _say(f"A copy is kept in {file}.")


def _saved() -> CronSecret | None:
    try:
        return load_cron_secret()
    except BlockError:
        return None  # missing, or not worth keeping


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
