"""The page and the table of a big team, also in a real browser as wide as a phone."""

import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, sync_playwright

from sivera.reports.figures import MOVERS, Figures, Line, Point, Report, to_section
from sivera.reports.page import MOST_LINES, MOST_MISSING, render
from sivera.reports.rules import MissingAccount, Period, Why
from sivera.reports.spreadsheet import to_csv
from sivera.reports.texts import Language
from sivera.values import PlatformName
from tests.unit.reports.books import DAY, ONE_DAY, rows_of

PLATFORMS = tuple(PlatformName)
CAMPAIGNS, ACCOUNTS = 60, 56
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE_PIXELS = 390
KIB = 1024
CUT_OFF = """() => [...document.querySelectorAll(".key b")]
    .filter(each => each.scrollWidth > each.clientWidth || each.getClientRects().length > 1 || each.offsetHeight > 40)
    .map(each => each.textContent)"""


def big_report(campaigns: int = CAMPAIGNS, accounts: int = ACCOUNTS) -> Report:
    """Return a report in dollars and won in which the figures of every account are incomplete."""
    return Report(
        team="한빛 커머스",
        timezone="Asia/Seoul",
        day=DAY,
        digest="",
        sections=tuple(
            to_section(currency, [line(n, n % accounts, Decimal(scale)) for n in range(campaigns)])
            for currency, scale in (("KRW", 1000), ("USD", 1))
        ),
        points=tuple(
            Point(currency, DAY - back * ONE_DAY, platform, Decimal(50 + back), Decimal(back))
            for currency in ("KRW", "USD")
            for back in range(28)
            for platform in PLATFORMS
        ),
        missing=tuple(
            MissingAccount(n, PLATFORMS[n % 4], f"계정 {n}", "America/Los_Angeles", Why.DAY_NOT_OVER)
            for n in range(accounts)
        ),
    )


def line(n: int, account: int, scale: Decimal) -> Line:
    figures = {
        Period.DAY: Figures(n * 1000, n * 10, n * 7 * scale, Decimal(n % 50), n * 20 * scale),
        Period.DAY_BEFORE: Figures(n * 900, n * 11, n * 6 * scale),
        Period.WEEK_BEFORE: Figures(spend=(n % 7) * 9 * scale),
        Period.MONTH_TO_DATE: Figures(spend=n * 150 * scale),
    }
    name = f"한빛 커머스 글로벌 광고 계정 {account}"
    campaign = f"2026 겨울 세일 · 리타게팅 · Winter sale retargeting {n}"
    return Line(PLATFORMS[account % 4], account, name, f"c{n}", campaign, figures)


def page_of(report: Report, language: Language) -> str:
    return render(report, datetime(2026, 11, 24, 1, tzinfo=ZoneInfo("Asia/Seoul")), language)


@pytest.mark.parametrize("language", list(Language))
def test_the_page_of_a_big_team_says_how_much_it_leaves_out(language: Language) -> None:
    page = page_of(big_report(), language)
    assert len(page.encode()) < 400 * KIB
    names = re.findall(r"Winter sale retargeting (\d+)</bdi><small>", page)
    # In each currency it has the campaigns with the highest spend and those with the largest changes.
    assert len(names) == 2 * (MOST_LINES + 2 * MOVERS)
    assert len(re.findall(r'<th scope="row"><bdi>한빛 커머스', page)) == 2 * MOST_LINES
    assert len(re.findall(r"<li>\w+ Ads · <bdi>계정", page)) == MOST_MISSING
    more = {
        Language.EN: ("; 10 more are", "; 6 more are", ">46 more are"),
        Language.KO: ("그 밖의 10개까지 전체는", "그 밖의 6개까지 전체는", "그 밖에 46개가 더 있습니다"),
    }
    assert [page.count(text) for text in more[language]] == [2, 2, 1]
    whole = page_of(big_report(MOST_LINES, MOST_MISSING), language)
    assert "CSV" not in whole


def test_figures_are_provisional_while_their_platform_restates_them() -> None:
    report = big_report(4, 4)
    assert [name for name, _ in report.provisional(DAY)] == sorted(PLATFORMS)
    after = DAY + 14 * ONE_DAY
    assert report.provisional(after) == [("google", DAY + 30 * ONE_DAY), ("meta", DAY + 28 * ONE_DAY)]
    assert report.provisional(DAY + 30 * ONE_DAY) == []


def test_the_table_of_a_big_team_has_every_row() -> None:
    rows = rows_of(to_csv(big_report()))

    def of(level: str) -> Sequence[tuple[str, str]]:
        return [(row["currency"], row["campaign_id"] or row["account_id"]) for row in rows if row["level"] == level]

    assert len(set(of("campaign"))) == 2 * CAMPAIGNS
    assert len(set(of("account"))) == 2 * ACCOUNTS
    missing = [row for row in rows if row["level"] == "missing"]
    assert {row["account_id"] for row in missing} == {str(n) for n in range(ACCOUNTS)}
    named = {"day": "2026-11-23", "level": "missing", "platform": "google", "account_id": "0", "account": "계정 0"}
    assert missing[0] == {**dict.fromkeys(rows[0], ""), **named, "why": "day_not_over"}


@pytest.fixture(scope="module")
def phone() -> Iterator[Page]:
    """Open a page in a browser as wide as a phone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": PHONE_PIXELS, "height": 844}, is_mobile=True)
        yield context.new_page()
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`, see 'Work on it' in README.md")
@pytest.mark.parametrize("language", list(Language))
def test_a_page_fits_the_width_of_a_phone(phone: Page, tmp_path: Path, language: Language) -> None:
    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url))
    file = tmp_path / "report.html"
    file.write_text(page_of(big_report(), language))
    phone.goto(file.as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE_PIXELS
    charts = phone.locator("figure svg")
    assert charts.count() == 4
    for n in range(4):
        box = charts.nth(n).bounding_box()
        assert box is not None
        assert 300 < box["width"] <= PHONE_PIXELS - box["x"]
    assert phone.evaluate(CUT_OFF) == [], "each figure fits on one line"
    # A table scrolls, and its names stay visible.
    table = phone.locator(".wide").last
    table.evaluate("each => { each.scrollLeft = 400 }")
    name = table.locator("tbody th").first.bounding_box()
    assert name is not None
    assert 0 <= name["x"] < 40
    assert name["width"] < PHONE_PIXELS / 2
    assert asked == [file.as_uri()], "the page requests nothing else"
