"""Disconnecting a grant: the platform first, then the tokens. The figures stay, and connecting again brings it back."""

from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.alerts.queries import bad_grants, stale_accounts
from sivera.errors import ReconnectRequired
from sivera.grants import queries
from sivera.grants.disconnecting import Ending, NotDisconnectedError, disconnect
from sivera.grants.rules import LEASE
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient
from sivera.sync.plan import SyncOptions, plan_sync
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.due import Interrupted, grant_row

GOOGLE, META, AMAZON, TIKTOK = PlatformName


@pytest.mark.parametrize(
    ("platform", "rotates", "ending"),
    [
        (GOOGLE, False, Ending.REVOKED),
        (META, False, Ending.REVOKED),
        (AMAZON, True, Ending.LEFT),
        (TIKTOK, False, Ending.REVOKED),
        (TIKTOK, True, Ending.REVOKED),
    ],
)
def test_a_disconnected_grant_has_no_tokens_and_keeps_its_figures(
    stage: Stage, world: World, platform: PlatformName, rotates: bool, ending: Ending
) -> None:
    grant = world.add_grant(platform, rotates=rotates)
    id_ = stage.connect(grant).credential_id
    (due,) = stage.due()
    stage.sync(due)
    before = stage.contents()
    stage.pass_time(timedelta(days=2))  # the access tokens of most platforms have expired
    assert disconnect(stage.renewal_dependencies(), stage.client(platform), id_) is ending
    assert grant.revoked is (ending is Ending.REVOKED)
    row = grant_row(stage)
    assert row["status"] == "disconnected"
    assert not [row[name] for name in ("access_token", "refresh_token", "expires_at", "lease_owner") if row[name]]
    assert stage.contents() == before
    assert stage.due() == []
    with Session(stage.engine) as session:
        assert queries.due_grants(session, {platform.value: timedelta(days=999)}, ()) == []
        assert not plan_sync(session, SyncOptions(), stage.now()).waiting
        assert (bad_grants(session, timedelta(days=999)), stale_accounts(session, LEASE)) == ([], [])
    with pytest.raises(ReconnectRequired, match="disconnected"):
        GrantTokenSource(stage.renewal_dependencies(), stage.client(platform), id_).current()

    assert stage.connect(world.log_in(grant.id)).credential_id == id_
    assert stage.due() == [due]


def test_a_platform_that_does_not_answer_leaves_the_grant_as_it_was(stage: Stage, world: World) -> None:
    grant = world.add_grant(META)
    id_, before = stage.connect(grant).credential_id, grant_row(stage)
    world.faults.add(Fault(FaultKind.STATUS, META, "revoke", status=503))
    with pytest.raises(NotDisconnectedError, match=r"stays as it was \(meta: is in trouble.*: disconnect it once"):
        disconnect(stage.renewal_dependencies(), stage.client(META), id_)
    assert grant_row(stage) == before
    assert stage.tokens(META, id_).current()

    # A lease that ends this late is not one of ours, and blocks nothing.
    stage.execute("UPDATE platform_credentials SET lease_owner = 'dead', lease_until = now() + interval '1 year'")
    assert disconnect(stage.renewal_dependencies(), None, id_) is Ending.LEFT
    assert not grant.revoked
    assert grant_row(stage)["access_token"] is None


@pytest.mark.parametrize("platform", [GOOGLE, META, TIKTOK])
def test_a_grant_that_its_user_has_revoked_is_not_revoked_again(
    stage: Stage, world: World, platform: PlatformName
) -> None:
    grant = world.add_grant(platform)
    id_ = stage.connect(grant).credential_id
    world.revoke_grant(grant.id)
    assert disconnect(stage.renewal_dependencies(), stage.client(platform), id_) is Ending.ENDED
    assert grant_row(stage)["status"] == "disconnected"


def test_a_renewal_in_progress_stores_no_tokens(stage: Stage, world: World) -> None:
    id_ = stage.connect(world.add_grant(AMAZON, rotates=True)).credential_id
    deps = stage.renewal_dependencies()

    def meanwhile() -> None:
        with pytest.raises(NotDisconnectedError, match="is being renewed right now"):
            disconnect(deps, None, id_)
        stage.age(LEASE + timedelta(seconds=1))
        (stage.spool / f"{id_}-99.tokens").write_bytes(b"of another attempt")
        assert disconnect(deps, None, id_) is Ending.LEFT

    client = cast("PlatformClient", Interrupted(stage.client(AMAZON), meanwhile))
    with pytest.raises(ReconnectRequired, match="disconnected"):
        GrantTokenSource(deps, client, id_).renew(grant_row(stage)["generation"])
    row = grant_row(stage)
    assert (row["status"], row["refresh_token"]) == ("disconnected", None)
    assert list(stage.spool.iterdir()) == []
