"""The steps of sync-campaigns."""

import logging
from datetime import datetime

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run, task_run
from prefect.states import Failed
from sqlalchemy.orm import Session

from blocks.names import SYNC_JOB
from sivera.clock import read_clock
from sivera.grants.discovering import Discovery, DueGrant, discover, due_grants
from sivera.logs import log
from sivera.sync import account as account_sync
from sivera.sync.account import SyncDependencies
from sivera.sync.parts import Part
from sivera.sync.plan import DueAccount, SyncMode, SyncOptions, SyncPlan, plan_sync
from sivera.sync.queries import record_run
from sivera.sync.summary import AccountSync, Outcome, PartSync, SyncSummary
from sivera.units import counted
from tasks import grants, resources
from tasks.announcing import announce
from tasks.failures import RETRIED, RETRIES, end_attempt
from tasks.naming import step, tag_task_run
from tasks.pages import show_table

logger = logging.getLogger("sivera.sync")

_ended: dict[tuple[str, int], dict[Part, PartSync]] = {}
"""The parts of an account that a run has finished, by run and account. A second attempt does only the rest."""


@step("find-grants")
def grants_to_discover(options: SyncOptions) -> list[DueGrant]:
    """Find the grants with ad accounts that have not been listed for a day."""
    if options.account_ids:
        return []
    with Session(resources.engine()) as session:
        return due_grants(session, options.platforms, options.teams)


@step("discover-accounts", "{grant.platform.value} {grant.team} {grant.name}", **RETRIED)
def discover_accounts(grant: DueGrant) -> Discovery | State:
    """List the ad accounts of a grant again, and store what has changed."""
    tag_task_run(grant.platform)
    try:
        return discover(grants.tokens(grant.platform, grant.id))
    except Exception as error:  # noqa: BLE001 - what is not ours is raised again
        return end_attempt(error, logger, "Accounts not listed", credential_id=grant.id)


@step("plan-sync")
def plan(options: SyncOptions) -> SyncPlan:
    """Find the accounts to sync, those that wait for a person, and how many are in the slow lane."""
    with Session(resources.engine()) as session:
        return plan_sync(session, options, read_clock(session))


@step("sync-account", "{account.platform.value} {account.name}", **RETRIED)
def sync_account(
    account: DueAccount, mode: SyncMode, lookback_days: int | None, *, even_resting: bool = False
) -> AccountSync | State:
    """Copy one account's campaigns and daily metrics into the database."""
    tag_task_run(account.platform)
    key = (str(flow_run.id), account.id)
    about = {"account_id": account.id, "platform": account.platform, "name": account.name}
    try:
        result = account_sync.sync_account(
            _deps(),
            account,
            mode,
            lookback_days,
            ended=_ended.setdefault(key, {}),
            is_last=task_run.run_count > RETRIES,
            even_resting=even_resting,
        )
    except Exception as error:  # noqa: BLE001 - what is not ours is raised again
        state = end_attempt(error, logger, "Account failed", **about)
        _ended.pop(key, None)
        return state
    if result.again_after is None:
        del _ended[key]
    counts = result.model_dump(exclude={"account", "again_after"}, exclude_defaults=True)
    if result.outcome is Outcome.FAILED:
        log(logger, logging.WARNING, "Account failed", **about, **counts)
        return Failed(message=result.reason, data=result)
    log(logger, logging.INFO, "Account ended", **about, **counts)
    return result


@step("publish-summary")
def publish_summary(summary: SyncSummary, started_at: datetime) -> None:
    """Store what the run did, show what failed, and announce the result. A database failure stops only the storing."""
    try:
        with Session(resources.engine()) as session, session.begin():
            record_run(session, flow_run.id, summary, started_at)
    finally:
        table = [
            {"account": one.account_id, "platform": one.platform.value, "name": one.name, "reason": one.what}
            for one in (*summary.failures, *summary.notes, *summary.waiting_accounts, *summary.changes)
        ]
        show_table(
            f"{SYNC_JOB}-failures",
            f"{counted(summary.failed, 'account')} failed, {summary.waiting} waiting for a human, "
            f"{len(summary.changes)} changed.",
            table,
            all_of_them="sivera accounts list",
        )
        announce(
            success=summary.success,
            processed=summary.synced + summary.failed,
            failed=summary.failed,
            **summary.model_dump(mode="json", include={"mode", "put_off", "waiting", "resting", "platforms"}),
        )


@resources.once
def _deps() -> SyncDependencies:
    return SyncDependencies(resources.engine(), grants.client, grants.tokens)
