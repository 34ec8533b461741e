"""Only for TikTok: reports of thirty days, accounts that it does not describe, and tokens that do not expire."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from sandbox.faults import FaultKind
from sandbox.figures import Figures
from sivera.errors import AccountInaccessible, GrantRevoked, InvalidReply
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.platforms.tiktok import ReportCut
from sivera.values import DateWindow
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import TIKTOK, WINDOW, Canned, refused
from tests.unit.platforms.test_replies import tiktok_page
from tests.unit.platforms.test_rows import ROWS

UNTIL = date(2026, 11, 20)


@pytest.mark.parametrize(("days", "calls"), [(1, 1), (30, 1), (31, 2), (65, 3)])
def test_a_report_covers_thirty_days_at_most(new_rig: NewRig, days: int, calls: int) -> None:
    rig = new_rig(TIKTOK)
    window = DateWindow(since=UNTIL - timedelta(days=days - 1), until=UNTIL)
    first = next(iter(rig.site.campaigns))
    for day in {window.since, window.until}:
        rig.world.restate(first, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
    assert rig.rows(window).keys() == rig.truth(window).keys() >= {(first, window.since), (first, window.until)}
    assert rig.calls("metrics") == calls


def test_one_call_proves_that_a_long_lived_token_works(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK)
    assert rig.renew() == rig.held
    assert rig.calls("validate") == rig.calls() == 1
    rig.world.revoke_grant(rig.grant.id)
    with refused(GrantRevoked, "has ended the grant"):
        rig.renew()


def test_a_renewal_that_names_no_lifetime_lasts_a_day() -> None:
    assert Canned(TIKTOK, {"code": 0, "data": {"access_token": "new"}}).renew().expires_in == timedelta(days=1)


# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 40001, 40002, 40003, 40301])
def test_accounts_that_tiktok_does_not_describe_are_left_out_by_name(new_rig: NewRig, code: int) -> None:
    rig = new_rig(TIKTOK, accounts=130, campaigns=0)
    ids = [site.id for site in rig.sites]
    bad = {ids[3], ids[120]}
    for id_ in bad:
        rig.world.account(TIKTOK, id_).info_code = code
    listing = rig.accounts()
    assert [account.external_id for account in listing.accounts] == [id_ for id_ in ids if id_ not in bad]
    assert {row.id for row in listing.left_out} == bad
    assert all(("deleted" if code else "does not describe") in row.why for row in listing.left_out)
    assert all(row.why.startswith("cannot be read: " if code else "is granted") for row in listing.left_out)
    assert rig.calls("accounts") <= (2 if code == 0 else 2 + 2 * 7 + 2 * 5)


def test_a_refusal_of_every_account_is_an_error(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK, accounts=3, campaigns=0)
    for site in rig.sites:
        site.info_code = 40001
    with refused(AccountInaccessible, "deleted"):
        rig.accounts()


def test_a_grant_without_accounts_has_none() -> None:
    assert Canned(TIKTOK, {"code": 0, "data": {}}).accounts().accounts == ()


# -- pages and reports ------------------------------------------------------------------------------------------------


def test_a_report_without_rows_and_pages_without_rows_are_read(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK, campaigns=120)
    tomorrow = UNTIL + timedelta(days=1)
    [reading] = rig.read(DateWindow(since=tomorrow, until=tomorrow))
    assert (reading.rows, reading.left_out, rig.calls("metrics")) == ((), (), 1)
    window = DateWindow(since=UNTIL - timedelta(days=29), until=UNTIL)
    for campaign in list(rig.site.campaigns)[:80]:
        for day in (UNTIL - timedelta(days=n) for n in range(30)):
            rig.world.restate(campaign, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
    assert rig.rows(window).keys() == rig.truth(window).keys()
    assert rig.calls("metrics") == 1 + 4  # the second of four pages has no list


@pytest.mark.parametrize("operation", ["campaigns", "metrics"])
def test_pages_that_bring_nothing_new_are_an_error_after_twenty(new_rig: NewRig, operation: str) -> None:
    rig = new_rig(TIKTOK)
    rig.fault(FaultKind.EMPTY_PAGE, operation)
    with refused(InvalidReply, "nothing new"):
        rig.questions()[operation]()
    assert rig.calls() == MAX_EMPTY_PAGES


def test_each_odd_row_is_counted(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK)
    odd = min(campaign for campaign, _ in rig.truth())
    rig.fault(FaultKind.ODD_ROW, "metrics", match=odd, value=None)
    (reading,) = rig.read()
    assert {row.campaign_id for row in reading.rows} == {campaign for campaign, _ in rig.truth()} - {odd}
    assert len(reading.left_out) == sum(campaign == odd for campaign, _ in rig.truth()) > 1


def test_a_day_in_two_formats_is_one_day() -> None:
    row = {"dimensions": ROWS["tiktok dimensions"], "metrics": ROWS["tiktok metrics"]}
    short = row | {"dimensions": {"campaign_id": "1", "stat_time_day": "2026-11-19"}}
    [reading] = Canned(TIKTOK, tiktok_page([row, short], total=1)).metrics()
    assert len(reading.rows) == 1


def test_a_report_over_too_many_ads_is_read_in_parts_and_a_campaign_that_is_too_large_is_named(new_rig: NewRig) -> None:
    rig, week = new_rig(TIKTOK, campaigns=130), DateWindow(since=date(2026, 11, 16), until=UNTIL)
    ids = list(rig.site.campaigns)
    rig.site.ads = dict.fromkeys(ids[:100], 150) | {ids[100]: 10_000, ids[129]: 15_000}
    [reading] = rig.read(week)
    assert {(row.campaign_id, row.day) for row in reading.rows} == rig.truth(week).keys()
    assert reading.without_deleted
    # The whole, a hundred campaigns, and the thirty that are halved.
    assert rig.calls("metrics") == 1 + 1 + 1 + 2
    rig.site.ads[ids[129]] = 20_001
    [reading] = rig.read(week)
    assert [row.id for row in reading.left_out] == [ids[129]]
    assert {(r.campaign_id, r.day) for r in reading.rows} == {key for key in rig.truth(week) if key[0] != ids[129]}
    with refused(ReportCut, "20,000 ads"):
        rig.totals(week)
    rig.site.ads = dict.fromkeys(ids, 30_000)
    with refused(ReportCut):
        rig.read(week)


def test_a_report_in_parts_leaves_out_only_a_campaign_without_an_id(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK, campaigns=30)
    odd, *good = rig.site.campaigns
    rig.site.ads = dict.fromkeys(rig.site.campaigns, 1_000)
    rig.fault(FaultKind.ODD_ROW, "campaigns", match=odd, field="campaign_id")
    [reading] = rig.read()
    assert {row.campaign_id for row in reading.rows} == {id_ for id_, _ in rig.truth()} & set(good)
    assert [row.id for row in reading.left_out] == [None]


def test_the_total_includes_campaigns_that_tiktok_does_not_list(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK, accounts=5)
    rig.grant.account_ids.reverse()  # the last of five accounts has a GMV Max campaign
    unlisted = rig.site.unlisted_spend
    listed = rig.spend_of_campaigns()
    assert unlisted > 0
    rest = {day: spend - listed.get(day, 0) for day, spend in rig.spend().items()}
    assert rest == dict.fromkeys(WINDOW.days, unlisted)
