"""Many processes renew the same grants at once: each grant is renewed by exactly one call."""

from datetime import timedelta

from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.grants import queries
from sivera.grants.renewal import seal
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.processes import CONTEXT, running
from tests.unit.grants.workers import renew_all

PROCESSES, GRANTS, THREADS = 8, 500, 4


def test_eight_processes_renew_five_hundred_rotating_grants_with_one_call_each(
    stage: Stage, world: World, database_url: str
) -> None:
    grants = [world.add_grant(PlatformName.AMAZON, accounts=0, rotates=True) for _ in range(GRANTS)]
    with Session(stage.engine) as session, session.begin():
        team_id = queries.ensure_team(session, "Hanok")
        for grant in grants:
            tokens = stage.issue(grant)
            row = queries.ensure_credential(session, team_id, "amazon", str(grant.id))
            queries.replace_tokens(
                session,
                row,
                access_token=seal(stage.keyring, row.id, "access_token", tokens.access_token),
                refresh_token=seal(stage.keyring, row.id, "refresh_token", tokens.refresh_token),
                expires_in=tokens.expires_in,
            )
    world.faults.latency_seconds = 0.05
    arguments = (
        database_url,
        stage.sandbox,
        str(stage.spool),
        stage.now().isoformat(),
        THREADS,
        CONTEXT.Barrier(PROCESSES),
    )
    with running(renew_all, PROCESSES, *arguments) as processes:
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
    assert len(owners) > 1, "more than one process had a share"
    life = stage.rows("SELECT min(expires_at - now()) AS life FROM platform_credentials")[0].life
    assert life > timedelta(minutes=50)
