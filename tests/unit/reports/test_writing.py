"""Reports as they are written: real PostgreSQL, real files."""

import csv
import hashlib
import io
import itertools
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sivera.reports.keeping import NotKeptError
from sivera.reports.summary import ReportTally
from sivera.reports.texts import TEXTS, UNDEFINED, Language
from sivera.reports.writing import read_report, restate_reports, write_reports
from sivera.values import PlatformName
from tests.unit.grants.processes import run
from tests.unit.reports.books import DAY, NEXT_MORNING, Books, write_on_full_disk

ROOT = Path(__file__).parents[3]
ONE_DAY = timedelta(days=1)


def table(books: Books, day: date = DAY, version: int = 1) -> list[dict[str, str]]:
    (path,) = books.folder.glob(f"team-*/{day:%Y/%m}/{day}.v{version}.csv")
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def totals(rows: list[dict[str, str]], *columns: str, level: str = "total") -> dict[str, tuple[str, ...]]:
    return {row["period"]: tuple(row[name] for name in columns) for row in rows if row["level"] == level}


def words(page: str) -> str:
    """The text of a page, as a person reads it."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]).split())


def test_the_figures_are_those_that_are_reckoned_by_hand(books: Books) -> None:
    google = books.account(books.team())
    books.campaign(google, "c1", "Brand")
    books.ran(google, DAY, "12.50", impressions=1000, clicks=25, conversions="2.5", value=50)
    books.ran(google, DAY, "7.50", campaign="c2", impressions=1000, clicks=15)
    books.ran(google, DAY - ONE_DAY, 10, impressions=800, clicks=20, conversions=2, value=30)
    books.ran(google, DAY - 7 * ONE_DAY, 40, impressions=4000, clicks=20)
    books.ran(google, date(2026, 11, 1), 30, impressions=200, clicks=40, conversions=1, value=60)
    books.ran(google, date(2026, 10, 31), 1000, impressions=1000, clicks=1000, conversions=1000, value=1000)
    assert books.written(make_up_days=0) == [("2026-11-23", 1)]
    rows = table(books)
    measures = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas")
    assert totals(rows, *measures) == {
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
    (row,) = books.rows("SELECT * FROM reports")
    assert row.summary["currencies"]["USD"]["spend"] == "20.000000"


def test_each_currency_stands_by_itself(books: Books) -> None:
    team = books.team()
    dollars, won = books.account(team), books.account(team, PlatformName.META, name="상점")
    books.ran(dollars, spend="1234.56")
    books.ran(won, spend=7654321, currency="KRW")
    books.run(make_up_days=0)
    sums = {
        (row["currency"], row["spend"]) for row in table(books) if (row["level"], row["period"]) == ("total", "day")
    }
    assert sums == {("USD", "1234.56"), ("KRW", "7654321")}
    text = words(books.page())
    assert "$1,234.56" in text
    assert "₩7,654,321" in text
    assert "7,655,555" not in text


@pytest.mark.parametrize("language", list(Language))
def test_what_is_undefined_is_a_dash_in_every_language(books: Books, language: Language) -> None:
    books.ran(books.account(books.team(language=language.value)), spend=3)
    books.run(make_up_days=0)
    page = books.page()
    assert f'lang="{language.value}"' in page
    assert words(page).count(UNDEFINED) > 10
    assert not re.search(r"\b(nan|inf|infinity|none)\b", words(page).lower())
    assert TEXTS[language]["by_campaign"] in page


def test_every_text_is_there_in_every_language() -> None:
    keys = {language: texts.keys() for language, texts in TEXTS.items()}
    assert set(keys) == set(Language)
    assert all(each == keys[Language.EN] for each in keys.values())
    for key, text in TEXTS[Language.EN].items():
        fields = re.findall(r"\{(\w+)\}", text)
        assert all(sorted(re.findall(r"\{(\w+)\}", texts[key])) == sorted(fields) for texts in TEXTS.values()), key


def test_days_and_numbers_are_written_as_the_language_has_them(books: Books) -> None:
    books.ran(books.account(books.team(language="ko", timezone="Asia/Seoul")), spend="1234567.5", currency="KRW")
    books.run(make_up_days=0)
    text = words(books.page())
    assert "2026년 11월 23일 월요일" in text
    assert "₩1,234,568" in text
    assert "버전 1, 작성 2026년 11월 24일 10:00 (Asia/Seoul)" in text


def test_a_team_without_figures_has_no_report_and_a_quiet_day_has_one(books: Books) -> None:
    books.team("Empty")
    quiet = books.account(books.team("Quiet"))
    books.ran(quiet, date(2026, 10, 5), 5)
    assert [team.name for team in books.plan(make_up_days=0).due] == ["Quiet"]
    books.run(make_up_days=0)
    assert TEXTS[Language.EN]["nothing"] in books.page()
    assert totals(table(books), "spend") == {}


def test_what_is_missing_is_named_and_a_new_version_follows(books: Books) -> None:
    team = books.team()
    here = books.account(team, name="Here")
    away = books.account(team, name="Away", synced=NEXT_MORNING - timedelta(hours=9))
    books.ran(here, spend=10)
    books.ran(away, spend=1)
    books.run(make_up_days=0)
    page = books.page()
    assert "Google Ads · Away: not read since the day ended" in words(page)
    assert "Here: " not in words(page)

    books.pass_time(ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    books.ran(away, spend=20)
    assert books.written() == [("2026-11-24", 1), ("2026-11-23", 2)]
    assert TEXTS[Language.EN]["missing"] not in books.page(version=2)
    assert totals(table(books, version=1), "spend")["day"] == ("11",)
    assert totals(table(books, version=2), "spend")["day"] == ("30",)


def test_half_a_day_is_not_taken_for_all_of_it_and_a_new_version_follows(books: Books) -> None:
    account = books.account(books.team(), PlatformName.AMAZON)
    books.execute(
        "INSERT INTO report_arrivals VALUES (:id, 'SPONSORED_PRODUCTS', :noon)",
        id=account,
        noon=NEXT_MORNING - timedelta(hours=13),
    )
    books.ran(account, spend=10)
    books.run(make_up_days=0)
    assert "Amazon Ads · Shop: the platform is still preparing the figures" in words(books.page())

    books.pass_time(ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    books.execute("UPDATE report_arrivals SET as_of = :now", now=books.now)
    assert ("2026-11-23", 2) in books.written(), "all was there, and it says so"
    assert TEXTS[Language.EN]["missing"] not in books.page(version=2)


def test_what_a_platform_still_restates_is_named_with_its_end(books: Books) -> None:
    team = books.team()
    books.ran(books.account(team), spend=1)
    books.ran(books.account(team, PlatformName.AMAZON), spend=1)
    books.run(make_up_days=0)
    text = words(books.page())
    assert "Google Ads: final from December 23, 2026" in text
    assert "Amazon Ads: final from December 7, 2026" in text
    books.execute("DELETE FROM reports")
    books.pass_time(timedelta(days=16))
    books.run(make_up_days=16)
    text = words(books.page())
    assert "Google Ads: final from" in text
    assert "Amazon Ads: final from" not in text


def test_a_restated_day_gets_a_new_version_and_nothing_else_does(books: Books) -> None:
    account = books.account(books.team())
    books.ran(account, DAY - ONE_DAY, 5)
    books.ran(account, spend=10)
    assert books.written(make_up_days=1) == [("2026-11-22", 1), ("2026-11-23", 1)]
    assert books.written() == [], "nothing is due"
    assert books.written(check_restated=True, make_up_days=1) == [], "nothing changed"
    before = {path: (books.folder / path).read_bytes() for path in books.files()}

    books.execute("UPDATE campaign_daily_metrics SET changed_at = now(), conversions = conversions")
    books.campaign(account, "c1", "A new name")
    books.pass_time(ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    assert books.written() == [("2026-11-24", 1)], "a name alone is no restatement"

    books.ran(account, spend=10, conversions=1)
    books.pass_time(ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    # The 24th says what the day before had, and the 22nd nothing of the 23rd.
    assert books.written() == [("2026-11-25", 1), ("2026-11-23", 2), ("2026-11-24", 2)], "the new one first"
    assert all((books.folder / path).read_bytes() == content for path, content in before.items())
    versions = [tuple(row) for row in books.rows("SELECT day, version FROM reports ORDER BY 1, 2")]
    assert len(versions) == len(set(versions)) == 6


def test_a_day_that_was_deleted_is_a_restatement_too(books: Books) -> None:
    account = books.account(books.team())
    books.ran(account, spend=10)
    books.run(make_up_days=0)
    books.execute("DELETE FROM campaign_daily_metrics WHERE day = :day", day=DAY)
    books.ran(account, DAY - ONE_DAY, 1)
    assert books.written(check_restated=True, make_up_days=0) == [("2026-11-23", 2)]


def test_what_no_platform_restates_any_more_is_left_alone(books: Books) -> None:
    account = books.account(books.team(), PlatformName.TIKTOK)
    books.ran(account, spend=10)
    books.run(make_up_days=0)
    books.pass_time(timedelta(days=13))
    books.ran(account, spend=11)
    assert ("2026-11-23", 2) in books.written(make_up_days=0), "a sync of the day before could still restate it"
    books.pass_time(ONE_DAY)
    books.ran(account, spend=12)
    assert ("2026-11-23", 3) not in books.written(make_up_days=0)


def test_missed_days_are_made_up_in_order_and_never_twice(books: Books) -> None:
    account = books.account(books.team())
    for back in range(20):
        books.ran(account, DAY - back * ONE_DAY, back + 1)
    assert books.written(make_up_days=2) == [("2026-11-21", 1), ("2026-11-22", 1), ("2026-11-23", 1)]
    books.pass_time(3 * ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    made_up = books.written(make_up_days=14)
    assert [day for day, _ in made_up] == sorted(day for day, _ in made_up)
    assert made_up[0] == ("2026-11-12", 1)
    assert [day for day, _ in made_up][-3:] == ["2026-11-24", "2026-11-25", "2026-11-26"]
    assert {version for _, version in made_up} == {1}
    (row,) = books.rows("SELECT count(*), count(DISTINCT day), min(day), max(day) FROM reports")
    assert row == (15, 15, date(2026, 11, 12), date(2026, 11, 26))
    assert books.written() == []


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 11, 1)),
        ("Asia/Seoul", date(2026, 11, 1)),
        ("Australia/Lord_Howe", date(2026, 10, 4)),
    ],
)
def test_each_local_day_gets_one_report_however_often_it_runs(books: Books, zone: str, change: date) -> None:
    account = books.account(books.team(timezone=zone), timezone=zone)
    first, last = change - ONE_DAY, change + ONE_DAY
    for back in range(4):
        books.ran(account, first + back * ONE_DAY, 1)
    books.now = datetime.combine(first, datetime.min.time(), UTC)
    books.execute("UPDATE ad_accounts SET synced_as_of = :later", later=books.now + 30 * ONE_DAY)
    written: list[tuple[str, int]] = []
    while not written or written[-1] < (str(last), 1):
        written += books.written()
        books.pass_time(timedelta(minutes=30))
        assert books.now.date() <= last + 3 * ONE_DAY
    assert written == [(str(day), 1) for day in (first, change, last)]


def test_a_team_that_moves_gets_no_day_twice_and_misses_none(books: Books) -> None:
    team = books.team(timezone="Asia/Seoul")
    account = books.account(team, timezone="Asia/Seoul", synced=NEXT_MORNING + 30 * ONE_DAY)
    for ahead in range(4):
        books.ran(account, DAY + ahead * ONE_DAY, 10)
    books.now = datetime(2026, 11, 23, 16, tzinfo=UTC)  # 01:00 of the 24th in Seoul
    assert books.written() == [("2026-11-23", 1)]
    zones = {books.now + timedelta(hours=1): "America/New_York", NEXT_MORNING + 2 * ONE_DAY: "Asia/Seoul"}
    written: list[tuple[str, int]] = []
    while books.now < NEXT_MORNING + 3 * ONE_DAY:
        books.pass_time(timedelta(hours=1))
        if zone := zones.get(books.now):
            books.execute("UPDATE teams SET timezone = :zone", zone=zone)
        written += books.written()
    assert written == [("2026-11-24", 1), ("2026-11-25", 1), ("2026-11-26", 1)]


def test_two_runs_at_once_write_one_report(books: Books) -> None:
    account = books.account(books.team())
    books.ran(account, spend=10)
    (team,) = books.plan(make_up_days=0).due
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: write_reports(books.deps(), team, 1.0), range(4)))
    assert sum(len(one.written) for one in ended) == 1
    (row,) = books.rows("SELECT version, html_path, csv_path FROM reports")
    assert row.version == 1
    assert books.files() == sorted([row.html_path, row.csv_path])


def test_a_kill_at_any_step_leaves_a_whole_report_or_none_and_the_next_run_completes_it(
    books: Books, database_url: str
) -> None:
    books.ran(books.account(books.team()), spend=10)
    expected = read_report(books.deps(), books.plan().due[0], DAY)
    without_row = 0
    arguments = [database_url, str(books.folder), books.now.isoformat()]
    command = [sys.executable, "-m", "tests.unit.reports.killed", *arguments]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdin
        assert process.stdout
        for step in range(1, 60):
            process.stdin.write(f"{step}\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            whole = [path for path in books.files() if not path.endswith(".part")]
            rows = books.rows("SELECT html_path, csv_path, checksum FROM reports")
            for path in whole:
                content = (books.folder / path).read_bytes()
                assert content.endswith(b"</html>" if path.endswith("html") else b"\r\n"), "a file is whole"
            if rows:
                assert sorted(rows[0][:2]) == whole
                break
            assert code == -signal.SIGKILL
            without_row += bool(whole)
        else:
            pytest.fail("there are more steps than this test takes")
        process.stdin.close()
    assert without_row > 1, "it was killed between file and row"
    assert rows[0].checksum == expected.checksum
    assert books.written() == []
    assert books.files() == sorted(rows[0][:2]), "no part is left"


def test_a_place_that_takes_no_files_fails_with_its_mend_and_leaves_no_row(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    books.folder.write_text("a file where the folder should be")
    with pytest.raises(NotKeptError, match=r"could not be kept as team-\d+/2026/11/2026-11-23.v1.html"):
        books.run(make_up_days=0)
    assert books.rows("SELECT * FROM reports") == []
    books.folder.unlink()
    assert books.written() == [("2026-11-23", 1)]


def test_a_full_disk_leaves_no_part_of_a_file(books: Books, database_url: str) -> None:
    account = books.account(books.team())
    for campaign in range(50):
        books.ran(account, spend=10, campaign=f"c{campaign}")
    assert run(write_on_full_disk, database_url, str(books.folder), books.now) == 0
    assert (books.files(), books.rows("SELECT * FROM reports")) == ([], [])
    assert books.written() == [("2026-11-23", 1)]


def test_nobody_else_may_read_a_report(books: Books) -> None:
    books.folder.mkdir(mode=0o755)
    books.ran(books.account(books.team()), spend=10)
    books.run(make_up_days=0)
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in books.folder.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}
    assert books.folder.stat().st_mode & 0o777 == 0o755, "what was there keeps its rights"


def test_after_the_deadline_no_report_is_begun(books: Books) -> None:
    books.ran(books.account(books.team()), DAY - ONE_DAY, 10)
    (team,) = books.plan().lacking
    for step in (write_reports, restate_reports):
        ended = step(books.deps(), team, 0.0)
        assert (ended.written, ended.left) == ((), True)
    assert books.plan().due == (team,)


def test_restated_days_that_the_deadline_leaves_come_with_the_next_run_not_with_the_next_report(books: Books) -> None:
    account = books.account(books.team())
    for back in range(2):
        books.ran(account, DAY - back * ONE_DAY, 10)
    assert books.written(make_up_days=1) == [("2026-11-22", 1), ("2026-11-23", 1)]
    books.pass_time(ONE_DAY)
    books.execute("UPDATE ad_accounts SET synced_as_of = :now", now=books.now)
    books.ran(account, DAY - ONE_DAY, 12)

    plan = books.plan(make_up_days=1)
    tally, seconds = ReportTally(plan), itertools.count()
    deps = replace(books.deps(), monotonic=lambda: next(seconds))
    assert tally.restating() == (), "a team that lacks a report gets it first"
    (team,) = plan.lacking
    tally.add(team, write_reports(deps, team, 100.0))
    assert tally.restating() == (team,)
    # At 1 it begins, at 2 it writes the first, at 3 it is to end.
    tally.add(team, restate_reports(deps, team, 3.0))
    summary = tally.summary()
    assert summary.sentence == (
        "1 reports written for 1 of 1 teams, 1 new versions of restated days, 1 teams put off to the next run"
    )
    assert [(one.day.day, one.version) for team in summary.written for one in team.written] == [(24, 1), (22, 2)]

    books.pass_time(timedelta(minutes=15))
    assert books.written(make_up_days=1) == [("2026-11-23", 2)]
    assert books.plan(make_up_days=1).due == ()


def test_what_was_restated_while_no_run_compared_is_found_by_the_next(books: Books) -> None:
    account = books.account(books.team(), PlatformName.TIKTOK)
    books.ran(account, spend=10)
    assert books.written(make_up_days=0) == [("2026-11-23", 1)]
    books.ran(account, spend=12)
    books.pass_time(timedelta(days=20))
    assert ("2026-11-23", 2) in books.written(make_up_days=0)


def test_the_teams_that_waited_longest_come_first(books: Books) -> None:
    teams = [books.team(name) for name in ("Never", "Lately", "Long ago", "Missed")]
    for team in teams:
        books.ran(books.account(team), DAY, 10)
    books.run(make_up_days=0, teams=("Never", "Lately", "Long ago"))
    books.pass_time(ONE_DAY)
    for name, day in (("Never", None), ("Lately", DAY), ("Long ago", DAY - ONE_DAY)):
        books.execute("UPDATE teams SET reports_restated_through = :day WHERE name = :name", name=name, day=day)
    plan = books.plan()
    assert [team.name for team in plan.lacking] == ["Missed", "Never", "Lately", "Long ago"]
    assert [team.name for team in plan.restating] == ["Never", "Missed", "Long ago", "Lately"]


def test_a_team_that_fails_is_counted_once_and_has_nothing_restated(books: Books) -> None:
    books.ran(books.account(books.team()), DAY, 10)
    plan = books.plan()
    tally = ReportTally(plan)
    tally.add(plan.due[0], NotKeptError("no room"))
    summary = tally.summary()
    assert (tally.restating(), len(summary.failures), summary.put_off) == ((), 1, 0)
    assert tally.summary().sentence == "0 reports written for 0 of 1 teams, 1 teams failed"


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
        books.campaign(account, f"c{number}", name)
        books.ran(account, spend=number, campaign=f"c{number}")
    books.ran(account, campaign="=1+1", spend=1, currency="=<b>")
    books.run(make_up_days=0)
    return books


def test_names_are_text_and_nothing_else(hostile: Books) -> None:
    page = hostile.page()
    elements = Elements()
    elements.feed(page)
    tags = [tag for tag, _ in elements.found]
    assert not {"script", "img", "iframe", "object", "link", "form", "a"} & set(tags)
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    policy = next(a["content"] for tag, a in elements.found if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page), "the page needs nothing else"


def test_no_cell_is_a_formula(hostile: Books) -> None:
    rows = table(hostile)
    assert {row["campaign"] for row in rows} >= {f"'{name}" for name in HOSTILE[4:11]}
    assert {row["campaign_id"] for row in rows} >= {"google:=1+1"}
    numbers = {"spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas"}
    for row in rows:
        for name, cell in row.items():
            assert name in numbers or not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), (name, cell)
            assert name not in numbers or re.fullmatch(r"-?\d*(\.\d+)?", cell), (name, cell)
    (path,) = hostile.folder.rglob("*.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel knows UTF-8 by it"


def test_a_time_zone_that_nobody_knows_fails_its_team_alone(books: Books) -> None:
    books.ran(books.account(books.team("Lost", timezone="Nowhere/City")), spend=1)
    books.ran(books.account(books.team("Found")), spend=1)
    plan = books.plan()
    assert [team.name for team in plan.due] == ["Found"]
    assert [(one.team, "Nowhere/City" in one.reason) for one in plan.failures] == [("Lost", True)]


def test_a_page_says_the_same_each_time_it_is_written(books: Books) -> None:
    account = books.account(books.team())
    books.ran(account, spend=10, conversions=1)
    digests: set[Any] = set()
    for _ in range(2):
        books.run(make_up_days=0)
        digests.add(tuple(hashlib.sha256((books.folder / path).read_bytes()).hexdigest() for path in books.files()))
        books.execute("DELETE FROM reports")
    assert len(digests) == 1
