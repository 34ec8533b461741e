"""The steps of sync-campaigns."""

import logging
from contextlib import suppress
from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from blocks.names import SYNC_JOB
from sivera.clock import utc_now
from sivera.logs import log
from sivera.reasons import reason_for
from sivera.sync import account as account_sync
from sivera.sync.plan import DueAccount, SyncMode, SyncOptions, SyncPlan, plan_sync
from sivera.sync.queries import record_run
from sivera.sync.summary import AccountSync, SyncSummary
from tasks import resources
from tasks.announcing import announce
from tasks.failures import OF_ONE_ITEM, failed, is_tried_again
from tasks.naming import tag_task_run
from tasks.pages import show_table

logger = logging.getLogger("sivera.sync")


@task(name="plan-sync", task_run_name="plan-sync", cache_policy=NO_CACHE)
def plan(options: SyncOptions) -> SyncPlan:
    """Find the accounts to sync, those that wait for a human, and how many are in the slow lane."""
    with Session(resources.engine()) as session:
        return plan_sync(session, options, utc_now())


@task(name="sync-account", task_run_name="{account.platform.value} {account.name}", **OF_ONE_ITEM)
def sync_account(account: DueAccount, mode: SyncMode, lookback_days: int | None) -> AccountSync | State:
    """Copy one account's campaigns and daily metrics into the database."""
    tag_task_run(account.platform)
    deps = resources.sync_dependencies()
    try:
        result = account_sync.sync_account(deps, account, mode, lookback_days)
    except Exception as error:
        if is_tried_again(error):
            raise
        with suppress(SQLAlchemyError):  # if the database is away, only the run has the reason
            account_sync.record_failure(deps.engine, account, error, deps.now())
        _log(logging.WARNING, "Account failed", account, reason=reason_for(error))
        return failed(error)
    counts = result.model_dump(exclude={"account", "again"}, exclude_defaults=True)
    _log(logging.INFO, "Account ended", account, **counts)
    return result


def _log(level: int, message: str, account: DueAccount, **fields: object) -> None:
    log(logger, level, message, account_id=account.id, platform=account.platform, name=account.name, **fields)


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: SyncSummary, started_at: datetime) -> None:
    """Store what the run did, show what failed, and announce it. The last two need no database."""
    try:
        with Session(resources.engine()) as session, session.begin():
            record_run(session, flow_run.id, summary, started_at)
    finally:
        rows = [(failure.account, failure.reason) for failure in summary.failures]
        rows += [(one, "Waits for someone of the team to connect it again.") for one in summary.waiting_accounts]
        show_table(
            f"{SYNC_JOB}-failures",
            f"{summary.failed} accounts failed, {summary.waiting} wait for a human.",
            [{"account": a.id, "platform": a.platform.value, "name": a.name, "reason": why} for a, why in rows],
            all_of_them="sivera accounts list",
        )
        announce(
            SYNC_JOB,
            success=summary.failed == 0,
            processed=summary.synced + summary.failed,
            failed=summary.failed,
            **summary.model_dump(mode="json", include={"mode", "put_off", "waiting", "resting", "platforms"}),
        )
