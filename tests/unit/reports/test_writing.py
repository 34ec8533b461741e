"""Reports as they are written: real PostgreSQL, real files."""

import html
import math
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest

from sivera.reports.summary import ReportTally
from sivera.reports.texts import CONVERSIONS, PURCHASES, TEXTS, UNDEFINED, Language
from sivera.reports.writing import NotKeptError, revise_reports, write_reports
from sivera.values import UNPRINTABLE, PlatformName
from tests.unit.grants.processes import run
from tests.unit.reports.books import DAY, NEXT_MORNING, ONE_DAY, Books
from tests.unit.reports.killed import write_and_die

TODAY = {"make_up_days": 0}
MISSING, _ = TEXTS["missing"]


def words(page: str) -> str:
    """The text of a page, as a person reads it."""
    body = re.sub("</?bdi>", "", page.partition("<body>")[2])
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


# What a report says


def test_figures_are_as_calculated_by_hand(books: Books) -> None:
    google = books.account(books.team())
    books.add_campaign(google, "c1", name="Brand")
    books.ran(google, DAY, "12.50", impressions=1000, clicks=25, conversions="2.5", conversion_value=50)
    books.ran(google, DAY, "7.50", campaign="c2", impressions=1000, clicks=15)
    books.ran(google, DAY - ONE_DAY, 10, impressions=800, clicks=20, conversions=2, conversion_value=30)
    books.ran(google, DAY - 7 * ONE_DAY, 40, impressions=4000, clicks=20)
    books.ran(google, date(2026, 11, 1), 30, impressions=200, clicks=40, conversions=1, conversion_value=60)
    books.ran(google, date(2026, 10, 31), 1000, impressions=1000, clicks=1000, conversions=1000, conversion_value=1000)
    assert books.written(**TODAY) == ([23], [])
    rows = books.table()
    measures = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas")
    assert {row["period"]: tuple(row[name] for name in measures) for row in rows if row["level"] == "total"} == {
        "day": ("20", "2000", "40", "0.02", "0.5", "2.5", "50", "8", "2.5"),
        "day_before": ("10", "800", "20", "0.025", "0.5", "2", "30", "5", "3"),
        "week_before": ("40", "4000", "20", "0.005", "2", "0", "0", "", "0"),
        "month_to_date": ("100", "7000", "120", "0.017143", "0.833333", "5.5", "140", "18.181818", "1.4"),
    }
    (brand,) = [row for row in rows if row["campaign"] == "Brand" and row["period"] == "day"]
    assert (brand["platform"], brand["account"], brand["campaign_id"]) == ("google", "Shop", "google:c1")
    assert (brand["ctr"], brand["cpc"], brand["cpa"], brand["roas"]) == ("0.025", "0.5", "5", "4")
    text = words(books.page())
    # 20 against 10 and 40, by 8 against 5, and 2.5 against 3 times.
    for written in ("$20.00", "+100.0%", "-50.0%", "2.00%", "$0.50", "$8.00", "+60.0%", "250%", "-16.7%", "$100.00"):
        assert written in text


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", ("Monday, November 23, 2026", "$30.00", "₩1,234,568", "Written November 24, 2026 10:00 (Asia/Seoul)")),
        ("ko", ("2026년 11월 23일 월요일", "US$30.00", "₩1,234,568", "작성 2026년 11월 24일 10:00 (Asia/Seoul)")),
    ],
)
def test_a_report_is_in_its_team_s_language_and_adds_up_neither_currencies_nor_ratios_of_platforms(
    books: Books, language: str, written: tuple[str, ...]
) -> None:
    team, is_korean = books.team(language=language, timezone="Asia/Seoul"), language == "ko"
    for platform in list(PlatformName)[:3]:
        books.ran(books.account(team, platform), spend=10, conversions=2, conversion_value=30)
    books.ran(books.account(team, PlatformName.TIKTOK), spend="1234567.5", currency="KRW")
    books.run(**TODAY)
    page, text = books.page(), words(books.page())
    assert f'lang="{language}"' in page
    said = [texts[is_korean].format(actions=PURCHASES) for texts in CONVERSIONS.values()]
    assert [one for one in (*written, *said, TEXTS["by_campaign"][is_korean]) if one not in text] == []
    assert text.count(UNDEFINED) > 10
    assert not re.search(r"\b(nan|inf|infinity|none)\b", text.lower())
    rows = {(one["level"], one["currency"], one["platform"]): one for one in books.table() if one["period"] == "day"}
    total = rows["total", "USD", ""]
    assert (total["spend"], rows["total", "KRW", ""]["spend"]) == ("30", "1234567.5")
    assert (total["conversions"], total["cpa"], total["roas"]) == ("6", "", "")
    assert rows["platform", "USD", "meta"]["cpa"] == "5"
    of_one, of_several = text.partition("KRW")[2].split("USD")[:2]
    assert "CPA" in of_one
    assert "CPA" not in of_several.partition(TEXTS["by_platform"][is_korean])[0]
    books.execute("UPDATE teams SET meta_conversion = 'lead'")
    books.execute("DELETE FROM reports")
    books.run(**TODAY)
    assert CONVERSIONS[PlatformName.META][is_korean].format(actions="lead") in words(books.page())


