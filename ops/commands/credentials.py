"""`sivera credentials`: the grants of teams. Listing them works without Prefect, so this module does not import it."""

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta

from cyclopts import App
from sqlalchemy.orm import Session

from ops.commands.revocation import revocation_plan, revocation_result
from ops.commands.session import (
    Flag,
    GrantId,
    GrantName,
    GrantPlatform,
    TeamName,
    confirm,
    open_resources,
    open_session,
    read_secret,
)
from ops.commands.tables import print_table, say, to_minute
from sivera import errors
from sivera.accounts import queries as account_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, PlatformError, SiveraError
from sivera.grants import queries, rules
from sivera.grants.connecting import Connection, connect_token
from sivera.grants.disconnecting import disconnect
from sivera.grants.discovering import discover
from sivera.grants.renewal_queries import last_attempts
from sivera.models import PlatformCredential, TokenRefreshLog
from sivera.teams.queries import unknown_teams
from sivera.units import counted
from sivera.values import OddRow, PlatformName

credentials = App(name="credentials")

RENEWALS_SHOWN = 10

credentials.command(
    "ops.commands.connect:connect",
    name="connect",
    help="Connect a grant: open the platform's consent page, store the tokens, and find the ad accounts.",
)
credentials.command(
    "ops.commands.connect:link",
    name="link",
    help="Print a link with which a team's user connects a grant in a browser. It works once, within 24 hours.",
)


@credentials.command(name="add")
def add_credential(*, platform: GrantPlatform, team: TeamName, name: GrantName = "main") -> None:
    """Connect a grant: read its token from standard input, check it, store it encrypted, and find its ad accounts.

    Google and Amazon: a refresh token. Meta and TikTok: an access token.
    """
    from tasks import events, grants  # noqa: PLC0415

    kind = "refresh token" if rules.FACTS[platform].by_refresh_token else "access token"
    with open_resources() as engine:
        with Session(engine) as session:
            new_team = unknown_teams(session, [team])
            known = {(of, row.platform, row.name) for row, of, _ in queries.list_credentials(session)}
        keyring, client = grants.keyring(), grants.client(platform)
        token = read_secret(f"the {kind} of the {platform.value} grant")
        try:
            connection = connect_token(engine, keyring, client, team=team, token=token, name=name, notify=events.notify)
        except PlatformError as error:
            raise SiveraError(
                f"{str(error).rstrip('.')}. Nothing was stored: {connecting_remedy(error, kind)}"
            ) from None
    did = "Replaced the token of" if (team, platform.value, name) in known else "Connected"
    whose = f"the new team {team}" if new_team else f"team {team}"
    say(f"{did} {platform.value} grant {connection.credential_id} ({name}) of {whose}.")
    say_carried(connection)


def say_carried(connection: Connection) -> None:
    """Say how many ad accounts a new grant carries, and which ones were left out."""
    if count := len(connection.account_ids):
        say(f"It carries {counted(count, 'ad account')}; the next run syncs the new ones. See: sivera accounts list")
    else:
        say(NOTHING_CARRIED if connection.reached else NOTHING_REACHED)
    _say_left_out(connection.left_out)


def _say_left_out(rows: Sequence[OddRow]) -> None:
    for row in rows:
        say(f"Left out {row.id or 'an account without an id'}: the platform {row.why}.")


NOTHING_CARRIED = "It carries no ad accounts: other grants of the team already carry all that it reaches."
NOTHING_REACHED = (
    "Warning: it reaches no ad accounts. Check that this is the right user, that the user may read an ad account, and "
    "that all accounts were ticked on the consent page; then run: sivera credentials discover"
)


@credentials.command(name="list")
def list_credentials() -> None:
    """List the grants: their teams, whether they work, and how many ad accounts they carry."""
    with open_session() as session:
        found = queries.list_credentials(session)
    print_table(
        ("id", "team", "platform", "name", "status", "token ends (UTC)", "accounts"),
        [
            (row.id, team, row.platform, row.name, row.status.replace("_", " "), _token_end(row), count)
            for row, team, count in found
        ],
        "There are no grants. Connect one: sivera credentials connect --help",
        [
            f"Grant {row.id} ({row.platform}, {team}): {(row.status_reason or row.status).rstrip('.')}. "
            f"Run: {_connect_again(row, team)}"
            for row, team, _ in found
            if row.status in rules.WAITING
        ],
    )


@credentials.command(name="show")
def show_credential(id: GrantId, /) -> None:  # noqa: A002 - its name
    """Show a grant: its status, when its token expires and is renewed, its last renewals, and its ad accounts."""
    with open_session() as session:
        grant, team = _find(session, id)
        attempts = last_attempts(session, id, RENEWALS_SHOWN)
        accounts = account_queries.accounts_of(session, id)
    is_in_doubt = any(attempt.outcome is None for attempt in attempts)
    for name, value in facts(grant, team, utc_now(), is_in_doubt=is_in_doubt):
        say(f"{name + ':':<14}{value}")
    say("")
    print_table(
        ("started (UTC)", "outcome", "code", "ms", "by run"),
        list(map(_attempt, attempts)),
        "It has not been renewed since it was connected.",
    )
    say("")
    print_table(
        ("account", "name", "platform's id", "status"),
        [(account.id, account.name, account.external_id, account.status) for account in accounts],
        "It carries no ad accounts.",
    )


