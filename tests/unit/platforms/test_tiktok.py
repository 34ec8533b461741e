"""What only the TikTok client does: reports of thirty days, and tokens that are proved instead of renewed."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.figures import Figures
from sivera.errors import AccountInaccessible, GrantRevoked, InvalidReply
from sivera.platforms.tiktok import ReportCut
from sivera.values import DateWindow
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    ACCOUNT,
    SECRET,
    TIKTOK,
    TOKEN,
    WINDOW,
    answered,
    held,
    metrics,
    questions,
    refused,
    spend_of,
    static,
)
from tests.unit.platforms.test_rows import ROWS

UNTIL = date(2026, 11, 20)


@pytest.mark.parametrize(("days", "calls"), [(1, 1), (30, 1), (31, 2), (65, 3)])
def test_a_report_covers_thirty_days_at_most(new_desk: NewDesk, days: int, calls: int) -> None:
    desk = new_desk(TIKTOK)
    window = DateWindow(since=UNTIL - timedelta(days=days - 1), until=UNTIL)
    first = next(iter(desk.site.campaigns))
    for day in {window.since, window.until}:
        desk.world.restate(first, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
    assert desk.rows(window).keys() == desk.truth(window).keys() >= {(first, window.since), (first, window.until)}
    assert desk.calls("metrics") == calls


def test_a_long_lived_token_is_proved_by_one_call(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK)
    assert desk.client.renew(desk.tokens.tokens) == desk.tokens.tokens
    assert desk.calls("validate") == desk.calls() == 1
    desk.world.revoke_grant(desk.grant.id)
    with refused(GrantRevoked, "has ended the grant"):
        desk.client.renew(desk.tokens.tokens)


def test_a_renewal_that_names_no_lifetime_lasts_a_day() -> None:
    renewed = answered(TIKTOK, {"code": 0, "data": {"access_token": "new"}}).renew(held(TOKEN, SECRET))
    assert renewed.expires_in == timedelta(days=1)


# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 40001, 40002, 40003, 40301])
def test_accounts_that_tiktok_does_not_describe_are_left_out_by_name(new_desk: NewDesk, code: int) -> None:
    desk = new_desk(TIKTOK, accounts=130, campaigns=0)
    sites = desk.world.accounts_of(desk.grant)
    bad = {sites[3].id, sites[120].id}
    for id_ in bad:
        desk.world.account(TIKTOK, id_).info_code = code
    listing = desk.client.list_accounts(desk.tokens)
    assert [account.external_id for account in listing.accounts] == [s.id for s in sites if s.id not in bad]
    assert {row.id for row in listing.left_out} == bad
    assert all(("deleted" if code else "does not describe") in row.why for row in listing.left_out)
    assert all(row.why.startswith("cannot be read: " if code else "is granted") for row in listing.left_out)
    assert desk.calls("accounts") <= (2 if code == 0 else 2 + 2 * 7 + 2 * 5)


def test_a_refusal_of_every_account_is_an_error(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK, accounts=3, campaigns=0)
    for site in desk.world.accounts_of(desk.grant):
        site.info_code = 40001
    with refused(AccountInaccessible, "deleted"):
        desk.client.list_accounts(desk.tokens)


def test_a_grant_without_accounts_has_none() -> None:
    assert answered(TIKTOK, {"code": 0, "data": {}}).list_accounts(static(TIKTOK)).accounts == ()


# -- pages and reports ------------------------------------------------------------------------------------------------


def test_a_report_without_rows_and_pages_without_rows_are_read(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK, campaigns=120)
    tomorrow = UNTIL + timedelta(days=1)
    [reading] = desk.read(DateWindow(since=tomorrow, until=tomorrow))
    assert (reading.rows, reading.left_out, desk.calls("metrics")) == ((), (), 1)
    window = DateWindow(since=UNTIL - timedelta(days=29), until=UNTIL)
    for campaign in list(desk.site.campaigns)[:80]:
        for day in (UNTIL - timedelta(days=n) for n in range(30)):
            desk.world.restate(campaign, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
    assert desk.rows(window).keys() == desk.truth(window).keys()
    assert desk.calls("metrics") == 1 + 4  # the second of four pages has no list


@pytest.mark.parametrize("operation", ["campaigns", "metrics"])
def test_pages_that_bring_nothing_new_end_in_an_error(new_desk: NewDesk, operation: str) -> None:
    desk = new_desk(TIKTOK)
    desk.world.faults.add(Fault(FaultKind.EMPTY_PAGE, TIKTOK, operation))
    with refused(InvalidReply, "nothing new"):
        questions(TIKTOK, desk.tokens, desk.account)[operation](desk.client)
    assert desk.calls() == 20


def test_rows_that_are_odd_in_the_same_way_count_as_several(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK)
    odd = min(campaign for campaign, _ in desk.truth())
    desk.world.faults.add(Fault(FaultKind.ODD_ROW, TIKTOK, "metrics", match=odd, value=None))
    (reading,) = desk.read()
    assert {row.campaign_id for row in reading.rows} == {campaign for campaign, _ in desk.truth()} - {odd}
    assert len(reading.left_out) == sum(campaign == odd for campaign, _ in desk.truth()) > 1


def test_a_day_in_two_forms_is_one_day() -> None:
    row = {"dimensions": ROWS["tiktok dimensions"], "metrics": ROWS["tiktok metrics"]}
    short = row | {"dimensions": {"campaign_id": "1", "stat_time_day": "2026-11-19"}}
    info = {"page": 1, "page_size": 1000, "total_number": 1, "total_page": 1}
    client = answered(TIKTOK, {"code": 0, "message": "OK", "data": {"list": [row, short], "page_info": info}})
    assert len(metrics(client, static(TIKTOK), ACCOUNT)) == 1


def test_a_report_over_too_many_ads_is_read_in_parts_and_what_fits_none_is_named(new_desk: NewDesk) -> None:
    desk, week = new_desk(TIKTOK, campaigns=130), DateWindow(since=date(2026, 11, 16), until=UNTIL)
    ids = list(desk.site.campaigns)
    desk.site.ads = dict.fromkeys(ids[:100], 150) | {ids[100]: 10_000, ids[129]: 15_000}
    [reading] = desk.read(week)
    assert {(row.campaign_id, row.day) for row in reading.rows} == desk.truth(week).keys()
    assert reading.without_deleted
    # The whole, a hundred campaigns, and the thirty that are cut and halved.
    assert desk.calls("metrics") == 1 + 1 + 1 + 2
    desk.site.ads[ids[129]] = 20_001
    [reading] = desk.read(week)
    assert [row.id for row in reading.left_out] == [ids[129]]
    assert {(r.campaign_id, r.day) for r in reading.rows} == {key for key in desk.truth(week) if key[0] != ids[129]}
    with refused(ReportCut, "20,000 ads"):
        desk.totals(week)
    desk.site.ads = dict.fromkeys(ids, 30_000)
    with refused(ReportCut):
        desk.read(week)


def test_a_campaign_without_an_id_costs_a_report_in_parts_no_other(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK, campaigns=30)
    odd, *good = desk.site.campaigns
    desk.site.ads = dict.fromkeys(desk.site.campaigns, 1_000)
    desk.world.faults.add(Fault(FaultKind.ODD_ROW, TIKTOK, "campaigns", match=odd, field="campaign_id"))
    [reading] = desk.read()
    assert {row.campaign_id for row in reading.rows} == {id_ for id_, _ in desk.truth()} & set(good)
    assert [row.id for row in reading.left_out] == [None]


def test_the_total_has_campaigns_that_tiktok_does_not_list(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK, accounts=5)
    desk.grant.account_ids.reverse()  # the last of five accounts has a GMV Max campaign
    unlisted = desk.site.unlisted_spend
    listed = spend_of(desk.rows())
    assert unlisted > 0
    assert {day: spend - listed.get(day, 0) for day, spend in desk.totals().items()} == {
        WINDOW.since + timedelta(days=n): unlisted for n in range(20)
    }
