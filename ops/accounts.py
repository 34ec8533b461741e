"""`sivera credentials`, `sivera accounts` and `sivera apps`: one's own accounts, from the terminal.

Secrets come from standard input, never from the command line, where every user of the machine could read them. May not
import prefect at its top; see `ops.cli`.
"""

import getpass
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from pydantic import SecretStr
from sqlalchemy.orm import Session

from ops.prefect_server import use_running_stack
from sivera.errors import ConfigurationError
from sivera.queries import accounts as account_queries
from sivera.queries import grants as grant_queries
from sivera.values import PlatformName

if TYPE_CHECKING:
    from sivera.models import AdAccount

credentials = App(name="credentials", help="The grants with which teams let us read their ad accounts.")
accounts = App(name="accounts", help="The ad accounts, and how their sync stands.")
apps = App(name="apps", help="The keys of our application on each platform.")


@credentials.command(name="add")
def add_credential(*, platform: PlatformName, team: str, name: str = "main") -> None:
    """Connect a grant: its token is read from standard input, checked, stored encrypted, and its accounts found.

    Args:
        platform: The platform of the grant.
        team: The team that it belongs to; a new name makes a new team.
        name: Tells a team's grants on one platform apart. The same name again replaces the token.
    """
    use_running_stack()
    from sivera.grants import REFRESH_TOKEN_PLATFORMS, connect_token  # noqa: PLC0415
    from tasks import resources  # noqa: PLC0415

    engine, keyring, client = resources.engine(), resources.keyring(), resources.client(platform)
    kind = "refresh token" if platform in REFRESH_TOKEN_PLATFORMS else "access token"
    token = _read_secret(f"the {kind} of the {platform.value} grant")
    connection = connect_token(engine, keyring, client, team=team, token=token, name=name)
    _say(
        f"Connected grant {connection.credential_id} of {team}: {len(connection.account_ids)} ad accounts. "
        "They are synced by the next run; `sivera accounts list` shows them."
    )


@credentials.command(name="list")
def list_credentials() -> None:
    """List the grants: whose, whether they work, and how many ad accounts they carry."""
    use_running_stack()
    from tasks import resources  # noqa: PLC0415

    with Session(resources.engine()) as session:
        rows = [
            [
                str(row.id),
                team,
                row.platform,
                row.name,
                row.status,
                _time(row.expires_at),
                str(count),
                row.status_reason,
            ]
            for row, team, count in grant_queries.list_credentials(session)
        ]
    _table(["id", "team", "platform", "name", "status", "token ends", "accounts", "why"], rows)


@accounts.command(name="list")
def list_accounts() -> None:
    """List the ad accounts: whose, when each last synced, and why not."""
    use_running_stack()
    from tasks import resources  # noqa: PLC0415

    with Session(resources.engine()) as session:
        rows = [
            [
                str(account.id),
                team,
                account.platform,
                account.name,
                account.external_id,
                _ago(account.last_synced_at),
                _why_not(account, grant_status, grant_reason),
            ]
            for account, team, grant_status, grant_reason in account_queries.list_accounts(session)
        ]
    _table(["id", "team", "platform", "name", "platform's id", "last synced", "why not"], rows)


@accounts.command(name="sync")
def sync_account(id: int, *, full: Annotated[bool, Parameter(negative="")] = False) -> int:  # noqa: A002 - its name
    """Sync one ad account now, in this terminal, beside whatever else runs; the run is seen in the UI too.

    Args:
        id: Our id of the account, as `sivera accounts list` shows it.
        full: Read everything, and find what vanished.
    """
    use_running_stack()
    from flows.sync_campaigns import sync_campaigns  # noqa: PLC0415
    from sivera.sync.options import SyncMode, SyncOptions  # noqa: PLC0415
    from tasks import resources  # noqa: PLC0415

    with Session(resources.engine()) as session:
        account = account_queries.get_account(session, id)
    if account is None:
        raise ConfigurationError(f"there is no account {id}: `sivera accounts list` shows them all")
    mode = SyncMode.FULL if full else SyncMode.INCREMENTAL
    state = sync_campaigns(SyncOptions(mode=mode, account_ids=(id,)), return_state=True)
    with Session(resources.engine()) as session:
        account = account_queries.get_account(session, id)
    resources.close()
    _say(state.message or state.name or "")
    if account is not None and account.last_error:
        _say(account.last_error)
    return 0 if state.is_completed() and account is not None and account.last_error is None else 1


@accounts.command(name="approve-removals")
def approve_removals(id: int) -> None:  # noqa: A002 - its name
    """Let the next full sync of an account remove the campaigns that its last one found missing.

    Args:
        id: Our id of the account, as `sivera accounts list` shows it.
    """
    use_running_stack()
    from tasks import resources  # noqa: PLC0415

    with Session(resources.engine()) as session, session.begin():
        held = account_queries.approve_removals(session, id)
    if held is None:
        raise ConfigurationError(f"account {id} has no removals that wait: `sivera accounts list` shows which have")
    _say(f"The next full sync of account {id} removes what vanished ({held} campaigns when it was last looked at).")
    _say(f"To do it now: sivera accounts sync {id} --full")


@apps.command(name="set")
def set_app(platform: PlatformName, *, client_id: str, base_url: str | None = None) -> None:
    """Save our application's keys for a platform; the secret is read from standard input.

    Args:
        platform: The platform that gave the keys.
        client_id: The application's id there.
        base_url: Replaces the platform's hosts, for a sandbox.
    """
    use_running_stack()
    from blocks.setup import setup  # noqa: PLC0415
    from sivera.platforms.base import AppCredentials  # noqa: PLC0415

    secret = _read_secret(f"the secret of our {platform.value} application")
    app = AppCredentials(client_id=client_id, client_secret=secret, base_url=base_url)
    setup(apps={platform: app})
    _say(f"Saved; runs that begin from now on use it. Check it: sivera credentials add --platform {platform.value} ...")


def _read_secret(what: str) -> SecretStr:
    secret = getpass.getpass(f"Paste {what}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not secret.strip():
        raise ConfigurationError(f"standard input holds no {what.removeprefix('the ')}: pass it there, on one line")
    return SecretStr(secret.strip())


def _why_not(account: "AdAccount", grant_status: str, grant_reason: str | None) -> str:
    if account.status != account_queries.ACTIVE:
        return f"the account is {account.status}"
    if grant_status != account_queries.ACTIVE:
        return f"its grant needs a human: {grant_reason or grant_status}"
    why = account.last_error or ""
    if account.next_attempt_at:
        why += f" Tried again at {_time(account.next_attempt_at)}."
    if account.removals_held and not account.removals_approved and "approve-removals" not in why:
        why += f" {account.removals_held} removals wait: sivera accounts approve-removals {account.id}"
    return why.strip()


def _time(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when else ""


def _ago(when: datetime | None) -> str:
    if when is None:
        return "never"
    minutes = int((datetime.now(UTC) - when).total_seconds() // 60)
    return f"{_time(when)} ({minutes // 60} h {minutes % 60} min ago)"


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, box=SIMPLE)
    for row in rows:
        table.add_row(*(cell or "" for cell in row))
    # Into a pipe each row stays on its line.
    Console(width=None if sys.stdout.isatty() else 400).print(table if rows else "There are none yet.", markup=False)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
