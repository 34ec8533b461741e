"""Many processes renew the same grants at once: each grant is renewed by exactly one call."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.synchronize import Barrier

import httpx
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.grants import queries
from sivera.grants.refreshing import RefreshOptions, plan_refresh, renew_due
from sivera.grants.renewal import seal_tokens
from sivera.platforms.calling import new_http_client
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.processes import CONTEXT, of_its_own, running

PROCESSES, GRANTS, THREADS = 8, 500, 4


def renew_all(stage: Stage, http: httpx.Client, planned: Barrier) -> None:
    """Renew every due grant, as a run of refresh-tokens does without Prefect, once all processes have planned.

    Pairs of processes start at the same grant, so they meet at every one. Each pair starts at a different grant.
    """
    of_its_own(stage, http)
    with Session(stage.engine) as session:
        due = plan_refresh(session, RefreshOptions())
    first = planned.wait(60) // 2 * 2 * GRANTS // PROCESSES
    with ThreadPoolExecutor(THREADS) as pool:
        list(
            pool.map(lambda grant: renew_due(stage.tokens(grant.platform, grant.id), grant), due[first:] + due[:first])
        )


def test_eight_processes_renew_five_hundred_rotating_grants_with_one_call_each(stage: Stage, world: World) -> None:
    grants = [world.add_grant(PlatformName.AMAZON, accounts=0, rotates=True) for _ in range(GRANTS)]
    with Session(stage.engine) as session, session.begin():
        team_id = queries.ensure_team(session, "Hanok")
        for grant in grants:
            tokens = stage.issue(grant)
            row = queries.ensure_credential(session, team_id, "amazon", str(grant.id))
            queries.replace_tokens(session, row, seal_tokens(stage.keyring, row.id, tokens), tokens.expires_in)
    world.faults.latency_seconds = 0.02
    with (
        new_http_client() as http,
        running(renew_all, PROCESSES, stage, http, CONTEXT.Barrier(PROCESSES)) as processes,
    ):
        for process in processes:
            process.join(200)
        assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert world.faults.count(PlatformName.AMAZON, "token") == GRANTS
    assert not [grant.id for grant in grants if grant.reused or grant.revoked]
    generations = stage.rows("SELECT generation, count(*) FROM platform_credentials GROUP BY 1")
    assert [tuple(one) for one in generations] == [(2, GRANTS)]
    rows = stage.rows("SELECT outcome, count(*) AS n, count(DISTINCT owner) AS m FROM token_refresh_logs GROUP BY 1")
    assert [tuple(one) for one in rows] == [("renewed", GRANTS, GRANTS)]
    owners = {row.owner.split(":")[1] for row in stage.rows("SELECT owner FROM token_refresh_logs")}
    assert len(owners) > 1, "several processes took part"
    life = stage.rows("SELECT min(expires_at - now()) AS life FROM platform_credentials")[0].life
    assert life > timedelta(minutes=50)
