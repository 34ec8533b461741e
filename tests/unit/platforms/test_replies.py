"""Replies that the sandbox never gives: other shapes, repeated pages, repeated rows."""

from datetime import date
from typing import Any

import httpx
import pytest

from sivera.errors import InvalidReply, InvalidRequest, PlatformError, Unavailable
from sivera.platforms.google import CHANGE_LIMIT
from sivera.platforms.google_login import GoogleLogin
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.platforms.tiktok import RowsMissing
from sivera.values import DateWindow, Period, PlatformName, ReportRequest
from tests.conftest import NOW
from tests.consents import REDIRECT
from tests.unit.platforms.rig import ACCOUNT, AMAZON, GOOGLE, META, SECRET, TIKTOK, WINDOW, Canned, held, refused
from tests.unit.platforms.test_rows import ROWS


def ok(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "OK", "request_id": "1", "data": data}


def tiktok_page(records: list[Any], number: int = 1, pages: int = 1, total: int | None = None) -> dict[str, Any]:
    total = len(records) if total is None else total
    info = {"page": number, "page_size": 1000, "total_page": pages, "total_number": total}
    return ok({"list": records, "page_info": info})


def meta_page(*rows: Any, after: Any = "a") -> dict[str, Any]:
    return {"data": list(rows), "paging": {"cursors": {"after": after}, "next": "http://meta.test/next"}}


def stream(*rows: Any) -> list[Any]:
    return [{"results": list(rows), "fieldMask": "x"}]


def change(**changes: Any) -> list[Any]:
    row = {"resourceType": "CAMPAIGN", "campaign": "customers/1/campaigns/2"} | changes
    return stream({"changeStatus": row})


META_ROW, AMAZON_ROW = ROWS["meta campaign"], ROWS["amazon campaign"]
FIRST, SECOND, THIRD = (ROWS["tiktok campaign"] | {"campaign_id": number} for number in ("1", "2", "3"))

CUT_REPORT = httpx.Response(200, headers={"X-Tt-Ads-Throttle": "1"}, json=ok({}))
NEW: dict[str, Any] = {"access_token": "new", "expires_in": 3600}
ODD_STREAMS: list[Any] = [{}, "text", None, [{}], ["text"], [{"results": {}}], stream("text"), stream({})]
ODD_CUSTOMERS: list[Any] = [[], {"x": 1}, {"resourceNames": "customers/1"}, {"resourceNames": ["people/1"]}]
ODD_TOKENS: list[Any] = [
    [],
    None,
    *(NEW | {"access_token": token} for token in (None, "", 5, "a\x00", "\ud83d")),
    *(NEW | {"expires_in": seconds} for seconds in ("soon", -1, 10**9)),
]
"""Odd on every platform."""
ODD_PKCE_TOKENS = [
    *(NEW | {"refresh_token": token} for token in (7, "a\x00", "\ud83d")),
    *(NEW | {"expires_in": seconds} for seconds in (None, 0)),
]
ODD_REPLIES: dict[str, list[tuple[PlatformName, tuple[Any, ...]]]] = {
    "campaigns": [
        *((GOOGLE, (body,)) for body in ODD_STREAMS),
        (META, ([],)),
        (META, ({"data": None},)),
        (META, ({"data": [1]},)),
        (META, ({"data": [], "paging": []},)),
        (META, (meta_page(after=7),)),
        (META, ({"data": [], "paging": {"next": "http://meta.test/next"}},)),
        (META, (meta_page(after="a"), meta_page(after="b"), meta_page(after="a"))),
        (AMAZON, ({"campaigns": [AMAZON_ROW], "nextToken": "again"},)),
        (AMAZON, ({"campaigns": [], "nextToken": 7},)),
        (AMAZON, ({"totalResults": 0},)),
        (TIKTOK, (ok(None),)),
        (TIKTOK, (ok({"list": [FIRST]}),)),
        (TIKTOK, (ok({"list": {}, "page_info": {"page": 1, "total_page": 1, "total_number": 0}}),)),
        (TIKTOK, (ok({"list": [], "page_info": {"page": 1, "total_page": None, "total_number": 0}}),)),
        (TIKTOK, (tiktok_page([FIRST], 1, 9, total=9), tiktok_page([SECOND], 1, 9, total=9))),
        (TIKTOK, tuple(tiktok_page([FIRST], number, 99, total=9) for number in range(1, 99))),
        *(
            (platform, (httpx.Response(status, content=b'{"error": {"code": 19'),))
            for platform in PlatformName
            for status in (400, 401, 404)
        ),
    ],
    "accounts": [
        *((GOOGLE, (body,)) for body in ODD_CUSTOMERS),
        (GOOGLE, ({"resourceNames": ["customers/1"]}, stream({"customerClient": None}))),
        (AMAZON, ({"profiles": []},)),
        (TIKTOK, (ok({"list": [ROWS["tiktok account"]]}), ok({"list": ["text"]}))),
    ],
    "metrics": [
        *((AMAZON, ({"reportId": id_, "status": "PENDING"},)) for id_ in (7, "", "\ud83d", "a\x00b", "r" * 5_000)),
        *(
            (AMAZON, (httpx.Response(425, json={"code": "425", "detail": f"duplicate{of}"}),))
            for of in ("", " of : ", " of : \u0663\u0664")
        ),
        (TIKTOK, (CUT_REPORT, tiktok_page([FIRST], total=2), tiktok_page([]))),
    ],
    "renewal": [
        *((platform, (body,)) for platform in (GOOGLE, META, AMAZON) for body in ODD_TOKENS),
        *((TIKTOK, (ok(body),)) for body in ODD_TOKENS),
        *((platform, (body,)) for platform in (GOOGLE, AMAZON) for body in ODD_PKCE_TOKENS),
    ],
}


