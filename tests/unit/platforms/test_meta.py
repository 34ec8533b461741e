"""Only for Meta: the exchange of tokens, proofs, deleted campaigns, large replies, data access and usage headers."""

import hashlib
import hmac
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.facts import CLIENT_SECRET
from sandbox.faults import FaultKind
from sandbox.figures import Figures
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    Unavailable,
)
from sivera.platforms.meta_errors import TooMuchData
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.values import CampaignStatus, DateWindow, Period
from tests.conftest import NOW
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import DAY, META, WINDOW, Canned, Rig, figures_of, held, ours, refused


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


def test_a_dead_token_cannot_be_exchanged(rig: Rig) -> None:
    rig.world.expire_access(rig.grant.id)
    for tokens in (rig.held, held("nonsense")):
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


def test_a_team_chooses_which_action_is_its_conversion(rig: Rig) -> None:
    [reading] = rig.metrics(actions=["link_click"])
    assert {row.conversions - row.clicks for row in reading.rows} == {0}
    [reading] = rig.metrics(actions=["purchase"])
    assert 0 < sum(row.conversions for row in reading.rows) < sum(row.conversions for row in rig.rows().values())


# -- deleted campaigns ------------------------------------------------------------------------------------------------


def test_missing_campaigns_are_deleted_if_meta_says_so_or_no_longer_knows_them(new_rig: NewRig) -> None:
    rig = new_rig(META, campaigns=120)
    alive = list(rig.listed())
    missing = [id_ for id_ in rig.site.campaigns if id_ not in alive]
    gone = [alive.pop(), alive.pop(), alive.pop(), "77"]
    for id_ in gone[:3]:
        rig.world.hard_delete_campaign(META, rig.site.id, id_)
    assert rig.deleted([*alive, *gone, *missing]) == {*gone, *missing}
    assert rig.calls("objects") == 5  # of 50, 50 and 21 ids; one of them three times, because the message is cut
    assert rig.deleted(()) == frozenset()


@pytest.mark.parametrize(
    "error",
    [
        {"code": 100, "error_subcode": 33, "message": "Unsupported get request."},
        {"code": 803, "message": "(#803) Some of the aliases you requested do not exist"},
        {"code": 100, "message": "Some of the aliases you requested do not exist"},
    ],
)
def test_an_absent_campaign_is_found_by_halving(error: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> Any:
        ids = request.url.params["ids"].split(",")
        return {"error": error} if "3" in ids else {id_: {"id": id_, "effective_status": "PAUSED"} for id_ in ids}

    canned = Canned(META, answer)
    assert canned.deleted("12345") == {"3"}
    assert len(canned.requests) <= 7


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 200, "message": "no permission"}}, AccountInaccessible),
        ({"error": {"code": 2, "message": "trouble"}}, Unavailable),
        ({"3": {"effective_status": "DELETED"}}, InvalidReply),
        ([], InvalidReply),
        ({"1": 7}, InvalidReply),
    ],
)
def test_an_error_confirms_no_deletion(body: Any, kind: type[PlatformError]) -> None:
    with refused(kind):
        Canned(META, body).deleted(["1", "2"])


def test_a_campaign_that_a_reply_does_not_mention_is_not_deleted() -> None:
    assert Canned(META, {"1": {"id": "1", "effective_status": "DELETED"}}).deleted(["1", "2"]) == {"1"}


def test_insights_are_read_without_deleted_campaigns_if_meta_refuses_them(rig: Rig) -> None:
    deleted = next(c.id for c in rig.site.campaigns.values() if c.state is CampaignStatus.REMOVED)
    rig.world.restate(deleted, DAY, Figures(10, 1, Decimal(5), Decimal(0), Decimal(0)))
    [reading] = rig.read()
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (True, False)
    body = {"error": {"code": 100, "error_subcode": 1815001, "message": "Invalid parameter"}}
    rig.fault(FaultKind.BODY, "metrics", match="DELETED", status=400, value=body)
    calls = rig.calls("metrics")
    [reading] = rig.read()
    assert reading.rows
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (False, True)
    assert rig.calls("metrics") == calls + 2
    # Without any filter, Meta would leave out archived campaigns, and their days would count as zeros.
    rig.fault(FaultKind.BODY, "metrics", match="filtering", status=400, value=body)
    with refused(InvalidRequest):
        rig.read()


# -- parts of a window ------------------------------------------------------------------------------------------------


def test_too_much_data_is_asked_for_in_fewer_days_and_smaller_pages(rig: Rig) -> None:
    window = DateWindow(since=date(2026, 9, 22), until=date(2026, 11, 20))  # 60 days: the sandbox allows 250 rows
    readings = rig.read(window)
    assert [reading.window.since for reading in readings] == [date(2026, 10, 22), window.since]
    assert {(r.campaign_id, r.day) for reading in readings for r in reading.rows} == rig.truth(window).keys()


@pytest.mark.parametrize("longest", [7, 1])
def test_days_are_halved_until_meta_answers_and_what_was_read_is_kept(rig: Rig, longest: int) -> None:
    rig.world.longest_insights = longest
    assert {key: figures_of(row) for key, row in rig.rows().items()} == rig.truth()
    assert rig.spend() == rig.spend_of_campaigns()
    reading = rig.metrics()
    assert next(reading).window.until == WINDOW.until
    rig.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        next(reading)


def test_a_day_that_meta_cannot_answer_for_costs_no_other_day() -> None:
    def answer(request: httpx.Request) -> Any:
        days = json.loads(request.url.params["time_range"])
        has_bad = days["since"] <= str(DAY) <= days["until"]
        return {"error": {"code": 1, "message": "Please reduce the amount of data"}} if has_bad else {"data": []}

    read = list[date]()
    with refused(TooMuchData):
        for reading in Canned(META, answer).metrics():
            read += reversed(reading.window.days)
    assert read == [day for day in reversed(WINDOW.days) if day != DAY]


@pytest.mark.parametrize(
    "trouble", [httpx.ReadTimeout("slow"), {"error": {"code": 1, "error_subcode": 1504018, "message": "timed out"}}]
)
def test_after_a_slow_answer_fewer_days_are_asked_for(trouble: Any) -> None:
    windows = [reading.window for reading in Canned(META, trouble, {"data": []}).metrics()]
    assert [(window.since.day, window.until.day) for window in windows] == [(11, 20), (1, 10)]


def test_too_much_data_in_the_smallest_page_of_a_day_is_an_error(rig: Rig) -> None:
    rig.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        rig.rows()
    # 20, 10, 5, 3 and 2 days with 500, 250, 125, 62 and 31 rows a page, then three single days with 25.
    assert rig.calls("metrics") == 5 + 3
    for question in ("campaigns", "accounts"):
        canned = Canned(META, {"error": {"code": 1, "message": "Please reduce the amount of data"}}, status=500)
        with refused(TooMuchData):
            canned.questions()[question]()
        assert len(canned.requests) == 3  # with 100, 50 and 25 rows


# -- data access ------------------------------------------------------------------------------------------------------


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
def test_accounts_are_listed_with_the_end_of_data_access_if_meta_describes_the_token(
    rig: Rig, kind: FaultKind, options: dict[str, Any]
) -> None:
    rig.grant.data_access_ends = NOW + timedelta(days=9)
    assert rig.accounts().data_access_ends == rig.grant.data_access_ends
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
