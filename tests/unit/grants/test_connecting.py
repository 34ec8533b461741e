"""Connecting a grant: encrypted, all or nothing, and again over what was there."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.errors import PlatformError, ReconnectRequired, Unavailable
from sivera.grants import renewal_queries as renewals
from sivera.grants.connecting import AccountsNotListed, connect_token, discover
from sivera.values import PlatformName
from tests.stage import Stage


def stored(stage: Stage) -> dict[str, object]:
    (row,) = stage.rows("SELECT * FROM platform_credentials")
    return dict(row._mapping)


def test_tokens_are_stored_encrypted_and_connecting_again_changes_only_them(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE, accounts=3)
    first = stage.connect(grant)
    assert len(first.account_ids) == 3
    row = stored(stage)
    for column in ("access_token", "refresh_token"):
        token = row[column]
        assert isinstance(token, bytes)
        assert b"ya29" not in token
        assert b"1//" not in token
    assert stage.connect(grant) == first
    assert stored(stage)["access_token"] != row["access_token"]
    assert stage.rows("SELECT count(*) AS n FROM ad_accounts")[0].n == 3


def test_a_token_that_the_platform_refuses_stores_nothing(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.META)
    world.revoke_grant(grant.id)
    with pytest.raises(PlatformError):
        stage.connect(grant)
    assert stage.rows("SELECT 1 FROM teams") == []


def test_an_account_that_two_grants_reach_stays_with_the_one_that_works(stage: Stage, world: World) -> None:
    first, second = world.add_grant(PlatformName.META), world.add_grant(PlatformName.META)
    second.account_ids.extend(first.account_ids)
    carrier = stage.connect(first)
    both = connect_token(
        stage.engine,
        stage.keyring,
        stage.client(PlatformName.META),
        team="Hanok",
        token=stage.issue(second).access_token,
        name="second",
    )
    assert carrier.external_ids == tuple(first.account_ids)
    assert set(both.external_ids) == set(second.account_ids) - set(first.account_ids)
    with Session(stage.engine) as session, session.begin():
        assert renewals.mark(session, carrier.credential_id, 1, "reauthorization_required", "gone")
    again = connect_token(
        stage.engine,
        stage.keyring,
        stage.client(PlatformName.META),
        team="Hanok",
        token=stage.issue(second).access_token,
        name="second",
    )
    assert set(again.external_ids) == set(second.account_ids)


@pytest.mark.parametrize("platform", list(PlatformName))
def test_a_person_connects_with_the_one_token_that_they_have(
    stage: Stage, world: World, platform: PlatformName
) -> None:
    grant = world.add_grant(platform, accounts=2)
    tokens = stage.issue(grant)
    pasted = tokens.refresh_token or tokens.access_token
    connection = connect_token(stage.engine, stage.keyring, stage.client(platform), team="Nari", token=pasted)
    assert len(connection.account_ids) == 2
    assert stage.tokens(platform, connection.credential_id).current()


def test_a_pasted_token_of_no_grant_is_refused_in_words(stage: Stage) -> None:
    client = stage.client(PlatformName.GOOGLE)
    with pytest.raises(ReconnectRequired):
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=SecretStr("1//nonsense"))
    assert stage.rows("SELECT 1 FROM teams") == []


def test_a_grant_of_thousands_of_accounts_can_be_connected(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.TIKTOK, accounts=7_000, campaigns=1))
    assert len(connection.account_ids) == 7_000


def test_a_token_that_was_replaced_is_stored_though_its_accounts_cannot_be_listed(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON, accounts=2, rotates=True)
    client, pasted = stage.client(PlatformName.AMAZON), SecretStr(world.issue_refresh(grant))
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "accounts"))
    with pytest.raises(AccountsNotListed, match="Run: sivera credentials discover") as stored_alone:
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=pasted)
    world.faults.clear()
    id_ = stored_alone.value.credential_id
    source = stage.tokens(PlatformName.AMAZON, id_)
    assert len(discover(stage.engine, client, source, id_)) == 2
    stage.pass_time(timedelta(hours=2))
    assert world.grant_of_access(PlatformName.AMAZON, source.renewed(source.current())) is grant


def test_a_token_that_still_works_is_not_stored_where_its_accounts_cannot_be_listed(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON)
    client, pasted = stage.client(PlatformName.AMAZON), SecretStr(world.issue_refresh(grant))
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "accounts"))
    with pytest.raises(Unavailable):
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=pasted)
    assert stage.rows("SELECT 1 FROM teams") == []


def test_accounts_that_came_later_are_discovered(stage: Stage, world: World) -> None:
    first, second = world.add_grant(PlatformName.META), world.add_grant(PlatformName.META, accounts=3)
    connection = stage.connect(first)
    first.account_ids.extend(second.account_ids)
    source = stage.tokens(PlatformName.META, connection.credential_id)
    carried = discover(stage.engine, stage.client(PlatformName.META), source, connection.credential_id)
    assert len(carried) == 4
    assert connection.account_ids[0] in carried


def test_nothing_is_spent_where_the_database_cannot_be_written_to(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON, rotates=True)
    pasted = SecretStr(world.issue_refresh(grant))

    @event.listens_for(stage.engine, "begin")
    def read_only(connection: Connection) -> None:
        connection.execute(text("SET TRANSACTION READ ONLY"))

    with pytest.raises(DBAPIError, match="read-only transaction"):
        connect_token(stage.engine, stage.keyring, stage.client(PlatformName.AMAZON), team="Nari", token=pasted)
    assert world.faults.count(PlatformName.AMAZON) == 0