@pytest.mark.parametrize(
    ("question", "platform", "bodies"),
    [(question, *reply) for question, replies in ODD_REPLIES.items() for reply in replies],
)
def test_a_reply_of_another_shape_or_without_end_is_invalid(
    question: str, platform: PlatformName, bodies: tuple[Any, ...]
) -> None:
    canned = Canned(platform, *bodies)
    with refused(InvalidReply):
        canned.questions()[question]()
    assert len(canned.requests) <= 2 + MAX_EMPTY_PAGES


@pytest.mark.parametrize(
    ("platform", "bodies", "ids"),
    [
        (META, (meta_page(META_ROW, META_ROW | {"id": "2"}), {"data": [META_ROW]}), [META_ROW["id"], "2"]),
        (META, ({"data": []},), []),
        (META, ({"data": [META_ROW, META_ROW]},), [META_ROW["id"]]),
        (
            AMAZON,
            ({"campaigns": [AMAZON_ROW], "nextToken": "2"}, {"campaigns": [AMAZON_ROW]}),
            [AMAZON_ROW["campaignId"]],
        ),
        *(
            (AMAZON, ({"campaigns": [AMAZON_ROW], "totalResults": total},), [AMAZON_ROW["campaignId"]])
            for total in (1, 0, None, "many")
        ),
        (TIKTOK, (tiktok_page([FIRST, SECOND], 1, 2, 3), tiktok_page([SECOND, THIRD], 2, 2, 3)), ["1", "2", "3"]),
        (GOOGLE, ([{"fieldMask": "x"}],), []),
        (TIKTOK, (ok({}),), []),
    ],
)
def test_each_campaign_of_a_complete_listing_is_listed_once(
    platform: PlatformName, bodies: tuple[Any, ...], ids: list[str]
) -> None:
    listing = Canned(platform, *bodies).campaigns()
    assert listing.complete
    assert [campaign.external_id for campaign in listing.campaigns] == ids


@pytest.mark.parametrize(
    ("platform", "pages"),
    [
        (TIKTOK, (tiktok_page([FIRST, SECOND], 1, 2, total=4), tiktok_page([], 2, 2, total=3))),
        (TIKTOK, (tiktok_page([FIRST, SECOND], 1, 2, total=4), tiktok_page([], 2, 2, total=0))),
        (TIKTOK, (tiktok_page([FIRST, FIRST, SECOND], total=3),)),
        (AMAZON, ({"campaigns": [AMAZON_ROW], "totalResults": 2},)),
    ],
)
def test_a_listing_with_fewer_campaigns_than_the_platform_counts_is_not_complete(
    platform: PlatformName, pages: tuple[Any, ...]
) -> None:
    assert not Canned(platform, *pages).campaigns().complete


def test_an_account_of_meta_that_comes_twice_is_listed_once() -> None:
    rows = [ROWS["meta account"], ROWS["meta account"] | {"name": "B"}]
    (account,) = Canned(META, {"data": rows}).accounts().accounts
    assert account.name == "B"


def test_a_report_of_tiktok_with_fewer_rows_than_it_counts_is_an_error() -> None:
    row = {"dimensions": ROWS["tiktok dimensions"], "metrics": ROWS["tiktok metrics"]}
    for pages in ((tiktok_page([row], total=2),), (tiktok_page([row], 1, 2, total=2), tiktok_page([], 2, 2))):
        with refused(RowsMissing, "fewer rows"):
            list(Canned(TIKTOK, *pages).metrics())


