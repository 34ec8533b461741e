"""Connecting a grant: encrypted, all or nothing, and again over what was there."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.accounts.queries import accounts_of
from sivera.errors import PlatformError, ReconnectRequired, Unavailable
from sivera.grants import renewal_queries as renewals
from sivera.grants.connecting import AccountsNotListed, Connection, connect_token
from sivera.grants.discovering import discover
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.due import grant_row, read_only

GOOGLE, META, AMAZON = PlatformName.GOOGLE, PlatformName.META, PlatformName.AMAZON


def paste(stage: Stage, platform: PlatformName, token: SecretStr, team: str = "Nari", name: str = "main") -> Connection:
    """Connect a grant with the one token that a person has."""
    return connect_token(stage.engine, stage.keyring, stage.client(platform), team=team, name=name, token=token)


def test_tokens_are_stored_encrypted_and_connecting_again_changes_only_them(stage: Stage, world: World) -> None:
    grant = world.add_grant(GOOGLE, accounts=3)
    first = stage.connect(grant)
    assert len(first.account_ids) == 3
    row = grant_row(stage)
    for token in (row["access_token"], row["refresh_token"]):
        assert b"ya29" not in token
        assert b"1//" not in token
    assert stage.connect(grant) == first
    assert grant_row(stage)["access_token"] != row["access_token"]
    assert stage.rows("SELECT count(*) AS n FROM ad_accounts")[0].n == 3


def test_a_rejected_token_stores_nothing(stage: Stage, world: World) -> None:
    grant = world.add_grant(META)
    world.revoke_grant(grant.id)
    with pytest.raises(PlatformError):
        stage.connect(grant)
    with pytest.raises(ReconnectRequired):
        paste(stage, GOOGLE, SecretStr("1//nonsense"))
    assert stage.rows("SELECT 1 FROM teams") == []


def test_an_account_that_two_grants_reach_stays_with_the_one_that_works(stage: Stage, world: World) -> None:
    first, second = world.add_grant(META), world.add_grant(META)
    second.account_ids.extend(first.account_ids)
    carrier = stage.connect(first)

    def connect_second() -> set[str]:
        found = paste(stage, META, stage.issue(second).access_token, team="Hanok", name="second")
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
        connection = paste(stage, platform, tokens.refresh_token or tokens.access_token)
        assert len(connection.account_ids) == 2
        assert stage.tokens(platform, connection.credential_id).current()


def test_a_token_is_stored_without_accounts_only_if_the_platform_replaced_it(stage: Stage, world: World) -> None:
    kept = world.add_grant(AMAZON)
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "accounts"))
    with pytest.raises(Unavailable):
        paste(stage, AMAZON, SecretStr(world.issue_refresh(kept)))
    assert stage.rows("SELECT 1 FROM teams") == []
    grant = world.add_grant(AMAZON, accounts=2, rotates=True)
    with pytest.raises(AccountsNotListed, match="Run: sivera credentials discover 1"):
        paste(stage, AMAZON, SecretStr(world.issue_refresh(grant)))
    world.faults.clear()
    source = stage.tokens(AMAZON, 1)
    assert len(discover(source).account_ids) == 2
    stage.pass_time(timedelta(hours=2))
    assert world.grant_of_access(AMAZON, source.renewed(source.current())) is grant


def test_no_token_is_spent_if_the_database_takes_no_writes(stage: Stage, world: World) -> None:
    token = SecretStr(world.issue_refresh(world.add_grant(AMAZON, rotates=True)))
    with read_only(stage), pytest.raises(DBAPIError, match="takes no writes"):
        paste(stage, AMAZON, token)
    assert world.faults.count(AMAZON) == 0