def test_every_text_is_there_in_every_language() -> None:
    for texts in TEXTS.values():
        assert len(texts) == len(Language)
        assert len({tuple(sorted(re.findall(r"\{(\w+)", text))) for text in texts}) == 1


def test_an_incomplete_account_is_named_and_the_report_is_written_again_when_it_is_complete(books: Books) -> None:
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
    assert books.spend() == "31"
    assert [row.missing for row in books.rows("SELECT missing FROM reports")] == [0, 0]


@pytest.mark.parametrize(
    ("ahead", "why"),
    [
        ("UPDATE ad_accounts SET synced_as_of = :at", "not read since the day ended"),
        ("UPDATE sync_parts SET ad_product = 'SPONSORED_PRODUCTS', figures_as_of = :at", "still preparing the figures"),
    ],
)
def test_figures_of_a_time_ahead_of_the_clock_are_incomplete(books: Books, ahead: str, why: str) -> None:
    books.ran(books.account(books.team(), PlatformName.AMAZON), spend=1)
    books.execute(ahead, at=NEXT_MORNING + 2 * ONE_DAY)
    books.run(**TODAY)
    assert why in words(books.page())
    books.execute("UPDATE teams SET reports_restated_through = :day", day=DAY + 9 * ONE_DAY)
    books.ran(1, spend=2)
    assert books.written(**TODAY) == ([], [23]), "nor does a day ahead keep reports from being revised"


# What is not known is not zero


def periods(books: Books, level: str = "total", **of: str) -> dict[str, tuple[str, str, str]]:
    """Spend, how much is known of it, and since when, by the period of a line in the table."""
    rows = [row for row in books.table() if row["level"] == level and of.items() <= row.items()]
    return {row["period"]: (row["spend"], row["known"], row["since"]) for row in rows}


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
    assert "+83.3%" in text, "the day before is known of both"
    assert page.count('class="gap" x=') == 22, "the days of the chart before the 18th"
    assert TEXTS["gap"][0] in text
    (late,) = [row for row in books.table() if row["level"] == "late"]
    assert (late["account"], late["since"]) == ("New", "2026-11-18")
    movers = text.partition("Spent more")[2].partition("By campaign")[0]
    assert "No campaign Spent less No campaign" in movers, "what was not read has not moved"

    books.cover(new, date(2026, 10, 1), date(2026, 11, 24))
    assert books.written(check_restated=True, **TODAY) == ([], [23])
    assert periods(books)["month_to_date"] == ("38", "whole", "")
    assert "not comparable" not in words(books.page())
    assert TEXTS["gap"][0] not in words(books.page())


def test_a_day_that_an_account_has_not_read_is_not_read_and_one_of_which_a_product_lacks_is_incomplete(
    books: Books,
) -> None:
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


def test_an_account_without_spend_makes_a_sum_incomplete_until_it_was_read(books: Books) -> None:
    team = books.team()
    books.ran(books.account(team, name="Here"), spend=10)
    books.account(team, name="Quiet", covered=(date(2026, 11, 20), date(2026, 11, 24)))
    books.account(team, name="Never read", covered=None)
    books.run(**TODAY)
    assert periods(books)["month_to_date"] == ("10", "part", "2026-11-20")
    assert periods(books)["day"] == ("10", "whole", ""), "one that was never read is on no side"


def test_spend_that_no_campaign_has_is_a_line_of_its_own(books: Books) -> None:
    google = books.account(books.team())
    books.ran(google, DAY, 100, clicks=50, conversions=4, conversion_value=200)
    books.ran(google, DAY - ONE_DAY, 100)
    books.add_total(google, DAY, 120, 20)
    for back, noise in enumerate(("0.50", "-3", "0.01"), 1):
        books.add_total(google, DAY - back * ONE_DAY, "100.5" if back == 1 else "0.01", noise)
    books.run(**TODAY)
    assert periods(books)["day"][0] == "120"
    assert periods(books)["month_to_date"][0] == "220", "half a percent, a cent and less are noise"
    assert {period: found[0] for period, found in periods(books, "unattributed").items()} == {
        "day": "20",
        "day_before": "0",
        "week_before": "0",
        "month_to_date": "20",
    }
    (total, one) = (
        next(row for row in books.table() if (row["level"], row["period"]) == (level, "day"))
        for level in ("total", "unattributed")
    )
    assert (total["cpc"], total["cpa"], total["roas"]) == ("2", "25", "2"), "nobody knows what came of the rest"
    assert (one["clicks"], one["cpa"], one["campaign_id"], one["account"]) == ("", "", "", "Shop")
    text = words(books.page())
    assert "Unattributed Google Ads · Shop $20.00" in text
    assert "Unattributed" not in text.partition("Top movers")[2].partition("By campaign")[0]

    books.add_total(google, DAY, 130, 30)
    assert books.written(check_restated=True, **TODAY) == ([], [23])


