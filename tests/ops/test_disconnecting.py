"""`sivera credentials disconnect` and `sivera teams delete`: the plan, the confirmation and the result."""

import os

from blocks.names import REPORTS
from blocks.storage import load_storage
from sandbox.world import World
from sivera.reports.rules import paths
from sivera.values import PlatformName
from tests.conftest import NOW
from tests.ops.commands import Answer, Sivera
from tests.stage import Stage


def test_a_grant_is_disconnected_once_confirmed(sivera: Sivera, ready: Stage, world: World) -> None:
    grant, other = world.add_grant(PlatformName.META, accounts=2), world.add_grant(PlatformName.AMAZON)
    id_, amazon = (str(ready.connect(one).credential_id) for one in (grant, other))
    asked = sivera("credentials", "disconnect", id_)
    assert asked.out.splitlines() == [
        f"This disconnects meta grant {id_} (main) of team Hanok:",
        "- meta is asked to end our access; other grants of the same user may end with it",
        "- its tokens are deleted, and its 2 ad accounts will no longer be synced",
        "- its accounts, campaigns and metrics stay",
    ]
    assert (asked.code, "there is no terminal to confirm it: pass --yes" in asked.err) == (1, True)

    def answer_at_a_terminal(word: str) -> Answer:
        ours, theirs = os.openpty()
        with os.fdopen(ours, "w") as person, os.fdopen(theirs) as terminal:
            person.write(f"{word}\n")
            person.flush()
            return sivera("credentials", "disconnect", id_, stdin=terminal)

    refused = answer_at_a_terminal("no")
    assert (refused.code, "type 'yes' to confirm it" in refused.err) == (1, True)
    assert not grant.revoked
    done = answer_at_a_terminal("yes")
    assert (done.code, f"Disconnected grant {id_}. meta has ended our access." in done.out) == (0, True)
    assert grant.revoked
    refusal = sivera("credentials", "disconnect", id_, "--yes").refusal
    assert refusal == f"grant {id_} is already disconnected: `sivera credentials list` shows them all"
    assert "Run: sivera credentials connect" not in sivera("credentials", "list").out
    assert "remedy:       sivera credentials connect --platform meta" in sivera("credentials", "show", id_).out

    said = sivera("credentials", "disconnect", amazon, "--yes").out
    assert "- amazon has no call to end our access: its user has to, at https://www.amazon.com/ap/adam" in said
    assert "Left to do: its user removes our application at https://www.amazon.com/ap/adam" in said


def test_a_team_is_deleted_once_confirmed(sivera: Sivera, ready: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE, accounts=3)
    ready.connect(grant, "Hanok Goods")
    files, (page, _) = load_storage(REPORTS).get_filesystem(), paths(1, NOW.date())
    files.makedirs(page.rpartition("/")[0])
    files.pipe_file(page, b"figures")
    assert sivera("teams", "delete", "Nobody", "--yes").refusal.startswith("there is no team 'Nobody'")
    plan = sivera("teams", "delete", "Hanok Goods")
    assert "- grant 1: google is asked to end our access" in plan.out
    assert "- 3 rows of ad_accounts" in plan.out
    assert "pass --yes" in plan.err
    assert not grant.revoked

    said = sivera("teams", "delete", "Hanok Goods", "--yes").out
    assert "Deleted team Hanok Goods." in said
    assert "7 daily, 5 weekly and 12 monthly ones are kept" in said
    assert "A link for its user still works until it is 24 hours old" in said
    assert grant.revoked
    assert ready.rows("SELECT 1 FROM teams") == []
    assert not files.exists(page)
