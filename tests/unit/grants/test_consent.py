"""Connecting a grant by a consent in the browser, over the sandbox's consent pages."""

import pytest
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.accounts.queries import accounts_of
from sivera.grants.consent import Connected, begin, finish
from sivera.values import PlatformName
from tests.consents import REDIRECT, answered
from tests.stage import Stage


def begun(stage: Stage, platform: PlatformName = PlatformName.GOOGLE, **more: str) -> str:
    options = {"team": "Hanok", "redirect_uri": REDIRECT} | more
    return begin(stage.engine, stage.keyring, stage.client(platform), **options)


def finished(stage: Stage, answer: str, **more: str) -> Connected:
    return finish(stage.engine, stage.keyring, stage.client, answer, notify=stage.notify, **more)


@pytest.mark.parametrize("platform", PlatformName)
def test_a_consent_connects_a_grant_with_all_its_accounts(stage: Stage, world: World, platform: PlatformName) -> None:
    connected = finished(stage, answered(begun(stage, platform, name="second")))
    assert (connected.platform, connected.team, connected.name) == (platform, "Hanok", "second")
    grant = max(world.grants.values(), key=lambda each: each.id)
    with Session(stage.engine) as session:
        carried = {account.external_id for account in accounts_of(session, connected.connection.credential_id)}
    assert carried == set(grant.account_ids)
    assert stage.tokens(platform, connected.connection.credential_id).current()
