"""Figures that are old, not read yet or not reported: they can prove an alert, but never close one."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from sivera.alerts.changes import OPENED
from sivera.values import PlatformName
from tests.unit.budgets.ledger import DAY, FIRST, NOW, TODAY, Ledger, spent_over, without_period


def test_an_alert_says_that_spending_before_the_first_read_day_is_unknown(ledger: Ledger) -> None:
    account = ledger.account(PlatformName.META)
    campaign = ledger.campaign(account, "100", "lifetime", start_date=date(2026, 3, 1))
    ledger.spend(account, campaign, "9", date(2026, 11, 1), date(2026, 11, 10))
    ledger.cover(account, date(2026, 10, 5), TODAY)
    (shown,) = ledger.check().total.worst
    assert shown.at_least
    (event,) = ledger.events
    assert event.payload["message"].startswith("At least 90.00 USD of 100.00 USD (90 %)")
    assert "Spending before 2026-10-05 is unknown" in event.payload["message"]


def test_spending_is_a_lower_bound_while_a_product_is_not_read(ledger: Ledger) -> None:
    account = ledger.account(PlatformName.AMAZON)
    ledger.spend(account, ledger.campaign(account, "100"), "100", FIRST, TODAY)
    ledger.budget("4000")
    assert not any(shown.at_least for shown in ledger.check().total.worst)
    ledger.cover(account, None, None, "SPONSORED_BRANDS")
    shown = ledger.check().total.worst
    assert [(one.at_least, one.note) for one in shown] == [(True, "Not all figures have been read yet")] * 2
    assert {one.projection for one in shown} == {None}, "unread days are not zero"


def test_a_budget_of_campaigns_without_reports_is_not_a_failure(ledger: Ledger) -> None:
    account = ledger.account(PlatformName.AMAZON)
    alone = ledger.campaign(account, "100")
    mixed = [ledger.campaign(account, "100", "shared", budget_id="7") for _ in range(2)]
    ledger.spend(account, mixed[0], "1600", FIRST)
    team = ledger.budget("1600")
    ledger.execute("UPDATE campaigns SET is_reported = false WHERE external_id IN (:a, :b)", a=alone, b=mixed[1])
    summary = ledger.check()
    assert summary.success
    assert summary.sentence == "2 budgets of 1 account checked, 1 alert opened, 1 cannot be judged"
    assert "reports no figures" in summary.total.unreported[f"account-{account}.campaign-{alone}"]
    notes = {without_period(one.subject): (one.at_least, one.note) for one in summary.total.worst}
    assert notes == {
        f"account-{account}.shared-7.month": (True, "The platform reports no figures for 1 of its campaigns"),
        team: (True, "The platforms report no figures for 2 campaigns"),
    }
    ledger.execute("UPDATE campaigns SET status = 'paused'")
    total = ledger.check().total
    assert total.unreported == {}
    assert [one.note for one in total.worst if without_period(one.subject) == team] == [""]
    ledger.execute("UPDATE campaigns SET status = 'active', is_reported = external_id = :a", a=alone)
    ledger.spend(account, alone, "9000", FIRST)
    ledger.check()
    assert f"account-{account}.campaign-{alone}.month" in ledger.open()
    ledger.execute("UPDATE campaigns SET is_reported = false")
    ledger.execute("DELETE FROM campaign_daily_metrics")
    ledger.check()
    assert f"account-{account}.campaign-{alone}.month" in ledger.open(), "nothing shows that it is over"


def test_old_figures_open_and_close_nothing(ledger: Ledger) -> None:
    account, campaign, subject = spent_over(ledger, "2500")
    ledger.check()
    ledger.now += timedelta(hours=7)
    ledger.execute("DELETE FROM campaign_daily_metrics")
    assert ledger.check().sentence == "0 budgets of 1 account checked, 1 account with old spend data"
    assert ledger.open() == {subject: 80}
    ledger.spend(account, campaign, "9000", FIRST)
    ledger.now += 30 * DAY
    ledger.check()
    assert ledger.open() == {subject: 80}, "not even in a new month"
    assert len(ledger.news()) == 1
    ledger.go_to(NOW + timedelta(hours=8))
    ledger.check()
    assert ledger.news()[1:] == [(OPENED, subject, 110)]


@pytest.mark.parametrize(
    "ahead", ["UPDATE ad_accounts SET synced_as_of = :at", "UPDATE sync_parts SET figures_as_of = :at"]
)
def test_figures_with_a_time_ahead_of_the_clock_are_not_judged(ledger: Ledger, ahead: str) -> None:
    account = ledger.account(PlatformName.AMAZON)
    ledger.reported(account, NOW, "SPONSORED_PRODUCTS")
    ledger.spend(account, ledger.campaign(account, "100"), "2500", FIRST)
    ledger.budget("1000")
    ledger.execute(ahead, at=NOW + 2 * DAY)
    assert ledger.check().sentence == "0 budgets of 1 account checked, 1 account with old spend data"
    assert ledger.open() == {}


def test_missing_reports_make_figures_old_even_if_the_account_is_synced(ledger: Ledger) -> None:
    account = ledger.account(PlatformName.AMAZON)
    campaign = ledger.campaign(account, "100")
    ledger.spend(account, campaign, "2500", FIRST)
    for product in ("SPONSORED_PRODUCTS", "SPONSORED_BRANDS"):
        ledger.reported(account, NOW, product)
    subject = f"account-{account}.campaign-{campaign}.month"
    ledger.check()
    ledger.execute("UPDATE campaign_daily_metrics SET spend = 1")
    ledger.go_to(NOW + timedelta(hours=25))
    ledger.reported(account, ledger.now, "SPONSORED_PRODUCTS")
    assert ledger.check().sentence == "0 budgets of 1 account checked, 1 account with old spend data"
    assert ledger.open() == {subject: 80}
    budget = ledger.budget("1000")
    ledger.spend(ledger.account(), "x", "600", FIRST)
    (shown,) = ledger.check().total.worst
    assert (without_period(shown.subject), shown.note) == (budget, "The spend data of 1 account is old")
    ledger.execute("DELETE FROM team_budgets")
    ledger.reported(account, NOW + timedelta(hours=2), "SPONSORED_BRANDS")
    ledger.check()
    assert ledger.open() == {}


def test_budgets_that_cannot_be_judged_close_nothing_and_stop_nothing(ledger: Ledger) -> None:
    account, campaign, subject = spent_over(ledger, "3100")
    ledger.check()
    ledger.execute("UPDATE campaign_daily_metrics SET currency = 'EUR'")
    ledger.spend(account, campaign, "1", FIRST + DAY)
    lost = [ledger.account(timezone=name) for name in ("Mars/Olympus", "Europe")]  # the second is a folder
    other = spent_over(ledger, "3100")[2]
    summary = ledger.check()
    assert not summary.success
    assert "currencies are never added" in summary.total.failures[f"account-{account}.campaign-{campaign}"]
    for id_, name in zip(lost, ("Mars/Olympus", "Europe"), strict=True):
        assert f"its time zone '{name}' is unknown" in summary.total.failures[f"account-{id_}"]
    assert ledger.open() == {subject: 100, other: 100}


def test_a_team_budget_with_old_figures_may_open_but_never_closes(ledger: Ledger) -> None:
    fresh, old = ledger.account(), ledger.account()
    ledger.spend(fresh, "x", "600", FIRST)
    ledger.spend(old, "x", "300", FIRST)
    subject = ledger.budget("1000")
    ledger.check()
    ledger.synced(old, NOW - timedelta(hours=9))
    ledger.spend(fresh, "x", "100", FIRST)
    (shown,) = ledger.check().total.worst
    assert (shown.spent, shown.at_least, shown.note) == (Decimal(400), True, "The spend data of 1 account is old")
    assert ledger.open() == {subject: 80}
    ledger.spend(fresh, "x", "700", FIRST)
    ledger.check()
    assert ledger.open() == {subject: 100}
    ledger.synced(fresh, NOW - timedelta(hours=9))
    ledger.spend(fresh, "x", "0", FIRST)
    assert ledger.check().total.worst == ()
    assert ledger.open() == {subject: 100}, "all figures are old now"
