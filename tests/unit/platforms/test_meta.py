"""Only for Meta: the exchange of tokens, proofs, pages without rows, data access and usage headers."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandbox.facts import CLIENT_SECRET
from sandbox.faults import FaultKind
from sivera.errors import InvalidReply, Misconfigured, ReconnectRequired, ScopeMissing, Throttled, ThrottleScope
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.values import CampaignStatus, Period
from tests.conftest import NOW
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import META, Canned, Rig, held, ours, refused


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    return new_rig(META, accounts=2, campaigns=24)


def test_only_the_url_that_describes_a_token_contains_it_and_the_others_have_a_proof(rig: Rig) -> None:
    rig.accounts()
    rig.listed()
    rig.rows()
    token = rig.current()
    proof = hmac.new(CLIENT_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    urls = {operation: text for _, operation, text in rig.world.faults.log}
    assert token in urls.pop("debug")
    assert urls.keys() == {"accounts", "campaigns", "metrics"}
    assert all(f"appsecret_proof={proof}" in url and token not in url for url in urls.values())
    assert not [text for _, _, text in rig.world.faults.log if CLIENT_SECRET in text]


def test_a_proof_of_another_app_is_a_misconfiguration(rig: Rig) -> None:
    rig.reopen(secret="wrong-secret")
    with refused(Misconfigured, "appsecret_proof"):
        rig.campaigns()


@pytest.mark.parametrize("token", ["expired", "nonsense"])
def test_a_dead_token_cannot_be_exchanged(rig: Rig, token: str) -> None:
    tokens = held("nonsense") if token == "nonsense" else rig.held
    rig.world.expire_access(rig.grant.id)
    with refused(ReconnectRequired):
        rig.client.renew(tokens)


def test_a_token_that_never_expires_is_exchanged_for_another(rig: Rig) -> None:
    rig.grant.expires = False
    assert rig.client.renew(rig.new_tokens()).expires_in is None


def test_a_listing_of_changes_starts_ten_minutes_before_the_cursor(rig: Rig) -> None:
    first, second, third, *_ = rig.site.campaigns
    rig.change(first, name="before the overlap")
    rig.world.clock.advance(timedelta(minutes=11))
    rig.change(second, state=CampaignStatus.ARCHIVED)
    rig.world.clock.advance(timedelta(minutes=9))
    cursor = rig.world.clock.now()
    rig.change(third, name="at the cursor")
    listing = rig.campaigns(changed=Period(since=cursor, until=cursor))
    assert {c.external_id for c in listing.campaigns} == {second, third}
    assert not listing.complete


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["campaigns", "metrics"])
@pytest.mark.parametrize("cursor", ["c{}", "same"])
@pytest.mark.parametrize("rows", [[], [{"id": "1", "campaign_id": "1", "date_start": "2026-11-18"}]])
def test_pages_that_bring_nothing_new_are_an_error_after_twenty(question: str, cursor: str, rows: list[Any]) -> None:
    def answer(_: httpx.Request) -> Any:
        return {"data": rows, "paging": {"cursors": {"after": cursor.format(len(canned.requests))}, "next": "x"}}

    canned = Canned(META, answer)
    with refused(InvalidReply, "nothing new"):
        canned.questions()[question]()
    assert len(canned.requests) == MAX_EMPTY_PAGES + len(rows)


def test_rows_after_empty_pages_are_read(rig: Rig) -> None:
    rig.fault(FaultKind.EMPTY_PAGE, times=MAX_EMPTY_PAGES - 1)
    assert len(rig.listed()) == len(rig.listable)
    rig.fault(FaultKind.EMPTY_PAGE, times=MAX_EMPTY_PAGES - 1)
    assert rig.rows().keys() == rig.truth().keys()


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_team_chooses_which_action_is_its_conversion(rig: Rig) -> None:
    [reading] = rig.metrics(actions=["link_click"])
    assert {row.conversions - row.clicks for row in reading.rows} == {0}
    [reading] = rig.metrics(actions=["purchase"])
    assert 0 < sum(row.conversions for row in reading.rows) < sum(row.conversions for row in rig.rows().values())


# -- data access ------------------------------------------------------------------------------------------------------


def test_the_end_of_the_data_access_is_read_with_the_accounts(rig: Rig) -> None:
    ends = NOW + timedelta(days=9)
    rig.grant.data_access_ends = ends
    assert rig.accounts().data_access_ends == ends


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (FaultKind.STATUS, {"status": 400}),
        (FaultKind.THROTTLE, {}),
        (FaultKind.DISCONNECT, {}),
        *(
            (FaultKind.BODY, {"status": 200, "value": value})
            for value in (
                {"unexpected": [1]},
                {"data": {"data_access_expires_at": 10**20}},
                {"data": {"data_access_expires_at": 0, "scopes": []}},
            )
        ),
    ],
)
def test_accounts_are_listed_if_meta_does_not_describe_the_token(
    rig: Rig, kind: FaultKind, options: dict[str, Any]
) -> None:
    rig.fault(kind, "debug", **options)
    listing = rig.accounts()
    assert (len(listing.accounts), listing.data_access_ends) == (2, None)


def test_a_user_without_accounts_who_lets_us_read_no_ads_must_reconnect(new_rig: NewRig) -> None:
    rig = new_rig(META, accounts=0)
    assert rig.accounts().accounts == ()
    rig.grant.may_read_ads = False
    with refused(ScopeMissing, "permission"):
        rig.accounts()


# -- refusals and throttles -------------------------------------------------------------------------------------------


def test_a_throttle_of_an_account_stops_only_that_account(rig: Rig) -> None:
    rig.fault(FaultKind.THROTTLE, match=rig.site.id, seconds=90)
    with refused(Throttled) as caught:
        rig.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT_ENDPOINT, 120)
    assert rig.breaker.seconds_left(META) == 0
    rig.world.faults.clear()
    with refused(Throttled):
        rig.listed()
    assert rig.rows()
    assert rig.campaigns(account=ours(rig.sites[1])).complete


@pytest.mark.parametrize(("used", "pause"), [(95, 600), (85, 120), (84, 0)])
def test_a_busy_app_pauses_once_the_account_is_read(rig: Rig, used: int, pause: int) -> None:
    rig.world.app_usage = used
    assert rig.listed()
    assert rig.breaker.seconds_left(META) == 0
    assert rig.rows()
    assert rig.breaker.seconds_left(META) == pause
