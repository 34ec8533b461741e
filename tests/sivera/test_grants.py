"""Grants: connected encrypted, renewed just in time by one caller at a time, and never over a newer one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from pydantic import SecretStr
from sqlalchemy.orm import Session

from sivera.errors import PlatformError, ReconnectRequired, Unavailable
from sivera.grants import EXPIRY_MARGIN, GrantTokenSource, connect_token
from sivera.platforms.base import PlatformClient, TokenSource
from sivera.queries import grants as queries
from sivera.sandbox.faults import Fault, FaultKind
from sivera.sandbox.world import Grant, World
from sivera.values import (
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    PlatformName,
    ReportRequest,
)
from tests.stage import Stage


@dataclass
class ReconnectedMeanwhile:
    """A client during whose renewal the user connects the grant anew."""

    inner: PlatformClient
    stage: Stage
    grant: Grant
    platform: ClassVar[PlatformName] = PlatformName.GOOGLE

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        return self.inner.list_accounts(tokens)

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        return self.inner.list_campaigns(tokens, account, changed_since)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, outstanding: Sequence[ReportRequest] = ()
    ) -> MetricsReading:
        return self.inner.read_metrics(tokens, account, window, outstanding)

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        renewed = self.inner.renew(tokens)
        self.stage.connect(self.grant)
        return renewed

    def close(self) -> None:
        self.inner.close()


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
        assert queries.mark_reauthorization_required(session, carrier.credential_id, 1, "gone")
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


@pytest.mark.parametrize(("early", "renewals"), [(timedelta(minutes=1), 1), (timedelta(minutes=-1), 0)])
def test_a_token_that_ends_within_the_margin_is_renewed_before_use(
    stage: Stage, world: World, early: timedelta, renewals: int
) -> None:
    connection = stage.connect(world.add_grant(PlatformName.GOOGLE))
    world.clock.advance(timedelta(seconds=3599) - EXPIRY_MARGIN + early)
    stage.tokens(PlatformName.GOOGLE, connection.credential_id).current()
    assert world.faults.count(PlatformName.GOOGLE, "token") == renewals


def test_eight_holders_of_one_grant_renew_it_once_though_its_refresh_token_rotates(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON, rotates=True)
    connection = stage.connect(grant)
    world.clock.advance(timedelta(hours=2))
    world.faults.latency_seconds = 0.3
    holders = [
        GrantTokenSource(
            stage.engine, stage.keyring, stage.client(PlatformName.AMAZON), connection.credential_id, stage.now
        )
        for _ in range(8)
    ]
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda n: holders[n % 8].current(), range(16)))
    assert len(tokens) == 1
    assert world.faults.count(PlatformName.AMAZON, "token") == 1
    assert not grant.reused
    assert stored(stage)["generation"] == 2


def test_threads_whose_token_is_refused_renew_it_once(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    source = stage.tokens(PlatformName.GOOGLE, stage.connect(grant).credential_id)
    refused = source.current()
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(source.renewed, [refused] * 8))
    assert len(tokens) == 1
    assert refused not in tokens
    assert world.faults.count(PlatformName.GOOGLE, "token") == 1


def test_a_user_who_reconnects_during_a_renewal_wins(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    connection = stage.connect(grant)
    client = ReconnectedMeanwhile(stage.client(PlatformName.GOOGLE), stage, grant)
    world.clock.advance(timedelta(hours=2))
    source = GrantTokenSource(stage.engine, stage.keyring, client, connection.credential_id, stage.now)
    token = source.current()
    assert stored(stage)["generation"] == 2
    fresh = GrantTokenSource(
        stage.engine, stage.keyring, stage.client(PlatformName.GOOGLE), connection.credential_id, stage.now
    )
    assert fresh.current() == token, "both hold the token that the user brought"


def test_a_lease_is_one_holder_s_until_it_ends_and_a_late_write_is_refused(stage: Stage, world: World) -> None:
    id_ = stage.connect(world.add_grant(PlatformName.GOOGLE)).credential_id
    with Session(stage.engine) as session, session.begin():
        assert queries.take_lease(session, id_, 1, "slow", timedelta(minutes=-1)), "a lease that has ended already"
    with Session(stage.engine) as session, session.begin():
        assert queries.take_lease(session, id_, 1, "successor", timedelta(minutes=1))
    with Session(stage.engine) as session, session.begin():
        assert not queries.take_lease(session, id_, 1, "third", timedelta(minutes=1))
        assert queries.store_tokens(session, id_, 1, access_token=b"new", refresh_token=None, expires_at=None)
    with Session(stage.engine) as session, session.begin():
        assert not queries.store_tokens(session, id_, 1, access_token=b"late", refresh_token=None, expires_at=None)
    assert stored(stage)["access_token"] == b"new"


def test_an_outage_marks_no_grant_and_leaves_no_lease(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.AMAZON))
    world.clock.advance(timedelta(hours=2))
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "token", times=1))
    source = stage.tokens(PlatformName.AMAZON, connection.credential_id)
    with pytest.raises(Unavailable):
        source.current()
    row = stored(stage)
    assert (row["status"], row["lease_owner"], row["generation"]) == ("active", None, 1)
    assert source.current()


def test_a_renewal_that_the_platform_refuses_for_good_marks_the_grant(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    connection = stage.connect(grant)
    world.clock.advance(timedelta(hours=2))
    world.revoke_grant(grant.id)
    source = stage.tokens(PlatformName.GOOGLE, connection.credential_id)
    for _ in range(2):
        with pytest.raises(ReconnectRequired):
            source.current()
    row = stored(stage)
    assert (row["status"], row["lease_owner"]) == ("reauthorization_required", None)
    assert row["status_reason"]


def test_a_verdict_on_an_old_token_marks_no_grant_that_was_reconnected_meanwhile(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    source = stage.tokens(PlatformName.GOOGLE, stage.connect(grant).credential_id)
    old = source.current()
    stage.connect(grant)
    assert not source.reject(old, "the token is gone")
    assert stored(stage)["status"] == "active"
    assert source.reject(source.current(), "the token is gone")
    assert stored(stage)["status"] == "reauthorization_required"


def test_a_grant_of_thousands_of_accounts_can_be_connected(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.TIKTOK, accounts=7_000, campaigns=1))
    assert len(connection.account_ids) == 7_000
