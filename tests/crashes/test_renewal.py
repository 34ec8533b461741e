"""A renewal that is killed at any step leaves a grant that works, or is in doubt and then works.

A grant is lost only if its platform honours none of the tokens that were ever stored.
"""

import signal
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.errors import ReconnectRequired
from sivera.grants.refreshing import RefreshOptions, plan_refresh
from sivera.grants.renewal import take_up_spool
from sivera.grants.rules import LEASE
from sivera.platforms.calling import new_http_client
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.processes import killed_at, of_its_own, run, watch_files

MOST_STEPS = 120

LAST_OUTCOME = "SELECT outcome FROM token_refresh_logs ORDER BY id DESC LIMIT 1"


def renew_and_die(stage: Stage, http: httpx.Client, platform: PlatformName, credential_id: int, last: int) -> None:
    """Renew a grant and be killed at the n-th step.

    There are steps before and after each SQL statement and commit, at the start and end of each action of the HTTP
    connection (connect, send, receive), and before each action of the spool on its folder.
    """
    step = killed_at(last)

    def trace(request: httpx.Request) -> None:
        request.extensions["trace"] = step

    of_its_own(stage, http)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(stage.engine, moment, step)
    event.listen(Session, "after_commit", step)
    stage.http.event_hooks = {"request": [trace], "response": [step]}
    watch_files(stage.spool, step, "open", "os.rename", "os.remove")
    stage.tokens(platform, credential_id).current()


@pytest.mark.parametrize(("platform", "rotates"), [(PlatformName.META, False), (PlatformName.AMAZON, True)])
def test_a_kill_at_any_step_loses_no_token_that_its_platform_still_honours(
    stage: Stage, world: World, platform: PlatformName, rotates: bool
) -> None:
    grant = world.add_grant(platform, rotates=rotates)  # a spent token is not honoured
    grant.expires = True
    id_ = stage.connect(grant).credential_id
    life = stage.rows("SELECT expires_at - now() AS life FROM platform_credentials")[0].life
    seen: list[str] = []
    with new_http_client() as http:
        for step in range(1, MOST_STEPS):
            stage.pass_time(life - timedelta(minutes=2))
            generation = stage.rows("SELECT generation FROM platform_credentials")[0].generation
            code = run(renew_and_die, stage, http, platform, id_, step)
            stage.http.post(f"{stage.sandbox}/control/calls")  # answered only after what was sent before
            if code == 0:
                break
            assert code == -signal.SIGKILL
            seen.append(what_was_left(stage, generation))
            honoured = not rotates or seen[-1] == "on disk"
            resolve(stage, platform, id_, left=seen[-1], honoured=honoured)
        else:
            pytest.fail("a renewal has more steps than this test takes")
    assert len(seen) > 20
    order = ["untouched", "in doubt", "on disk", "stored"]
    assert list(dict.fromkeys(seen)) == order
    assert seen == sorted(seen, key=order.index)


def what_was_left(stage: Stage, generation: int) -> str:
    """How far the killed process came: to new tokens, to tokens on disk, to the journal row, or not even that."""
    if stage.rows("SELECT generation FROM platform_credentials")[0].generation > generation:
        return "stored"
    if stage.spool.exists() and any(path.stat().st_size for path in stage.spool.iterdir()):
        return "on disk"
    return "in doubt" if stage.rows("SELECT 1 FROM token_refresh_logs WHERE outcome IS NULL") else "untouched"


def resolve(stage: Stage, platform: PlatformName, id_: int, *, left: str, honoured: bool) -> None:
    """Let the next holder take over. The grant then works, unless its platform honours no stored token."""
    stage.age(LEASE)
    if not take_up_spool(stage.renewal_dependencies()) and left != "stored":
        with Session(stage.engine) as session:
            assert plan_refresh(session, RefreshOptions()), "a grant in doubt, or about to expire, is due"
    stage.tokens.cache_clear()
    try:
        token = stage.tokens(platform, id_).current()
    except ReconnectRequired:
        assert left == "in doubt"
        assert not honoured, "the platform still honours a stored token"
        assert stage.rows(LAST_OUTCOME)[0].outcome == "rotation_lost"
        (grant,) = stage.world.grants.values()
        stage.world.log_in(grant.id)
        stage.connect(grant)
    else:
        assert stage.world.grant_of_access(platform, token) is not None
    assert not stage.rows("SELECT 1 FROM token_refresh_logs WHERE outcome IS NULL"), "nothing stays in doubt"
