"""Connecting a grant: encrypted, all or nothing, and again over what was there."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.accounts.queries import accounts_of
from sivera.errors import PlatformError, ReconnectRequired, Unavailable
from sivera.grants import renewal_queries as renewals
from sivera.grants.connecting import AccountsNotListed, connect_token
from sivera.grants.discovering import discover
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
    client = stage.client(PlatformName.GOOGLE)
    with pytest.raises(ReconnectRequired):
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=SecretStr("1//nonsense"))
    assert stage.rows("SELECT 1 FROM teams") == []


def test_an_account_that_two_grants_reach_stays_with_the_one_that_works(stage: Stage, world: World) -> None:
    first, second = world.add_grant(PlatformName.META), world.add_grant(PlatformName.META)
    second.account_ids.extend(first.account_ids)
    carrier = stage.connect(first)

    def connect_second() -> set[str]:
        client, token = stage.client(PlatformName.META), stage.issue(second).access_token
        found = connect_token(stage.engine, stage.keyring, client, team="Hanok", token=token, name="second")
        with Session(stage.engine) as session:
            return {account.external_id for account in accounts_of(session, found.credential_id)}

    assert len(carrier.account_ids) == len(first.account_ids)
    assert connect_second() == set(second.account_ids) - set(first.account_ids)
    with Session(stage.engine) as session, session.begin():
        assert renewals.mark(session, carrier.credential_id, 1, "reauthorization_required", "gone")
    assert connect_second() == set(second.account_ids)


def test_a_person_connects_with_the_one_token_that_they_have(stage: Stage, world: World) -> None:
    for platform in PlatformName:
        tokens = stage.issue(world.add_grant(platform, accounts=2))
        pasted = tokens.refresh_token or tokens.access_token
        connection = connect_token(stage.engine, stage.keyring, stage.client(platform), team="Nari", token=pasted)
        assert len(connection.account_ids) == 2
        assert stage.tokens(platform, connection.credential_id).current()


def test_a_token_is_stored_without_accounts_only_if_the_platform_replaced_it(stage: Stage, world: World) -> None:
    client, kept = stage.client(PlatformName.AMAZON), world.add_grant(PlatformName.AMAZON)
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "accounts"))
    with pytest.raises(Unavailable):
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=SecretStr(world.issue_refresh(kept)))
    assert stage.rows("SELECT 1 FROM teams") == []
    grant = world.add_grant(PlatformName.AMAZON, accounts=2, rotates=True)
    pasted = SecretStr(world.issue_refresh(grant))
    with pytest.raises(AccountsNotListed, match="Run: sivera credentials discover") as stored_alone:
        connect_token(stage.engine, stage.keyring, client, team="Nari", token=pasted)
    world.faults.clear()
    id_ = stored_alone.value.credential_id
    source = stage.tokens(PlatformName.AMAZON, id_)
    assert len(discover(stage.engine, client, source, id_).account_ids) == 2
    grant.account_ids.extend(kept.account_ids)
    assert len(discover(stage.engine, client, source, id_).account_ids) == 3, "an account that came later"
    stage.pass_time(timedelta(hours=2))
    assert world.grant_of_access(PlatformName.AMAZON, source.renewed(source.current())) is grant


def test_nothing_is_spent_where_the_database_cannot_be_written_to(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON, rotates=True)
    pasted = SecretStr(world.issue_refresh(grant))

    @event.listens_for(stage.engine, "begin")
    def read_only(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    with pytest.raises(DBAPIError, match="takes no writes"):
        connect_token(stage.engine, stage.keyring, stage.client(PlatformName.AMAZON), team="Nari", token=pasted)
    assert world.faults.count(PlatformName.AMAZON) == 0
