"""Unknown figures are not zero: accounts, days and campaigns that were never read, or not yet."""

from datetime import date, timedelta

import pytest

from sivera.reports.texts import TEXTS
from sivera.values import PlatformName
from tests.unit.reports.books import DAY, NEXT_MORNING, ONE_DAY, TODAY, Books, periods, words

MISSING, _ = TEXTS["missing"]


def test_an_incomplete_account_is_named_and_the_report_is_revised_when_it_is_complete(books: Books) -> None:
    team = books.team()
    books.ran(books.account(team, name="Here"), spend=10)
    away = books.account(team, name="Away", synced=NEXT_MORNING - timedelta(hours=9))
    late = books.account(team, PlatformName.AMAZON, name="Late")
    books.execute(
        "UPDATE sync_parts SET ad_product = 'SPONSORED_PRODUCTS', figures_as_of = :noon WHERE account_id = :id",
        id=late,
        noon=NEXT_MORNING - timedelta(hours=13),
    )
    for account in (away, late):
        books.ran(account, spend=1)
    books.run(**TODAY)
    text = words(books.page())
    assert "Google Ads · Away: not read since the day ended" in text
    assert "Amazon Ads · Late: the platform is still preparing the figures" in text
    assert "Here: " not in text
    assert [row.missing for row in books.rows("SELECT missing FROM reports")] == [2]

    books.next_day()
    books.execute("UPDATE sync_parts SET figures_as_of = :now", now=books.now)
    books.ran(away, spend=20)
    assert books.written() == ([24], [23])
    assert MISSING not in books.page()
    assert periods(books)["day"][0] == "31"
    assert [row.missing for row in books.rows("SELECT missing FROM reports")] == [0, 0]


@pytest.mark.parametrize(
    ("ahead", "why"),
    [
        ("UPDATE ad_accounts SET synced_as_of = :at", "not read since the day ended"),
        ("UPDATE sync_parts SET ad_product = 'SPONSORED_PRODUCTS', figures_as_of = :at", "still preparing the figures"),
    ],
)
def test_figures_dated_ahead_of_the_clock_are_incomplete(books: Books, ahead: str, why: str) -> None:
    books.ran(books.account(books.team(), PlatformName.AMAZON), spend=1)
    books.execute(ahead, at=NEXT_MORNING + 2 * ONE_DAY)
    books.run(**TODAY)
    assert why in words(books.page())
    books.execute("UPDATE teams SET reports_restated_through = :day", day=DAY + 9 * ONE_DAY)
    books.ran(1, spend=2)
    assert books.written(**TODAY) == ([], [23]), "reports are revised although a day ahead is stored"


def test_days_that_were_never_read_are_missing_and_nothing_is_compared_with_them(books: Books) -> None:
    team = books.team()
    old = books.account(team, name="Old")
    for back in range(28):
        books.ran(old, DAY - back * ONE_DAY, 1)
    new = books.account(team, name="New", covered=(date(2026, 11, 18), date(2026, 11, 24)))
    books.ran(new, DAY, 10)
    books.ran(new, DAY - ONE_DAY, 5)
    books.run(**TODAY)
    assert periods(books, "account", account="New") == {
        "day": ("10", "whole", ""),
        "day_before": ("5", "whole", ""),
        "week_before": ("", "not_read", ""),
        "month_to_date": ("15", "part", "2026-11-18"),
    }
    assert periods(books) == {
        "day": ("11", "whole", ""),
        "day_before": ("6", "whole", ""),
        "week_before": ("1", "part", ""),
        "month_to_date": ("38", "part", "2026-11-18"),
    }
    text, page = words(books.page()), books.page()
    assert f"Ads · New: {TEXTS['figures_since'][0].format(day='November 18, 2026')}" in text
    assert "Month to date (complete since Nov 18) $38.00" in text
    assert "Old: " not in text
    assert text.count("not comparable") > 5, "the week before"
    assert "+83.3%" in text, "the day before is known for both"
    assert page.count('class="gap" x=') == 22, "the days of the chart before the 18th"
    assert TEXTS["gap"][0] in text
    (late,) = [row for row in books.table() if row["level"] == "late"]
    assert (late["account"], late["since"]) == ("New", "2026-11-18")
    movers = text.partition("Spent more")[2].partition("By campaign")[0]
    assert "No campaign Spent less No campaign" in movers, "unknown figures have not changed"

    books.cover(new, date(2026, 10, 1), date(2026, 11, 24))
    assert books.written(check_restated=True, **TODAY) == ([], [23])
    assert periods(books)["month_to_date"] == ("38", "whole", "")
    assert "not comparable" not in words(books.page())
    assert TEXTS["gap"][0] not in words(books.page())


def test_an_unread_day_is_not_read_and_a_day_without_one_ad_product_is_incomplete(books: Books) -> None:
    team = books.team()
    asleep = books.account(team, name="Asleep", covered=(date(2026, 1, 1), date(2026, 11, 20)), synced=NEXT_MORNING)
    books.ran(asleep, date(2026, 11, 2), 7)
    amazon = books.account(team, PlatformName.AMAZON, name="Half")
    books.cover(amazon, None, None, "SPONSORED_BRANDS")
    books.ran(amazon, DAY, 3)
    books.run(**TODAY)
    assert periods(books, "account", account="Asleep")["day"] == ("", "not_read", "")
    assert periods(books, "account", account="Asleep")["month_to_date"] == ("7", "part", "")
    assert periods(books, "account", account="Half")["day"] == ("3", "part", "")
    assert periods(books)["day"] == ("3", "part", "")
    assert "$3.00 incomplete" in words(books.page())


def test_an_account_without_spend_makes_a_sum_incomplete_until_it_is_read(books: Books) -> None:
    team = books.team()
    books.ran(books.account(team, name="Here"), spend=10)
    books.account(team, name="Quiet", covered=(date(2026, 11, 20), date(2026, 11, 24)))
    books.account(team, name="Never read", covered=None)
    books.run(**TODAY)
    assert periods(books)["month_to_date"] == ("10", "part", "2026-11-20")
    assert periods(books)["day"] == ("10", "whole", ""), "an account that was never read is not compared"


def test_a_campaign_without_reports_is_unknown_and_never_zero(books: Books) -> None:
    team = books.team()
    amazon, closed = (books.account(team, PlatformName.AMAZON, name=name) for name in ("Shop", "Closed"))
    books.execute("UPDATE ad_accounts SET status = 'closed' WHERE id = :id", id=closed)
    books.ran(amazon, DAY, 10)
    others: dict[str, dict[str, object]] = {
        "Tomorrow": {"start_date": DAY + ONE_DAY},
        "Seen tomorrow": {"first_seen_at": NEXT_MORNING},
        "Long over": {"start_date": date(2026, 1, 1), "end_date": date(2026, 2, 1)},
        "Removed": {"first_seen_at": NEXT_MORNING - ONE_DAY, "status": "removed"},
    }
    for name, facts in others.items():
        books.add_campaign(amazon, name, name=name, is_reported=False, **facts)
    for account, name in ((amazon, "One ad group"), (closed, "Of a closed account")):
        books.add_campaign(account, name, name=name, is_reported=False, first_seen_at=NEXT_MORNING - ONE_DAY)
    books.run(**TODAY)
    assert set(periods(books, "campaign", campaign="One ad group").values()) == {("", "not_reported", "")}
    assert periods(books)["day"] == ("10", "whole", "")
    text = words(books.page())
    assert "One ad group Amazon Ads · Shop unknown" in text
    assert "report no figures: 1. The sums" in text
    assert not [name for name in (*others, "Of a closed account") if name in text]
