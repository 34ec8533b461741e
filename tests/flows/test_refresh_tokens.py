"""refresh-tokens as a flow: a real Prefect server, the sandbox over real HTTP, real PostgreSQL."""

from datetime import datetime, timedelta
from typing import Any

from prefect.types import SecretDict

from blocks.names import TOKEN_KEY
from blocks.token_key import TokenKey, load_token_key
from flows.refresh_tokens import THREADS, refresh_tokens
from sandbox.faults import Fault, FaultKind
from sivera.clock import utc_now
from sivera.grants.connecting import connect_token
from sivera.grants.refreshing import RefreshOptions
from sivera.history.rules import SEE
from sivera.values import PlatformName
from tasks import resources
from tasks.events import notify
from tests.flows.runs import announced, artifacts, events_where, flow_run_id, run, wait_for_task_runs
from tests.stage import Stage

AMAZON, GOOGLE, META = PlatformName.AMAZON, PlatformName.GOOGLE, PlatformName.META


def connect_all(stage: Stage, teams: int = 1) -> None:
    for n in range(teams):
        stage.connect_all(team=f"Team {n}")
    stage.age(timedelta(days=51))


def test_every_due_grant_is_a_task_of_its_own_and_is_renewed(ready: Stage) -> None:
    connect_all(ready, teams=2)
    state = run(refresh_tokens)
    assert (state.name, state.message) == ("Completed", "8 of 8 grants renewed")
    rows = ready.rows("SELECT generation, expires_at - now() AS life, platform FROM platform_credentials")
    assert {row.generation for row in rows} == {2}
    hours = {row.platform: row.life and round(row.life / timedelta(hours=1)) for row in rows}
    assert hours == {"google": 1, "meta": 1440, "amazon": 1, "tiktok": None}
    assert announced(refresh_tokens, state, "renewed", "down") == [True, 8, 0, 8, []]
    wait_for_task_runs(state, {f"{platform.value} Team {n} main" for platform in PlatformName for n in range(2)})
    logs = ready.rows("SELECT DISTINCT outcome, run_id FROM token_refresh_logs")
    assert [(row.outcome, row.run_id) for row in logs] == [("renewed", flow_run_id(state))]
    assert artifacts(state).keys() == {f"refresh-tokens-{name}" for name in ("failures", "progress", "summary")}


def test_failures_are_named_and_the_others_are_renewed(ready: Stage) -> None:
    started = utc_now()
    connect_all(ready, teams=3)
    ready.world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token"))
    gone = next(grant for grant in ready.world.grants.values() if grant.platform is GOOGLE)
    ready.world.revoke_grant(gone.id)
    state = run(refresh_tokens, RefreshOptions(deadline_seconds=10))
    assert state.name == "Failed"
    assert (state.message or "").startswith("8 of 12 grants renewed, ")
    assert (state.message or "").endswith(f"amazon is down{SEE}refresh-tokens")
    success, _, _, lost, down = announced(refresh_tokens, state, "reauthorizationRequired", "down")
    assert (success, lost, down) == (False, 1, ["amazon"])
    table = str(artifacts(state)["refresh-tokens-failures"])
    assert "Someone on the team must connect the account again, " in table
    assert "next run tries again" in table
    assert {row.strikes for row in ready.rows("SELECT strikes FROM platform_credentials")} == {0}
    (row,) = ready.rows("SELECT id FROM platform_credentials WHERE status <> 'active'")
    (needed,) = published("sivera.grant.reauthorization-required", f"sivera.grant.{row.id}", started)
    assert (needed["platform"], needed["team"]) == ("google", "Team 0")

    ready.world.faults.clear()
    ready.world.log_in(gone.id)
    token = ready.issue(gone).refresh_token
    assert token
    connect_token(ready.engine, ready.keyring, ready.client(GOOGLE), team="Team 0", token=token, notify=notify)
    resources.close()  # the breaker of another process
    ready.age(timedelta(hours=1))
    assert run(refresh_tokens).message == "6 of 6 grants renewed", "Google's and Amazon's are always due"
    assert len(published("sivera.grant.recovered", f"sivera.grant.{row.id}", started)) == 1
    for name in ("down", "recovered"):
        said = published(f"sivera.platform.{name}", "sivera.platform.amazon", started)
        assert said == [{"platform": "amazon"}], "said once"


def test_grants_that_are_left_at_the_deadline_are_put_off_and_not_lost(ready: Stage) -> None:
    count = THREADS * 3
    for n in range(count):
        ready.connect(ready.world.add_grant(META, campaigns=1), team=f"Team {n}")
    ready.age(timedelta(days=51))
    ready.world.faults.latency_seconds = 1.2
    options = RefreshOptions.model_construct(deadline_seconds=2)  # a person may not give less than ten
    state = run(refresh_tokens, options)
    *_, renewed, put_off = announced(refresh_tokens, state, "renewed", "putOff")
    assert renewed + put_off == count
    assert put_off >= THREADS, "each thread starts two calls of 1.2 seconds at most"
    assert state.name == "Completed"
    ready.world.faults.latency_seconds = 0.0
    assert run(refresh_tokens).message == f"{put_off} of {put_off} grants renewed"


def test_a_wrong_key_is_named_before_any_token_is_used(ready: Stage) -> None:
    connect_all(ready)
    current = load_token_key().current
    (stranger,) = TokenKey.generate().keys.get_secret_value().values()
    renewals = ready.world.faults.calls.copy()
    TokenKey(keys=SecretDict({current: stranger}), current=current).save(TOKEN_KEY, overwrite=True)
    resources.close()
    state = run(refresh_tokens)
    assert state.is_failed()
    assert f"the key '{current}' in the block token-key is not the one" in (state.message or "")
    assert ready.world.faults.calls == renewals
    assert not ready.rows("SELECT 1 FROM token_refresh_logs")


def published(name: str, resource: str, since: datetime) -> list[dict[str, Any]]:
    """The payloads of a resource's events since then: in each test, ids begin at one."""
    return events_where(event={"name": [name]}, resource={"id": [resource]}, occurred={"since": since.isoformat()})
