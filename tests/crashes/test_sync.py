"""A sync that is killed at any step leaves the old state or the new one, and the next sync completes it."""

import signal
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import event

from sandbox.world import World
from sivera.platforms.calling import new_http_client
from sivera.values import CampaignStatus, PlatformName
from tests.stage import Stage
from tests.unit.grants.processes import killed_at, of_its_own, run

STEPS = range(1, 60)


def sync_and_die(stage: Stage, http: httpx.Client, last: int) -> None:
    """Sync the one due account and be killed at the n-th step: a call to a platform, or an SQL statement."""
    step = killed_at(last)
    of_its_own(stage, http)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(stage.engine, moment, step)
    stage.http.event_hooks = {"request": [step], "response": [step]}
    (due,) = stage.due()
    stage.sync(due)


def test_a_kill_at_any_step_leaves_the_old_state_or_the_new_one(stage: Stage, world: World) -> None:
    account, due = stage.add(PlatformName.META, campaigns=8)
    stage.sync(due)
    old = stage.contents()
    first, second, *_ = (c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE)
    world.clock.advance(timedelta(hours=1))
    world.change_campaign(account.platform, account.id, first.id, name="Renamed")
    world.hard_delete_campaign(account.platform, account.id, second.id)
    seen = []
    with new_http_client() as http:
        for step in STEPS:
            code = run(sync_and_die, stage, http, step)
            seen.append(stage.contents())
            if code == 0:
                break
            assert code == -signal.SIGKILL
            (part,) = stage.rows("SELECT as_of FROM sync_parts WHERE kind = 'campaigns'")
            is_old = seen[-1]["campaigns"] == old["campaigns"]
            assert is_old == (part.as_of < stage.now()), "cursor and data move together"
        else:
            pytest.fail("the sync has more steps than this test takes")
    new = seen[-1]
    assert new != old
    assert len(seen) > 10
    assert all(contents[part] in (old[part], new[part]) for contents in seen for part in old), "each part is whole"
    assert stage.sync(due).changed == 0
