"""What `ops.commands.accounts` does once the way to the Prefect server is set: it imports prefect."""

import shlex
from collections.abc import Callable
from datetime import datetime, timedelta

from prefect.client.schemas.objects import State
from prefect.utilities.urls import url_for
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from blocks.platform_app import load_platform_app
from blocks.server import connect
from blocks.setup import setup
from flows.sync_campaigns import sync_campaigns
from ops.commands.session import open_database
from ops.commands.tables import print_table, say, to_minute
from sivera.accounts import queries as account_queries
from sivera.clock import utc_now
from sivera.errors import (
    ConfigurationError,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    SiveraError,
    TokenRejected,
)
from sivera.grants import queries as grant_queries
from sivera.grants.connecting import connect_token
from sivera.grants.rules import FACTS
from sivera.models import AdAccount, PlatformCredential
from sivera.platforms.base import REPORTS_LAG, AppCredentials
from sivera.sync.options import SyncMode, SyncOptions
from sivera.sync.run_queries import read_summary
from sivera.sync.summary import SyncSummary
from sivera.values import PlatformName
from tasks import resources

ReadSecret = Callable[[str], SecretStr]

OVERDUE = timedelta(hours=2)
"""The job is hourly: an account without trouble that was synced longer ago was left out twice."""

PATIENCE_SECONDS = 60
"""How long a person waits at the terminal for a platform that wants no calls."""


def add_credential(platform: PlatformName, team: str, name: str, read_secret: ReadSecret) -> None:
    """Connect a grant with the token that a person has.

    Raises:
        SiveraError: Something that it needs is missing, or the platform refuses the token; nothing was stored, unless
            the message says so.
    """
    kind = "refresh token" if FACTS[platform].by_refresh_token else "access token"
    with open_database() as engine:
        with Session(engine) as session:
            new_team = account_queries.unknown_teams(session, [team])
            known = {(of, row.platform, row.name) for row, of, _ in grant_queries.list_credentials(session)}
        keyring, client = resources.keyring(), resources.client(platform)
        token = read_secret(f"the {kind} of the {platform.value} grant")
        try:
            connection = connect_token(engine, keyring, client, team=team, token=token, name=name)
        except PlatformError as error:
            raise SiveraError(f"{str(error).rstrip('.')}. Nothing was stored: {_mend(error, kind)}") from None
    did = "Replaced the token of" if (team, platform.value, name) in known else "Connected"
    whose = f"the new team {team}" if new_team else f"team {team}"
    say(f"{did} {platform.value} grant {connection.credential_id} ({name}) of {whose}.")
    if count := len(connection.account_ids):
        carried = "1 ad account" if count == 1 else f"{count} ad accounts"
        say(f"It carries {carried}; the next run syncs what is new. See: sivera accounts list")
    else:
        say("It carries no ad account: it reaches none, or other grants of the team carry them already.")


def list_credentials() -> None:
    """Print all grants, and below them why some do not work."""
    with open_database() as engine, Session(engine) as session:
        found = grant_queries.list_credentials(session)
    print_table(
        ("id", "team", "platform", "name", "status", "token ends (UTC)", "accounts"),
        [
            (str(row.id), team, row.platform, row.name, row.status.replace("_", " "), _token_end(row), str(count))
            for row, team, count in found
        ],
        notes=[
            f"Grant {row.id} ({row.platform}, {team}): {(row.status_reason or row.status).rstrip('.')}. Run: sivera "
            f"credentials add --platform {row.platform} --team {shlex.quote(team)} --name {shlex.quote(row.name)}"
            for row, team, _ in found
            if row.status != account_queries.ACTIVE
        ],
        empty="There are no grants. Connect one: sivera credentials add --help",
    )


def list_accounts() -> None:
    """Print all ad accounts, and below them why some do not sync."""
    with open_database() as engine, Session(engine) as session:
        found = account_queries.list_accounts(session)
    now = utc_now()
    reasons = {account.id: why_not(account, status, reason, now) for account, _, status, reason in found}
    print_table(
        ("id", "team", "platform", "name", "platform's id", "last synced (UTC)"),
        [
            (
                str(account.id),
                team,
                account.platform,
                account.name,
                account.external_id,
                to_minute(account.last_synced_at) if account.last_synced_at else "never",
            )
            for account, team, *_ in found
        ],
        notes=[
            f"Account {account.id} ({account.platform} {account.name}): {reasons[account.id]}"
            for account, *_ in found
            if reasons[account.id]
        ],
        empty="There are no ad accounts. Connect a grant that reaches some: sivera credentials add --help",
    )


def sync_account(account_id: int, *, full: bool) -> None:
    """Run sync-campaigns for one account in this process, and print what it did.

    Raises:
        SiveraError: There is no such account, or it was not synced; the message says why.
    """
    with open_database() as engine:
        account = _account(engine, account_id)
        with Session(engine) as session:
            grant = grant_queries.get_credential(session, account.credential_id)
        if not account.status == grant.status == account_queries.ACTIVE:
            raise SiveraError(why_not(account, grant.status, grant.status_reason, utc_now()))
        say(f"Syncing {account.platform} {account.name} ...")
        options = SyncOptions(
            mode=SyncMode.FULL if full else SyncMode.INCREMENTAL,
            account_ids=(account_id,),
            deadline_seconds=PATIENCE_SECONDS,
        )
        state = sync_campaigns(options, return_state=True)
        run_id = state.state_details.flow_run_id
        say(f"The run in the Prefect UI: {url_for('flow-run', obj_id=run_id)}")
        with Session(engine) as session:
            summary = read_summary(session, run_id) if run_id else None
            waits_for_reports = any(row.report_id for row in account_queries.sync_target(session, account_id))
        say(_done(summary, state))
        if waits_for_reports:
            say("The platform is preparing reports of daily metrics; a later sync collects them.")


