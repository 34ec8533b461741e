"""The steps of refresh-tokens."""

import logging

from prefect.client.schemas.objects import State
from sqlalchemy.orm import Session

from blocks.names import REFRESH_JOB
from sivera.grants import refreshing
from sivera.grants.refreshing import DueGrant, RefreshOptions, RefreshSummary, RefreshTally, Result
from sivera.logs import log
from sivera.units import counted
from sivera.values import PlatformName
from tasks import grants, resources
from tasks.announcing import announce
from tasks.failures import RETRIED, end_attempt
from tasks.naming import step, tag_task_run
from tasks.pages import show_table

logger = logging.getLogger("sivera.grants")


@step("plan-refresh")
def plan(options: RefreshOptions) -> tuple[DueGrant, ...]:
    """Check the keys, write the spool to the database, and find the grants to renew."""
    grants.renewal_dependencies()
    with Session(resources.engine()) as session:
        return refreshing.plan_refresh(session, options)


@step("renew-grant", "{grant.platform.value} {grant.team} {grant.name}", **RETRIED)
def renew_grant(grant: DueGrant) -> Result | State:
    """Renew one grant."""
    tag_task_run(grant.platform)
    about = {"grant_id": grant.id, "platform": grant.platform, "team": grant.team, "name": grant.name}
    try:
        result = refreshing.renew_due(grants.tokens(grant.platform, grant.id), grant)
    except Exception as error:  # noqa: BLE001 - what is not ours is raised again
        return end_attempt(error, logger, "Grant ended", **about, outcome="failed")
    log(logger, logging.INFO, "Grant ended", **about, outcome=result)
    return result


@step("judge-failures")
def judge_failures(tally: RefreshTally) -> tuple[PlatformName, ...]:
    """Tell outages apart from broken grants, and return the platforms that are down."""
    return refreshing.judge_failures(grants.renewal_dependencies(), tally, resources.breaker().silent())


@step("publish-summary")
def publish_summary(summary: RefreshSummary) -> None:
    """Show the grants that were not renewed, and announce the result."""
    show_table(
        f"{REFRESH_JOB}-failures",
        f"{counted(len(summary.failures), 'grant')} not renewed.",
        [failure.model_dump() for failure in summary.failures],
        all_of_them="sivera credentials list",
    )
    total = summary.total
    announce(
        success=summary.success,
        processed=total.renewed + total.failed + total.reauthorization_required,
        failed=total.failed,
        renewed=total.renewed,
        reauthorizationRequired=total.reauthorization_required,
        putOff=total.put_off,
        down=list(summary.down),
        platforms={name: counts.model_dump() for name, counts in summary.platforms.items()},
    )
