"""`sivera accounts`: the ad accounts. Listing them works without Prefect, so this module does not import it."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cyclopts import App
from sqlalchemy.orm import Session

from ops.commands.session import AccountId, Flag, open_resources, open_session
from ops.commands.tables import print_table, say, to_minute
from sivera.accounts import queries
from sivera.alerts.options import DEFAULTS
from sivera.alerts.queries import stale_accounts
from sivera.clock import read_clock
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.queries import get_credential
from sivera.models import AdAccount, SyncPart
from sivera.sync.part_queries import approve_removals as approve_held
from sivera.sync.part_queries import has_open_requests, parts_by_account
from sivera.sync.parts import Part, PartKind
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.sync.queries import read_summary
from sivera.sync.summary import SyncSummary, held_campaigns, held_days, left_out
from sivera.values import OddRow

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

accounts = App(name="accounts")

PATIENCE_SECONDS = 60
"""How long a person at the terminal waits for a platform that throttles us."""


@accounts.command(name="list")
def list_accounts() -> None:
    """List the ad accounts: their teams, when each last synced, and what is wrong."""
    with open_session() as session:
        found = queries.list_accounts(session)
        parts = parts_by_account(session)
        lacks = {one.id: one.lacks for one in stale_accounts(session, timedelta(hours=DEFAULTS.stale_hours))}
        now = read_clock(session)
    reasons = [
        (account, why_not(account, status, reason, now, parts.get(account.id, ()), lacks.get(account.id)))
        for account, _, status, reason in found
    ]
    print_table(
        ("id", "team", "platform", "name", "platform's id", "last synced (UTC)", "parts"),
        [_row(account, team, parts.get(account.id, ())) for account, team, *_ in found],
        "There are no ad accounts. Connect a grant that reaches some: sivera credentials connect --help",
        [f"Account {one.id} ({one.platform} {one.name}): {reason}" for one, reason in reasons if reason],
    )


@accounts.command(name="sync")
def sync_account(id: AccountId, /, *, full: Flag = False) -> None:  # noqa: A002 - its name
    """Sync one ad account now, in this terminal, even while other runs are active. The UI shows the run too.

    Args:
        id: Our id of the account, as `sivera accounts list` shows it.
        full: Read everything, and find what vanished.
    """
    # The output is enough here, and the UI shows the run's log. Prefect reads this when it is imported.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    from blocks.server import links  # noqa: PLC0415
    from flows.sync_campaigns import sync_campaigns  # noqa: PLC0415

    with open_resources() as engine:
        with Session(engine) as session:
            account = queries.find_account(session, id)
            grant, now = get_credential(session, account.credential_id), read_clock(session)
        if not account.status == grant.status == queries.ACTIVE:
            raise SiveraError(why_not(account, grant.status, grant.status_reason, now, ()))
        say(f"Syncing {account.platform} {account.name} ...")
        mode = SyncMode.FULL if full else SyncMode.INCREMENTAL
        options = SyncOptions(mode=mode, account_ids=(id,), deadline_seconds=PATIENCE_SECONDS)
        state: State = sync_campaigns(options, return_state=True)
        run_id = state.state_details.flow_run_id
        say(f"The run in the Prefect UI: {links().run(run_id)}")
        with Session(engine) as session:
            summary = read_summary(session, run_id) if run_id else None
            waits_for_reports = has_open_requests(session, id)
        if summary is None:
            raise SiveraError(
                f"the run ended {state.name} before it had a result ({state.message}): "
                "see docs/operations.md#sync-campaigns"
            )
        for one in summary.notes:
            say(one.what)
        say(_done(summary))
        if waits_for_reports:
            say("The platform is preparing reports of daily metrics; a later sync collects them.")


@accounts.command(name="approve-removals")
def approve_removals(id: AccountId, /) -> None:  # noqa: A002 - its name
    """Let the next full sync of an account remove the campaigns that its last one found missing."""
    with open_session() as session, session.begin():
        queries.find_account(session, id)
        held = approve_held(session, id)
    if not held:
        raise ConfigurationError(f"account {id} has no held removals: `sivera accounts list` names those that do")
    say(f"The next full sync of account {id} removes the campaigns that vanished ({held} when last counted).")
    say(f"To do it now: sivera accounts sync {id} --full")


def why_not(
    account: AdAccount,
    grant_status: str,
    grant_reason: str | None,
    now: datetime,
    parts: Sequence[SyncPart],
    lacks: str | None = None,
) -> str:
    """Say what is wrong with an account and what helps; nothing if all is well.

    `lacks` is what an alert would say it lacks; see `StaleAccount`.
    """
    if account.status != queries.ACTIVE:
        return f"The account is {account.status} at the platform."
    if grant_status != queries.ACTIVE:
        return (
            f"Grant {account.credential_id} has to be connected again, see `sivera credentials list`: "
            f"{grant_reason or grant_status}"
        )
    said = [account.last_error] if account.last_error else []
    if account.unlisted_since:
        said.append(f"Its grant has not listed it since {to_minute(account.unlisted_since)} UTC.")
    said += [sentence for part in parts for sentence in _remarks(part, account.id)]
    if account.next_attempt_at and now < account.next_attempt_at <= now + queries.SLOW_LANE_LONGEST:
        said.append(f"Runs skip it until {to_minute(account.next_attempt_at)} UTC.")
    synced_at = account.last_synced_at
    if synced_at and synced_at > now:
        said.append(f"Its last sync, at {to_minute(synced_at)} UTC, is ahead of the database's clock, and is ignored.")
    if lacks == "reports" and account.reports_as_of:
        said.append(f"Its campaigns are synced, and its last report is of {to_minute(account.reports_as_of)} UTC.")
    elif lacks == "full":
        said.append(f"It had no good full sync for two days. Try one: sivera accounts sync {account.id} --full")
    elif lacks and not said:
        said.append("No run has reached it lately: run `sivera doctor`.")
    elif synced_at is None and not said:
        said.append("It is new: the next run takes it.")
    return " ".join(said)


def _row(account: AdAccount, team: str, parts: Sequence[SyncPart]) -> Sequence[object]:
    good = f"{sum(not part.error for part in parts)} of {len(parts)}" if parts else "-"
    synced = account.last_synced_at or "never"
    return account.id, team, account.platform, account.name, account.external_id, synced, good


def _remarks(row: SyncPart, account_id: int) -> Iterator[str]:
    part = Part(kind=PartKind(row.kind), product=row.ad_product)
    if row.left_out_rows:
        yield left_out(part, [OddRow.model_validate(each) for each in row.left_out_rows])
    if row.held and part.kind is PartKind.CAMPAIGNS:
        yield f"Campaigns: {held_campaigns(row.held, account_id)}"
    elif row.held:
        yield f"{str(part)[:1].upper()}{str(part)[1:]}: {held_days(row.held)}."


def _done(summary: SyncSummary) -> str:
    for failure in summary.failures:
        raise SiveraError(failure.what)
    if not summary.synced:
        raise SiveraError("The platform throttles us now: the next run takes this account first.")
    (did,) = summary.platforms.values()
    campaigns = f"{did.added} added, {did.changed} changed, {did.unchanged} unchanged, {did.removed} removed"
    return f"Synced. Campaigns: {campaigns}. Days of metrics written: {did.metric_rows}."