def approve_removals(account_id: int) -> None:
    """Let the next full sync of an account remove what vanished.

    Raises:
        ConfigurationError: There is no such account, or nothing of it waits for that.
    """
    with open_database() as engine:
        _account(engine, account_id)
        with Session(engine) as session, session.begin():
            held = account_queries.approve_removals(session, account_id)
    if held is None:
        raise ConfigurationError(
            f"account {account_id} has no removals that wait: `sivera accounts list` says which do"
        )
    say(f"The next full sync of account {account_id} removes the campaigns that vanished ({held} when last counted).")
    say(f"To do it now: sivera accounts sync {account_id} --full")


def set_app(platform: PlatformName, client_id: str, base_url: str | None, read_secret: ReadSecret) -> None:
    """Save our application's keys for a platform.

    Raises:
        ConfigurationError: They do not fit, or the Prefect server does not answer; nothing was saved.
    """
    with connect():
        pass  # before a person pastes a secret
    secret = read_secret(f"the secret of our {platform.value} application")
    app = AppCredentials(
        client_id=client_id,
        client_secret=secret,
        base_url=base_url,
        developer_token=_saved_developer_token(platform),
    )
    setup(apps={platform: app})
    where = f"{platform.value} at {base_url}" if base_url else f"the live {platform.value}"
    say(f"Saved our application's keys for {where}; runs that begin from now on use them.")
    say(f"Whether they are right shows: sivera credentials add --platform {platform.value} --team TEAM")


def _saved_developer_token(platform: PlatformName) -> SecretStr | None:
    # It is entered in the UI; new keys must not take it away.
    try:
        return load_platform_app(platform).developer_token
    except ConfigurationError:
        return None


def why_not(account: AdAccount, grant_status: str, grant_reason: str | None, now: datetime) -> str:
    """Say why an account is not synced, was not lately or lacks reports, and what helps; nothing where all is well."""
    if account.status != account_queries.ACTIVE:
        return f"The account is {account.status} at the platform."
    if grant_status != account_queries.ACTIVE:
        return (
            f"Grant {account.credential_id} has to be connected again, see `sivera credentials list`: "
            f"{grant_reason or grant_status}"
        )
    said = []
    if account.removals_approved:
        said.append("Its removals are approved: the next full sync makes them.")
    elif account.removals_held:
        said.append(
            f"A full listing lacked {account.removals_held} campaigns, so nothing was removed; if that is right, run: "
            f"sivera accounts approve-removals {account.id}"
        )
    if account.last_error and not (account.removals_held and "approve-removals" in account.last_error):
        said.append(account.last_error)
    if account.next_attempt_at and account.next_attempt_at > now:
        said.append(f"Runs leave it out until {to_minute(account.next_attempt_at)} UTC.")
    is_synced = account.last_synced_at is not None and now - account.last_synced_at <= OVERDUE
    if is_synced and account.reports_as_of and now - account.reports_as_of > REPORTS_LAG + OVERDUE:
        said.append(f"Its campaigns are synced, and its last report is of {to_minute(account.reports_as_of)} UTC.")
    if account.last_synced_at is None and not said:
        said.append("It is new: the next run takes it.")
    elif not is_synced and not said:
        said.append("No run has come to it lately: see the runs of sync-campaigns in the Prefect UI.")
    return " ".join(said)


def _account(engine: Engine, account_id: int) -> AdAccount:
    with Session(engine) as session:
        account = account_queries.get_account(session, account_id)
    if account is None:
        raise ConfigurationError(f"there is no account {account_id}: `sivera accounts list` shows them all")
    return account


def _done(summary: SyncSummary | None, state: State) -> str:
    if summary is None:
        raise SiveraError(f"the run ended {state.name} before it had a result ({state.message})")
    for failure in summary.failures:
        raise SiveraError(failure.reason)
    if not summary.synced:
        raise SiveraError("The platform wants no calls now: the next run takes the account first.")
    (did,) = summary.platforms.values()
    campaigns = f"{did.added} added, {did.changed} changed, {did.unchanged} unchanged, {did.removed} removed"
    return f"Synced. Campaigns: {campaigns}. Days of metrics written: {did.metric_rows}."


def _mend(error: PlatformError, kind: str) -> str:
    match error:
        case ReconnectRequired() | TokenRejected():
            return f"log in at the platform again and pass the new {kind}"
        case Misconfigured():
            return f"check our application's keys, then: sivera apps set {error.platform.value}"
        case _:
            return "try again in a moment"


def _token_end(grant: PlatformCredential) -> str:
    if grant.refresh_token:
        return "renewed when used"
    return to_minute(grant.expires_at) if grant.expires_at else "never"