def test_a_campaign_without_reports_is_unknown_and_never_zero(books: Books) -> None:
    amazon = books.account(books.team(), PlatformName.AMAZON)
    books.ran(amazon, DAY, 10)
    unreported = {"is_reported": False, "start_date": date(2026, 11, 1)}
    books.add_campaign(amazon, "b1", name="One ad group", **unreported)
    books.add_campaign(amazon, "b2", name="Tomorrow", is_reported=False, start_date=DAY + ONE_DAY)
    books.add_campaign(
        amazon, "b3", name="Long over", is_reported=False, start_date=date(2026, 1, 1), end_date=date(2026, 2, 1)
    )
    books.run(**TODAY)
    assert set(periods(books, "campaign", campaign="One ad group").values()) == {("", "not_reported", "")}
    assert periods(books)["day"] == ("10", "whole", "")
    text = words(books.page())
    assert "One ad group Amazon Ads · Shop unknown" in text
    assert "report no figures of 1 campaigns" in text
    assert "Tomorrow" not in text
    assert "Long over" not in text


# Which reports are written, and when


def test_a_restated_day_is_written_again_in_place_and_nothing_else_is(books: Books) -> None:
    account = books.account(books.team())
    books.ran(account, DAY - ONE_DAY, 5)
    books.ran(account, spend=10)
    assert books.written(make_up_days=1) == ([22, 23], [])
    assert books.written() == ([], []), "nothing is due"
    assert books.written(check_restated=True, make_up_days=1) == ([], []), "nothing changed"
    before = {path: (books.folder / path).read_bytes() for path in books.files()}

    books.execute("UPDATE campaign_daily_metrics SET changed_at = now(), conversions = conversions")
    books.add_campaign(account, "c1", name="A new name")
    books.next_day()
    assert books.written() == ([24], []), "a name alone changes no figure"
    assert all((books.folder / path).read_bytes() == content for path, content in before.items())

    books.ran(account, spend=10, conversions=1)
    books.next_day()
    # The 24th compares itself with the 23rd; the 22nd does not.
    assert books.written() == ([25], [23, 24])
    changed = [path for path, content in before.items() if (books.folder / path).read_bytes() != content]
    assert changed == ["team-1/2026/11/2026-11-23.csv", "team-1/2026/11/2026-11-23.html"]
    assert len(books.rows("SELECT * FROM reports")) == 4

    books.execute("DELETE FROM campaign_daily_metrics WHERE day = :day", day=DAY)
    books.next_day(20)
    assert books.written(**TODAY)[1] == [23, 24, 25], "deleted figures count too, and a pause is caught up on"


def test_an_unknown_time_zone_fails_its_team_alone_and_a_quiet_day_has_a_report(books: Books) -> None:
    books.team("Empty")
    books.ran(books.account(books.team("Lost", timezone="Nowhere/City")), spend=1)
    quiet = books.team("Quiet")
    books.ran(books.account(quiet), date(2026, 10, 5), 5)
    plan = books.plan(**TODAY)
    assert [team.name for team in plan.due] == ["Quiet"], "a team without figures has no report"
    reason = "nobody knows its time zone 'Nowhere/City': set another with `sivera teams set --timezone`"
    assert plan.failures == {"Lost": reason}
    books.run(**TODAY)
    assert TEXTS["nothing"][0] in books.page(team=quiet)
    assert books.table(team=quiet) == []
    tally = ReportTally(plan)
    tally.add(plan.due[0], NotKeptError("no room"))
    assert tally.restating() == (), "nothing is revised of a team that failed"
    assert tally.summary().sentence == "0 reports written for 0 of 2 teams, 2 teams failed"


