"""What only the Meta client does: exchange of tokens, proofs, large replies and usage headers."""

import hashlib
import hmac
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from sandbox.facts import CLIENT_SECRET
from sandbox.faults import Fault, FaultKind
from sivera.errors import InvalidReply, Misconfigured, ReconnectRequired, ScopeMissing, Throttled, ThrottleScope
from sivera.platforms.meta import MetaAds
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.values import CampaignStatus, Period
from tests.conftest import NOW
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import META, WINDOW, Desk, Network, client_on, held, ours, questions, refused

DAY = date(2026, 11, 18)


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    return new_desk(META, accounts=2, campaigns=24)


def test_a_token_is_in_the_header_with_a_proof_and_in_no_url_but_that_of_its_description(desk: Desk) -> None:
    desk.client.list_accounts(desk.tokens)
    desk.listed()
    desk.rows()
    token = desk.tokens.current()
    proof = hmac.new(CLIENT_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    urls = {operation: text for _, operation, text in desk.world.faults.log}
    assert token in urls.pop("debug")
    assert urls.keys() == {"accounts", "campaigns", "metrics"}
    assert all(f"appsecret_proof={proof}" in url and token not in url for url in urls.values())
    assert not [text for _, _, text in desk.world.faults.log if CLIENT_SECRET in text]


def test_a_proof_of_another_app_is_our_mistake(desk: Desk) -> None:
    client = desk.new_client(secret="wrong-secret")
    with refused(Misconfigured, "appsecret_proof"):
        client.list_campaigns(desk.tokens, desk.account)
    client.close()


@pytest.mark.parametrize("token", ["expired", "nonsense"])
def test_a_dead_token_cannot_be_exchanged(desk: Desk, token: str) -> None:
    tokens = held("nonsense") if token == "nonsense" else desk.tokens.tokens
    desk.world.expire_access(desk.grant.id)
    with refused(ReconnectRequired):
        desk.client.renew(tokens)


def test_a_token_without_an_end_is_exchanged_for_another(desk: Desk) -> None:
    desk.grant.expires = False
    assert desk.client.renew(desk.new_tokens()).expires_in is None


def test_changes_since_a_cursor_reach_back_ten_minutes(desk: Desk) -> None:
    first, second, third, *_ = desk.site.campaigns
    desk.change(first, name="before the overlap")
    desk.world.clock.advance(timedelta(minutes=11))
    desk.change(second, state=CampaignStatus.ARCHIVED)
    desk.world.clock.advance(timedelta(minutes=9))
    cursor = desk.world.clock.now()
    desk.change(third, name="at the cursor")
    listing = desk.client.list_campaigns(desk.tokens, desk.account, changed=Period(since=cursor, until=cursor))
    assert {c.external_id for c in listing.campaigns} == {second, third}
    assert not listing.complete


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["campaigns", "metrics"])
@pytest.mark.parametrize("cursor", ["c{}", "same"])
@pytest.mark.parametrize("rows", [[], [{"id": "1", "campaign_id": "1", "date_start": "2026-11-18"}]])
def test_pages_that_bring_nothing_new_are_an_error_after_twenty(question: str, cursor: str, rows: list[Any]) -> None:
    def answer(_: httpx.Request) -> Any:
        return {"data": rows, "paging": {"cursors": {"after": cursor.format(len(network.requests))}, "next": "x"}}

    network = Network(answer)
    with refused(InvalidReply, "nothing new"):
        questions(META)[question](client_on(META, network))
    assert len(network.requests) == MAX_EMPTY_PAGES + len(rows)


def test_empty_pages_are_followed_to_the_rows_behind_them(desk: Desk) -> None:
    desk.world.faults.add(Fault(FaultKind.EMPTY_PAGE, META, times=MAX_EMPTY_PAGES - 1))
    assert len(desk.listed()) == len(desk.listable)
    desk.world.faults.add(Fault(FaultKind.EMPTY_PAGE, META, times=MAX_EMPTY_PAGES - 1))
    assert desk.rows().keys() == desk.truth().keys()


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_team_chooses_which_action_is_its_conversion(desk: Desk) -> None:
    assert isinstance(desk.client, MetaAds)
    [reading] = desk.client.read_metrics(desk.tokens, desk.account, WINDOW, actions=["link_click"])
    assert {row.conversions - row.clicks for row in reading.rows} == {0}
    [reading] = desk.client.read_metrics(desk.tokens, desk.account, WINDOW, actions=["purchase"])
    assert 0 < sum(row.conversions for row in reading.rows) < sum(row.conversions for row in desk.rows().values())


# -- data access ------------------------------------------------------------------------------------------------------


def test_the_end_of_the_data_access_is_read_with_the_accounts(desk: Desk) -> None:
    ends = NOW + timedelta(days=9)
    desk.grant.data_access_ends = ends
    assert desk.client.list_accounts(desk.tokens).data_access_ends == ends


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, META, "debug", status=400),
        Fault(FaultKind.THROTTLE, META, "debug"),
        Fault(FaultKind.DISCONNECT, META, "debug"),
        Fault(FaultKind.BODY, META, "debug", status=200, value={"unexpected": [1]}),
        Fault(FaultKind.BODY, META, "debug", status=200, value={"data": {"data_access_expires_at": 10**20}}),
        Fault(FaultKind.BODY, META, "debug", status=200, value={"data": {"data_access_expires_at": 0, "scopes": []}}),
    ],
    ids=lambda fault: fault.kind.value,
)
def test_a_token_that_is_not_described_costs_no_account(desk: Desk, fault: Fault) -> None:
    desk.world.faults.add(replace(fault))
    listing = desk.client.list_accounts(desk.tokens)
    assert (len(listing.accounts), listing.data_access_ends) == (2, None)


def test_a_user_who_lets_us_read_no_ads_must_allow_it(new_desk: NewDesk) -> None:
    desk = new_desk(META, accounts=0)
    assert desk.client.list_accounts(desk.tokens).accounts == ()
    desk.grant.may_read_ads = False
    with refused(ScopeMissing, "permission"):
        desk.client.list_accounts(desk.tokens)


# -- refusals and throttles -------------------------------------------------------------------------------------------


def test_a_throttled_account_stops_no_other(desk: Desk) -> None:
    desk.world.faults.add(Fault(FaultKind.THROTTLE, META, match=desk.site.id, seconds=90))
    with refused(Throttled) as caught:
        desk.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT_ENDPOINT, 120)
    assert desk.breaker.seconds_left(META) == 0
    desk.world.faults.clear()
    with refused(Throttled):
        desk.listed()
    assert desk.rows()
    other = ours(desk.world.accounts_of(desk.grant)[1])
    assert desk.client.list_campaigns(desk.tokens, other).complete


@pytest.mark.parametrize(("used", "pause"), [(95, 600), (85, 120), (84, 0)])
def test_a_busy_app_pauses_once_the_account_is_read(desk: Desk, used: int, pause: int) -> None:
    desk.world.app_usage = used
    assert desk.listed()
    assert desk.breaker.seconds_left(META) == 0
    assert desk.rows()
    assert desk.breaker.seconds_left(META) == pause
