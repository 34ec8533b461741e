"""`sivera credentials`, `sivera accounts` and `sivera apps`: one's own accounts, from the terminal.

Secrets come from standard input, never from the command line, where every user of the machine could read them. May not
import prefect at its top; see `ops.cli`.
"""

import getpass
import os
import sys
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number
from pydantic import SecretStr

from ops.stack.prefect_server import use_running_stack
from sivera.errors import ConfigurationError
from sivera.values import PlatformName

credentials = App(name="credentials", help="The grants with which teams let us read their ad accounts.")
accounts = App(name="accounts", help="The ad accounts, and how their sync stands.")
apps = App(name="apps", help="The keys of our application on each platform.")


def _check_name(_type: object, name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise ValueError("Write a name in one line.")


Name = Annotated[str, Parameter(validator=_check_name)]
Id = Annotated[int, Parameter(validator=Number(gte=1, lt=2**63))]


@credentials.command(name="add")
def add_credential(*, platform: PlatformName, team: Name, name: Name = "main") -> None:
    """Connect a grant: its token is read from standard input, checked, stored encrypted, and its accounts found.

    Google and Amazon: a refresh token. Meta and TikTok: an access token.

    Args:
        platform: The platform of the grant.
        team: The team that it belongs to; a new name makes a new team.
        name: Tells a team's grants on one platform apart. The same name again replaces the token.
    """
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.add_credential(platform, team, name, read_secret)


@credentials.command(name="list")
def list_credentials() -> None:
    """List the grants: whose, whether they work, and how many ad accounts they carry."""
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.list_credentials()


@credentials.command(name="show")
def show_credential(id: Id, /) -> None:  # noqa: A002 - its name
    """Show a grant: whether it works, when its token ends and is renewed, its last renewals, and its ad accounts.

    Args:
        id: Our id of the grant, as `sivera credentials list` shows it.
    """
    use_running_stack()
    from ops.commands import grant_actions  # noqa: PLC0415

    grant_actions.show_credential(id)


@credentials.command(name="discover")
def discover_accounts(id: Id, /) -> None:  # noqa: A002 - its name
    """Find the ad accounts that a grant reaches now, also those that came since it was connected.

    Args:
        id: Our id of the grant, as `sivera credentials list` shows it.
    """
    use_running_stack()
    from ops.commands import grant_actions  # noqa: PLC0415

    grant_actions.discover_accounts(id)


@accounts.command(name="list")
def list_accounts() -> None:
    """List the ad accounts: whose, when each last synced, and why not."""
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.list_accounts()


@accounts.command(name="sync")
def sync_account(
    id: Id,  # noqa: A002 - its name
    /,
    *,
    full: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> None:
    """Sync one ad account now, in this terminal, beside whatever else runs; the run is seen in the UI too.

    Args:
        id: Our id of the account, as `sivera accounts list` shows it.
        full: Read everything, and find what vanished.
    """
    # The result says it all; the UI shows the run's log. Prefect reads this when it is imported.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.sync_account(id, full=full)


@accounts.command(name="approve-removals")
def approve_removals(id: Id, /) -> None:  # noqa: A002 - its name
    """Let the next full sync of an account remove the campaigns that its last one found missing.

    Args:
        id: Our id of the account, as `sivera accounts list` shows it.
    """
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.approve_removals(id)


@apps.command(name="set")
def set_app(platform: PlatformName, /, *, client_id: str, base_url: str | None = None) -> None:
    """Save our application's keys for a platform; the secret is read from standard input.

    Args:
        platform: The platform that gave the keys.
        client_id: The application's id there.
        base_url: Replaces the platform's hosts, for a sandbox; left out, it is the live platform.
    """
    use_running_stack()
    from ops.commands import account_actions  # noqa: PLC0415

    account_actions.set_app(platform, client_id, base_url, read_secret)


def read_secret(what: str) -> SecretStr:
    """Read a secret from standard input; at a terminal, ask for it and do not show it.

    Raises:
        ConfigurationError: There is none, or more than one.
    """
    try:
        words = _read(f"Paste {what}: ").split()
    except UnicodeDecodeError:
        words = ["\ufffd"]
    if not words:
        raise ConfigurationError(f"standard input is empty: pass {what} there")
    if len(words) > 1 or not words[0].isascii():
        raise ConfigurationError(
            f"standard input holds something else than {what}: pass it alone there, as it was given to you"
        )
    return SecretStr(words[0])


def _read(prompt: str) -> str:
    if sys.stdin is None:  # closed by whoever started us
        return ""
    try:
        return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.read()
    except EOFError:
        return ""