def test_what_the_deadline_leaves_comes_with_the_next_run(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    plan = books.plan(**TODAY)
    (team,) = plan.due
    late, early = ReportTally(plan), ReportTally(plan)
    late.add(team, write_reports(books.deps(), team, 0.0))
    assert late.restating() == (), "a team that lacks a report gets it first"
    assert late.summary().sentence == "0 reports written for 0 of 1 teams, 1 teams put off to the next run"
    early.add(team, write_reports(books.deps(), team, math.inf))
    assert early.restating() == (team,)
    early.add(team, revise_reports(books.deps(), team, 0.0))
    assert early.summary().sentence == "1 reports written for 1 of 1 teams, 1 teams put off to the next run"
    books.ran(books.account(1, name="Late"), spend=2)
    assert books.written(**TODAY) == ([], [23])


# The files


def test_runs_at_the_same_time_write_a_report_once(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    (team,) = books.plan(**TODAY).due
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: write_reports(books.deps(), team, math.inf), range(4)))
    assert [day for one in ended for day in one.reports] == [DAY]
    assert books.files() == [f"team-1/2026/11/{DAY}.{kind}" for kind in ("csv", "html")]


@pytest.mark.parametrize("revised", [False, True])
def test_a_kill_at_any_write_leaves_whole_files_and_the_next_run_completes_them(
    books: Books, database_url: str, revised: bool
) -> None:
    # Figures that are older than 28 days, in a report at the end of the month: it has no chart, which takes longest.
    books.now = datetime(2026, 12, 1, 1, tzinfo=UTC)
    account = books.account(books.team(), synced=books.now)
    first, last = date(2026, 11, 1), date(2026, 11, 30)
    books.ran(account, first, 5)
    books.run(**TODAY)  # what each process would have to load is loaded
    books.execute("UPDATE teams SET reports_restated_through = NULL")
    if not revised:
        books.execute("DELETE FROM reports")
        shutil.rmtree(books.folder)
    books.ran(account, first, 10)
    files_without_row = 0
    for step in range(1, 60):
        code = run(write_and_die, database_url, str(books.folder), books.now.isoformat(), step)
        for path in books.files():
            content = (books.folder / path).read_bytes()
            assert path.endswith(".part") or content.endswith(b"</html>" if path.endswith("html") else b"\r\n")
        if code == 0:
            break
        assert code == -signal.SIGKILL
        rows = books.rows("SELECT * FROM reports")
        files_without_row += not rows and bool(books.files())
    else:
        pytest.fail("there are more steps than this test takes")
    assert step > 6
    assert revised or files_without_row > 1
    assert {row["spend"] for row in books.table(last) if row["period"] == "month_to_date"} == {"10"}
    assert books.written(**TODAY) == ([], [])
    assert not [path for path in books.files() if path.endswith(".part")]


def test_a_place_that_takes_no_files_fails_with_a_remedy_and_leaves_no_row(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    books.folder.write_text("a file instead of the folder")
    with pytest.raises(NotKeptError, match=r"could not be kept as team-1/2026/11/2026-11-23.html .* has room"):
        books.run(**TODAY)
    assert books.rows("SELECT * FROM reports") == []
    books.folder.unlink()
    assert books.written() == ([23], [])


# Names that people chose

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg><script>alert(1)</script>",
    "{{ 7 * 7 }}",
    '=HYPERLINK("http://evil.example","x")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    "  =1+1",
    "\uff1d1+1",
    'it\'s, "quoted"\nand broken',
    "\u202etxet \x1b[2J\u2066\u061c",
)


class Elements(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def hostile(books: Books) -> Books:
    team = books.team(HOSTILE[0])
    account = books.account(team, name=HOSTILE[1])
    books.account(team, name=HOSTILE[2], synced=None)
    for number, name in enumerate(HOSTILE):
        books.add_campaign(account, f"c{number}", name=name)
        books.ran(account, spend=number, campaign=f"c{number}")
    books.ran(account, campaign="=1+1", spend=1, currency="=<b>")
    books.run(**TODAY)
    return books


def test_a_name_is_text_and_nothing_else(hostile: Books) -> None:
    page = hostile.page()
    elements = Elements()
    elements.feed(page)
    tags = {tag for tag, _ in elements.found}
    assert not {"script", "img", "iframe", "object", "link", "form", "a"} & tags
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert f"<h1><bdi>{html.escape(HOSTILE[0])}</bdi></h1>" in page
    assert page.count("<bdi>txet [2J</bdi>") > 0
    assert not UNPRINTABLE.search(page)
    policy = next(a["content"] for tag, a in elements.found if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page), "the page needs nothing else"


def test_no_cell_is_a_formula(hostile: Books) -> None:
    rows = hostile.table()
    assert {row["campaign"] for row in rows} >= {f"'{name}".replace("\t", " ") for name in HOSTILE[4:11]} | {"txet [2J"}
    assert {row["campaign_id"] for row in rows} >= {"google:=1+1"}
    numbers = {"spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas"}
    for row in rows:
        for name, cell in row.items():
            assert name in numbers or not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), (name, cell)
            assert name not in numbers or re.fullmatch(r"-?\d*(\.\d+)?", cell), (name, cell)
    (path,) = hostile.folder.rglob("*.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel knows UTF-8 by it"
