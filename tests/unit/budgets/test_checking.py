"""The check of budgets on a real database: what is added up, and which alerts open and close."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, event

from sivera.alerts.changes import CLOSED, OPENED
from sivera.budgets.checking import AT_ONCE
from sivera.budgets.options import BudgetOptions
from sivera.values import PlatformName
from tests.unit.budgets.ledger import DAY, FIRST, TODAY, Ledger, spent_over


def test_a_daily_budget_of_google_is_judged_on_its_month(ledger: Ledger) -> None:
    account = ledger.account()
    campaign = ledger.campaign(account, "100")
    ledger.spend(account, campaign, "100", FIRST - 40 * DAY, TODAY)
    assert ledger.check().sentence == "1 budget of 1 account checked"
    assert ledger.open() == {}, "even spending is not news"
    ledger.spend(account, campaign, "150", TODAY)
    summary = ledger.check()
    subject = f"account-{account}.campaign-{campaign}"
    (shown,) = summary.total.worst
    assert (shown.subject, shown.percent) == (f"{subject}.month.{FIRST}", 67)
    assert (shown.spent, shown.limit) == (Decimal(2050), Decimal(3040))
    assert shown.projection
    assert shown.projection.high <= 3040
    assert ledger.open() == {f"{subject}.month": 50}, "spending is 50 ahead of the pace"
    ledger.spend(account, campaign, "201", TODAY)
    ledger.check()
    assert ledger.open() == {f"{subject}.month": 50, f"{subject}.day": 100}, "today exceeds Google's limit for a day"


def test_an_alert_opens_once_rises_and_closes_when_the_month_is_over(ledger: Ledger) -> None:
    account, campaign, subject = spent_over(ledger, "2500")
    for _ in range(3):
        ledger.check()
    assert ledger.open() == {subject: 80}
    assert ledger.news() == [(OPENED, subject, 80)]
    ledger.spend(account, campaign, "540", FIRST + DAY)
    ledger.check()
    assert ledger.news()[1:] == [(OPENED, subject, 100)]
    event = ledger.events[-1]
    assert event.resource == f"sivera.alert.budget.{subject}.{FIRST}"
    assert event.payload["message"].startswith("3,040.00 USD of 3,040.00 USD (100 %) in 2026-11-01 to 2026-11-30.")
    assert (
        event.payload.items()
        >= {
            "kind": "budget",
            "link": "http://ui/run",
            "team": "Hanok",
            "account": account,
            "platform": "google",
            "percent": 100,
            "spent": "3040.000000",
            "budget": "3040.0000000",
            "currency": "USD",
            "periodUntil": "2026-11-30",
        }.items()
    )
    ledger.go_to(datetime(2026, 12, 1, 0, 0, tzinfo=UTC))
    for _ in range(2):
        ledger.check()
    assert (ledger.open(), ledger.news()[2:]) == ({}, [(CLOSED, subject, 100)])
    assert ledger.events[-1].payload["message"] == "Its period is over, or none of it is being spent any more."
    ledger.go_to(datetime(2026, 12, 3, 0, 0, tzinfo=UTC))
    ledger.spend(account, campaign, "3100", date(2026, 12, 1))
    ledger.check()
    assert ledger.news()[3:] == [(OPENED, subject, 100)], "a new month has its own alert"


def test_an_alert_falls_and_closes_with_its_budget_its_spending_and_its_account(ledger: Ledger) -> None:
    account, campaign, subject = spent_over(ledger, "3100")
    ledger.execute("UPDATE ad_accounts SET name = '@everyone'")
    ledger.check()
    assert "@everyone" not in ledger.events[0].payload["title"], "a name cannot notify everybody"
    ledger.execute("UPDATE campaigns SET budget_amount = 120")  # 3100 of 3648: 84 %
    ledger.check()
    assert ledger.open() == {subject: 80}
    ledger.spend(account, campaign, "1600", FIRST)  # 43 %
    ledger.check()
    assert ledger.news() == [(OPENED, subject, 100), (CLOSED, subject, 80)]
    assert ledger.events[-1].payload["message"] == "43 % of the budget is spent."
    ledger.spend(account, campaign, "3648", FIRST)
    ledger.check()
    ledger.execute("UPDATE ad_accounts SET status = 'closed'")
    assert ledger.check().total.accounts == 0
    assert ledger.news()[2:] == [(OPENED, subject, 100), (CLOSED, subject, 100)]


def test_a_shared_budget_is_counted_once_for_all_its_campaigns(ledger: Ledger) -> None:
    account = ledger.account()
    # The latest amount counts, and days are limited only if they are for all campaigns.
    older = {"changed_at": datetime(2026, 1, 1, tzinfo=UTC), "start_date": TODAY, "end_date": TODAY}
    campaigns = (("1000", "70", older), ("900", "100", {"start_date": None}), ("1200", "100", {"start_date": TODAY}))
    for spend, amount, facts in campaigns:
        ledger.spend(account, ledger.campaign(account, amount, "shared", budget_id="7", **facts), spend, FIRST)
    other = ledger.account()
    ledger.spend(other, ledger.campaign(other, "100", "shared", budget_id="7"), "10", FIRST)
    summary = ledger.check()
    subject = f"account-{account}.shared-7.month"
    assert ledger.spent(summary) == {subject: 3100, f"account-{other}.shared-7.month": 10}
    assert summary.total.worst[0].limit == 3040
    assert summary.total.worst[0].name == "shared by 3 campaigns"
    assert ledger.open() == {subject: 100}


def test_a_lifetime_budget_counts_to_its_end_and_budgets_without_a_limit_are_left_out(ledger: Ledger) -> None:
    account = ledger.account(PlatformName.META, currency="KRW")
    campaign = ledger.campaign(account, "1000000", "lifetime", start_date=date(2026, 3, 1), end_date=date(2026, 11, 25))
    ledger.spend(account, campaign, "4000", date(2026, 3, 1), date(2026, 11, 15))
    ledger.spend(account, ledger.campaign(account, "1", "lifetime", status="removed"), "9", FIRST)
    ledger.spend(account, ledger.campaign(account, "1", end_date=FIRST), "9", FIRST)
    ledger.add_campaign(account, "unknown", name="Unknown", budget_kind="daily", budget_amount=None)
    ledger.spend(account, "unknown", "9", FIRST)
    summary = ledger.check()
    subject = f"account-{account}.campaign-{campaign}.lifetime"
    assert ledger.spent(summary) == {subject: 4000 * 260}
    assert ledger.news() == [(OPENED, subject, 100)]
    assert "1,040,000 KRW of 1,000,000 KRW (104 %)" in ledger.events[0].payload["message"]
    ledger.go_to(datetime(2026, 11, 25, 23, 0, tzinfo=UTC))
    ledger.check()
    assert ledger.open() == {subject: 100}, "it is not over on its last day"
    ledger.go_to(datetime(2026, 11, 26, 1, 0, tzinfo=UTC))
    ledger.check()
    assert ledger.news()[1:] == [(CLOSED, subject, 100)]


def test_unattributed_spend_counts_only_for_teams(ledger: Ledger) -> None:
    account = ledger.account()
    campaign = ledger.campaign(account, "100")
    ledger.spend(account, campaign, "100", FIRST, TODAY)
    for day, unattributed in ((FIRST, "50"), (FIRST + DAY, "0.50"), (FIRST + 2 * DAY, "-9"), (FIRST - DAY, "1000")):
        ledger.add_total(account, day, 100, unattributed)
    budgets = [ledger.budget("2050"), ledger.budget("2050", account_id=account), ledger.budget("9", platform="google")]
    expected = {f"account-{account}.campaign-{campaign}.month": 2000, **dict.fromkeys(budgets, 2050)}
    assert ledger.spent(ledger.check()) == expected, "half a percent and negative amounts are noise"


@pytest.mark.parametrize(
    ("timezone", "at", "counted"),
    [
        ("Asia/Seoul", "2026-11-21T14:59Z", 70),
        ("Asia/Seoul", "2026-11-21T15:00Z", 10),
        # A week with a clock change has 169 hours, but still seven days.
        ("America/Los_Angeles", "2026-11-08T07:59Z", 70),
        ("America/Los_Angeles", "2026-11-08T08:00Z", 10),
    ],
)
def test_a_week_on_meta_ends_at_midnight_of_the_account(ledger: Ledger, timezone: str, at: str, counted: int) -> None:
    ledger.now = datetime.fromisoformat(at)
    account = ledger.account(PlatformName.META, timezone)
    campaign = ledger.campaign(account, "10", start_date=date(2025, 1, 1))
    ledger.spend(account, campaign, "10", ledger.now.date() - 20 * DAY, ledger.now.date() + 2 * DAY)
    local = ledger.rows("SELECT CAST(:now AT TIME ZONE :zone AS date)", now=ledger.now, zone=timezone)[0][0]
    ledger.execute("DELETE FROM campaign_daily_metrics WHERE day > :today", today=local)
    (shown,) = ledger.check().total.worst
    assert (shown.spent, shown.limit) == (Decimal(counted), Decimal(70))


def test_a_projection_keeps_to_the_platform_s_limit_for_a_day(ledger: Ledger) -> None:
    ledger.now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    account = ledger.account()
    campaign = ledger.campaign(account, "100", "shared", budget_id="7")
    ledger.campaign(account, "100", "shared", budget_id="7", status="paused")
    ledger.spend(account, campaign, "300", date(2026, 11, 21), date(2026, 11, 27))
    (shown,) = ledger.check().total.worst
    assert shown.projection
    assert shown.projection.expected == shown.projection.high == 7 * 300 + 3 * 200


def test_paused_campaigns_count_for_their_period_but_add_nothing_more(ledger: Ledger) -> None:
    account, _, _ = spent_over(ledger, "1000")
    ledger.spend(account, "2", "10", FIRST - 30 * DAY, FIRST - DAY)
    ledger.execute("UPDATE campaigns SET status = 'paused'")
    (shown,) = ledger.check().total.worst
    assert shown.spent == 1000
    assert shown.projection
    assert shown.projection.expected == shown.projection.high == 1000


def test_only_the_wanted_teams_are_checked(ledger: Ledger) -> None:
    spent_over(ledger, "3100")
    other = ledger.account(PlatformName.AMAZON, team="Other")
    ledger.spend(other, ledger.campaign(other, "1"), "99", FIRST)
    ledger.check(BudgetOptions(teams=("Other",)))
    assert {subject.partition(".")[0] for subject in ledger.open()} == {f"account-{other}"}


def test_all_chunks_are_checked_unless_the_deadline_comes_first(ledger: Ledger) -> None:
    spent_over(ledger, "3100")
    ledger.execute(
        """INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, currency, timezone)
           SELECT team_id, credential_id, platform, 'many-' || n, 'Many', currency, timezone
           FROM ad_accounts, generate_series(1, :more) AS n""",
        more=AT_ONCE,
    )
    late = ledger.check_part(PlatformName.GOOGLE, 0.0)
    assert (late.accounts, late.put_off) == (0, True)
    total = ledger.check().total
    assert (total.accounts, total.opened, total.put_off) == (AT_ONCE + 1, 1, False)


def test_a_check_reads_only_the_days_that_daily_budgets_need(ledger: Ledger) -> None:
    account = ledger.account()
    for _ in range(20):
        ledger.spend(account, ledger.campaign(account, "10"), "1", FIRST - 1000 * DAY, TODAY)
    lifetime = ledger.campaign(account, "5000", "lifetime", start_date=date(2025, 1, 1))
    ledger.spend(account, lifetime, "1", date(2025, 1, 1), TODAY)
    ledger.execute("ANALYZE")
    plans = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().startswith("WITH asked"):
            # So few rows are faster without an index, but the test is about the rows that an index avoids.
            for way in ("seqscan", "hashjoin", "mergejoin"):
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            plans.append(plan.scalar_one()[0]["Plan"])

    event.listen(ledger.engine, "before_cursor_execute", explain)
    summary = ledger.check()
    event.remove(ledger.engine, "before_cursor_execute", explain)
    days = (TODAY - date(2025, 1, 1)).days + 1
    assert ledger.spent(summary)[f"account-{account}.campaign-{lifetime}.lifetime"] == days
    assert 0 < sum(map(rows_read, plans)) < 2 * (20 * 31 + days)


def rows_read(plan: dict[str, Any]) -> float:
    """How many rows of figures a plan reads, including those that it discards."""
    of_figures = plan.get("Relation Name") == "campaign_daily_metrics"
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if of_figures else 0
    return float(own * plan["Actual Loops"]) + sum(map(rows_read, plan.get("Plans", [])))


def test_simultaneous_runs_open_one_alert(ledger: Ledger) -> None:
    subjects = [spent_over(ledger, "3100")[2] for _ in range(20)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ledger.check(), range(2)))
    assert sorted(ledger.news()) == sorted((OPENED, subject, 100) for subject in subjects)


def test_a_team_budget_adds_up_accounts_of_one_currency(ledger: Ledger) -> None:
    google, meta = ledger.account(), ledger.account(PlatformName.META)
    euro = ledger.account(currency="EUR")
    other = ledger.account(team="Other")
    for account, spend in ((google, "30"), (meta, "20"), (euro, "500"), (other, "900")):
        ledger.spend(account, "x", spend, FIRST - DAY, TODAY)
    everything = ledger.budget("1000")
    only_meta = ledger.budget("1000", platform="meta")
    one_account = ledger.budget("1000", account_id=google)
    summary = ledger.check()
    assert ledger.spent(summary) == {everything: 50 * 20, only_meta: 20 * 20, one_account: 30 * 20}
    assert ledger.news() == [(OPENED, everything, 100), (OPENED, one_account, 50)]
    worst = summary.total.worst[0]
    assert worst.note == "Not counted: 1 account in another currency"
    assert worst.projection
    assert worst.projection.expected == Decimal(50 * 30), "platforms do not know it, so it may be exceeded"
    ledger.execute("DELETE FROM team_budgets")
    ledger.check()
    assert ledger.open() == {}


def test_a_team_budget_says_what_a_change_of_currency_hides(ledger: Ledger) -> None:
    changed, other = ledger.account(), ledger.account()
    ledger.spend(changed, "x", "900", FIRST)
    ledger.spend(other, "x", "100", FIRST)
    mine = ledger.budget("1000", account_id=changed)
    everything = ledger.budget("1000")
    ledger.check()
    assert ledger.open() == {mine: 80, everything: 100}

    ledger.execute("UPDATE campaign_daily_metrics SET currency = 'EUR' WHERE account_id = :id", id=changed)
    ledger.add_figures(other, "x", FIRST - DAY, currency="EUR")
    (shown,) = (one for one in ledger.check().total.worst if one.subject.startswith(everything))
    assert (shown.spent, shown.at_least) == (Decimal(100), True)
    assert shown.note == "Not counted: the figures of 1 account in an earlier currency"

    ledger.execute("UPDATE ad_accounts SET currency = 'EUR' WHERE id = :id", id=changed)
    unreported = ledger.check().total.unreported
    assert "none of its accounts is in its currency" in unreported[mine.removesuffix(".month")]
    assert ledger.open()[mine] == 80, "an alert that cannot be judged stays open"


def test_a_team_month_ends_when_it_has_ended_for_all_accounts(ledger: Ledger) -> None:
    ledger.now = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)  # December in Seoul, November in Los Angeles
    seoul, angeles = ledger.account(timezone="Asia/Seoul"), ledger.account(timezone="America/Los_Angeles")
    ledger.spend(seoul, "x", "600", date(2026, 11, 29))
    ledger.spend(angeles, "x", "300", date(2026, 11, 29))
    subject = ledger.budget("1000")
    ledger.check()
    assert ledger.open() == {subject: 80}
    ledger.spend(seoul, "x", "150", date(2026, 12, 1))
    (shown,) = ledger.check().total.worst
    assert shown.spent == 900, "spending in December does not count for November"
    ledger.synced(angeles, ledger.now - timedelta(hours=9))
    (shown,) = ledger.check().total.worst
    assert (shown.spent, shown.period.since) == (Decimal(900), FIRST), "old figures keep their month"
    assert ledger.open() == {subject: 80}
    ledger.go_to(datetime(2026, 12, 1, 8, 0, tzinfo=UTC))
    (shown,) = ledger.check().total.worst
    assert (shown.spent, ledger.open()) == (Decimal(150), {})