@pytest.mark.parametrize(
    ("platform", "odd", "good", "kind"),
    [
        (TIKTOK, tiktok_page([], total=2), tiktok_page([]), RowsMissing),
        (TIKTOK, httpx.Response(200, content=b"<html>"), tiktok_page([]), InvalidReply),
        (TIKTOK, {"code": 40002, "message": "start_date is too long ago"}, tiktok_page([]), InvalidRequest),
        (META, {"data": [None]}, {"data": []}, InvalidReply),
    ],
)
def test_an_odd_answer_for_some_days_costs_no_other_days(
    platform: PlatformName, odd: Any, good: Any, kind: type[PlatformError]
) -> None:
    window, read = DateWindow(since=date(2026, 10, 1), until=date(2026, 11, 20)), list[DateWindow]()
    slow = [httpx.ReadTimeout("slow")] if platform is META else []
    with refused(kind):
        for reading in Canned(platform, *slow, odd, good).metrics(window):
            read.append(reading.window)
    assert len(read) == 1


def test_a_row_of_tiktok_without_a_campaign_is_left_out() -> None:
    rows = [
        {"dimensions": ROWS["tiktok dimensions"] | {"campaign_id": id_}, "metrics": ROWS["tiktok metrics"]}
        for id_ in "01"
    ]
    [reading] = Canned(TIKTOK, tiktok_page(rows)).metrics()
    assert [row.campaign_id for row in reading.rows] == ["1"]


@pytest.mark.parametrize(
    "body",
    [
        stream({"changeStatus": None}),
        change(resourceType="AD_GROUP"),
        change(campaign=None),
        change(campaign="x') OR ('"),
        stream(*(change()[0]["results"] * CHANGE_LIMIT)),
    ],
)
def test_google_lists_all_campaigns_if_changes_are_too_many_or_not_understood(body: Any) -> None:
    canned = Canned(GOOGLE, body, stream({"campaign": ROWS["google campaign"]}))
    listing = canned.campaigns(changed=Period(since=NOW, until=NOW))
    assert ([campaign.external_id for campaign in listing.campaigns], listing.complete) == (["1"], True)


def test_google_lists_all_campaigns_of_an_account_in_an_unknown_time_zone() -> None:
    nowhere = ACCOUNT.model_copy(update={"timezone": "Mars/Olympus"})
    canned = Canned(GOOGLE, stream({"campaign": ROWS["google campaign"]}))
    assert canned.campaigns(changed=Period(since=NOW, until=NOW), account=nowhere).complete


@pytest.mark.parametrize("platform", list(PlatformName), ids=str)
def test_a_refresh_token_that_the_answer_omits_is_kept(platform: PlatformName) -> None:
    renewed = Canned(platform, ok(NEW) if platform is TIKTOK else NEW).renew()
    assert (renewed.access_token.get_secret_value(), renewed.refresh_token) == ("new", held("x", SECRET).refresh_token)


def test_a_consent_without_a_refresh_token_is_an_invalid_reply() -> None:
    for canned in (Canned(GOOGLE, NEW | {"scope": GoogleLogin.scope}), Canned(AMAZON, NEW)):
        login = canned.client.login
        with refused(InvalidReply, "refresh_token"):
            login.redeem("code", REDIRECT, "v" * 43, login.regions[0])


def test_a_token_that_meta_does_not_describe_may_read_ads() -> None:
    assert Canned(META, {"data": []}, {"unexpected": 1}).accounts().accounts == ()


def test_google_is_asked_to_revoke_the_refresh_token_and_meta_has_to_confirm() -> None:
    canned = Canned(GOOGLE, {})
    for tokens, sent in ((held("a", "r"), b"token=r"), (held("a"), b"token=a")):
        canned.revoke(tokens)
        assert canned.requests[-1].content == sent
    with refused(InvalidReply, "success"):
        Canned(META, {"success": False}).revoke(held())


@pytest.mark.parametrize(
    "url",
    [None, "", "not-a-url", "http://[", "ftp://127.0.0.1/report", "http://x/\ud83d", "http://xn--zz/", "http://a..b/"],
)
def test_a_report_of_amazon_with_a_broken_url_is_refused(url: Any) -> None:
    request = ReportRequest(report_id="1", ad_product="SPONSORED_PRODUCTS", window=WINDOW, requested_at=NOW)
    no_http, no_host = httpx.UnsupportedProtocol("no http"), UnicodeError("label empty or too long")
    with pytest.raises(Unavailable):
        Canned(AMAZON, {"status": "COMPLETED", "url": url}, no_host if ".." in str(url) else no_http).collect(request)


def test_an_amazon_account_without_a_region_is_an_invalid_request() -> None:
    with refused(InvalidRequest):
        Canned(AMAZON, {}).campaigns(account=ACCOUNT.model_copy(update={"region": None}))