@credentials.command(name="discover")
def discover_accounts(id: GrantId, /) -> None:  # noqa: A002 - its name
    """Find the ad accounts that a grant reaches now, including any new ones."""
    from tasks import grants  # noqa: PLC0415

    with open_resources() as engine:
        with Session(engine) as session:
            platform = PlatformName(_find(session, id)[0].platform)
        found = discover(grants.tokens(platform, id))
    new = sum(change.what == "new" for change in found.changes)
    say(f"Grant {id} carries {counted(len(found.account_ids), 'ad account')}, {new} of them new.")
    for change in found.changes:
        say(f"Account {change.account_id} ({change.name}): {change.what}.")
    _say_left_out(found.left_out)


@credentials.command(name="disconnect")
def disconnect_credential(id: GrantId, /, *, yes: Flag = False, without_revoking: Flag = False) -> None:  # noqa: A002 - its name
    """Give up a grant: revoke it at its platform and delete its tokens. Its accounts and figures stay.

    To bring it back, connect the same team, platform and name again.

    Args:
        id: Our id of the grant, as `sivera credentials list` shows it.
        yes: Do not ask for confirmation.
        without_revoking: Delete the tokens without asking the platform, for example if it refuses our application.
    """
    from tasks import grants  # noqa: PLC0415

    with open_resources() as engine:
        with Session(engine) as session:
            grant, team = _find(session, id)
            accounts = len(account_queries.accounts_of(session, id))
        if grant.status == rules.DISCONNECTED:
            raise ConfigurationError(f"grant {id} is already disconnected: `sivera credentials list` shows them all")
        platform = PlatformName(grant.platform)
        say(f"This disconnects {platform.value} grant {id} ({grant.name}) of team {team}:")
        client = None if without_revoking else grants.client(platform)
        say(f"- {revocation_plan(platform, client)}")
        say(f"- its tokens are deleted, and its {counted(accounts, 'ad account')} will no longer be synced")
        say("- its accounts, campaigns and metrics stay")
        confirm("yes", yes=yes)
        ending = disconnect(grants.renewal_dependencies(), client, id)
    say(f"Disconnected grant {id}. {revocation_result(platform, ending)}")


def facts(grant: PlatformCredential, team: str, now: datetime, *, is_in_doubt: bool) -> list[tuple[str, str]]:
    """Return the known facts about a grant, each with its label."""
    said = {
        "grant": f"{grant.id} ({grant.name})",
        "team": team,
        "platform": grant.platform,
        "status": f"{grant.status.replace('_', ' ')} since {to_minute(grant.status_since)} UTC",
        "reason": grant.status_reason,
        "remedy": _connect_again(grant, team) if grant.status != account_queries.ACTIVE else None,
        "token ends": _utc(grant.expires_at) or "never",
        "renewed": _utc(grant.last_renewed_at) or "never",
        "data until": (until := _utc(grant.data_access_ends_at)) and f"{until}, unless it is connected again",
        "next due": _next_due(grant, now, is_in_doubt=is_in_doubt),
        "strikes": grant.strikes and f"{grant.strikes} of {rules.STRIKES}, the last on {grant.last_strike_on}",
    }
    return [(name, str(value)) for name, value in said.items() if value]


def _utc(when: datetime | None) -> str | None:
    return f"{to_minute(when)} UTC" if when else None


def _find(session: Session, credential_id: int) -> tuple[PlatformCredential, str]:
    found = queries.find_credential(session, credential_id)
    if found is None:
        raise ConfigurationError(f"there is no grant {credential_id}: `sivera credentials list` shows them all")
    return found


def _connect_again(grant: PlatformCredential, team: str) -> str:
    names = f"--team {shlex.quote(team)} --name {shlex.quote(grant.name)}"
    return f"sivera credentials connect --platform {grant.platform} {names}"


def _next_due(grant: PlatformCredential, now: datetime, *, is_in_doubt: bool) -> str:
    """Say when refresh-tokens renews the grant next. A sync also renews it just before it would use an old token."""
    if grant.status != account_queries.ACTIVE or grant.platform not in set(PlatformName):
        return "not automatically"
    window = rules.FACTS[PlatformName(grant.platform)].window
    proven_at = grant.last_renewed_at or now - rules.PROOF_EVERY
    due = grant.expires_at - window if grant.expires_at else proven_at + rules.PROOF_EVERY
    if is_in_doubt:  # as soon as the lease of the unfinished attempt is over
        due = min(due, grant.lease_until or due)
    due = max(due, grant.next_attempt_at or due)
    if due <= now + timedelta(minutes=1):
        return "now: the next run of refresh-tokens renews it"
    return f"{to_minute(due)} UTC, with the next run of refresh-tokens"


def _attempt(attempt: TokenRefreshLog) -> Sequence[object]:
    outcome = (attempt.outcome or "running, or interrupted").replace("_", " ")
    return attempt.started_at, outcome, attempt.error_code, attempt.duration_ms, attempt.run_id


def connecting_remedy(error: PlatformError, kind: str) -> str:
    """Say what to do about a grant that could not be connected."""
    match error:
        case errors.ReconnectRequired() | errors.TokenRejected():
            return f"log in at the platform again and pass the new {kind}"
        case errors.Misconfigured():
            return f"check our application's keys, then: sivera apps set {error.platform.value}"
        case errors.Throttled():
            return "wait for the platform's quota; `sivera status` shows how much is left"
        case errors.Unavailable():
            return "check that this machine reaches the platform, and look at the platform's status page"
        case errors.AccountInaccessible():
            return "ask the team to open the account or to give the user access to it"
        case _:
            return "report it with these words"


def _token_end(grant: PlatformCredential) -> datetime | str:
    return "renewed when used" if grant.refresh_token else grant.expires_at or "never"
