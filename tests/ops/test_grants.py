"""`sivera credentials show` and `sivera keys` against a real Prefect server and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest

from blocks.token_key import load_token_key
from ops.commands.credentials import facts
from sandbox.world import World
from sivera.errors import ReconnectRequired
from sivera.grants.source import GrantTokenSource
from sivera.models import PlatformCredential
from sivera.values import PlatformName
from tasks import grants, resources
from tests.ops.commands import Sivera
from tests.stage import Stage

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_a_grant_is_shown_with_its_renewals_and_accounts(sivera: Sivera, ready: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON, accounts=2)
    connection = ready.connect(grant, team="Northwind Goods")
    assert sivera("credentials", "show", "99").refusal.startswith("there is no grant 99")
    shown = sivera("credentials", "show", str(connection.credential_id)).out
    assert "status:       active since" in shown
    assert "team:         Northwind Goods" in shown
    assert "next due:     now: the next run of refresh-tokens renews it" in shown
    assert "It has not been renewed since it was connected." in shown
    assert all(external_id in shown for external_id in grant.account_ids)

    ready.pass_time(timedelta(hours=2))
    source = ready.tokens(PlatformName.AMAZON, connection.credential_id)
    token = source.current()
    shown = sivera("credentials", "show", str(connection.credential_id)).out
    assert "renewed " in shown
    assert token not in shown

    ready.pass_time(timedelta(hours=2))
    world.revoke_grant(grant.id)
    with pytest.raises(ReconnectRequired):
        GrantTokenSource(
            ready.renewal_dependencies(), ready.client(PlatformName.AMAZON), connection.credential_id
        ).current()
    shown = sivera("credentials", "show", str(connection.credential_id)).out
    assert "status:       revoked since" in shown
    assert "reason:       rejects the refresh token or the code" in shown
    assert "remedy:       sivera credentials connect --platform amazon --team 'Northwind Goods' --name main" in shown
    assert "next due:     not automatically" in shown
    assert "invalid_grant" in shown
    assert "revoked" in sivera("credentials", "list").out


@pytest.mark.parametrize(
    ("state", "in_doubt", "due"),
    [
        ({}, False, NOW + timedelta(days=50)),
        ({"next_attempt_at": NOW + timedelta(days=51)}, False, NOW + timedelta(days=51)),
        ({"lease_until": NOW + timedelta(seconds=90)}, True, NOW + timedelta(seconds=90)),
        ({"expires_at": NOW + timedelta(days=10)}, False, None),
        ({"lease_until": NOW}, True, None),
    ],
)
def test_when_a_meta_grant_is_due(state: dict[str, object], in_doubt: bool, due: datetime | None) -> None:
    """Ten days before it expires, or when the lease of an interrupted renewal ends; None means now."""
    known = {"id": 7, "name": "main", "platform": "meta", "status": "active", "status_since": NOW, "created_at": NOW}
    grant = PlatformCredential(**known | {"expires_at": NOW + timedelta(days=60)} | state)
    said = dict(facts(grant, "Hanok", NOW, is_in_doubt=in_doubt))["next due"]
    assert said.startswith(f"{due:%Y-%m-%d %H:%M} UTC" if due else "now: the next run")


def test_keys_are_rotated_and_listed(sivera: Sivera, ready: Stage, world: World) -> None:
    ids = [ready.connect(world.add_grant(PlatformName.GOOGLE), team=f"Team {n}").credential_id for n in range(3)]
    old = load_token_key().current
    assert [old, "6", "current"] in words(sivera("keys", "list").out), "an access and a refresh token each"
    answer = sivera("keys", "rotate")
    new = load_token_key().current
    assert new != old
    assert answer.code == 0
    assert f"All tokens are encrypted with key {new}." in answer.out
    assert not [key for key in load_token_key().keys.get_secret_value().values() if key in answer.out]
    listed = words(sivera("keys", "list").out)
    assert [new, "6", "current"] in listed
    assert [old, "0", "retired"] in listed
    resources.close()
    for id_ in ids:
        assert grants.tokens(PlatformName.GOOGLE, id_).current()


def words(table: str) -> list[list[str]]:
    return [line.split()[:3] for line in table.splitlines()]
