"""`sivera secret`: the secret that callers of the HTTP door send.

May not import prefect at its top; see `ops.cli`.
"""

from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter

from ops.commands.session import read_secret
from ops.stack.prefect_server import use_running_stack

MAX_GRACE = timedelta(days=30)

secret = App(name="secret", help="The secret that callers of the HTTP door send.")


def _check_grace(_type: object, grace: timedelta) -> None:
    if not timedelta() <= grace <= MAX_GRACE:
        raise ValueError(f"Write a time of at most {MAX_GRACE.days} days, such as 1h or 30m.")


Grace = Annotated[timedelta, Parameter(validator=_check_grace, show_default=False)]


@secret.command
def generate() -> None:
    """Print a fresh random secret, and save nothing."""
    from ops.commands import secret_actions  # noqa: PLC0415

    secret_actions.generate()


@secret.command(name="set")
def set_secret(*, grace: Grace = timedelta()) -> None:
    """Save a secret of at least 16 characters, read from standard input; the door takes it seconds later.

    Args:
        grace: For so long the secret before it is taken as well, such as 1h; left out, it ends at once.
    """
    folder = use_running_stack()
    from ops.commands import secret_actions  # noqa: PLC0415

    secret_actions.set_secret(folder, read_secret, grace)


@secret.command
def rotate(*, grace: Grace = timedelta()) -> None:
    """Replace the secret by a fresh random one, and print that; the door takes it seconds later.

    Args:
        grace: For so long the secret before it is taken as well, such as 1h; left out, it ends at once.
    """
    folder = use_running_stack()
    from ops.commands import secret_actions  # noqa: PLC0415

    secret_actions.rotate(folder, grace)
