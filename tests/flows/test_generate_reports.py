"""generate-reports as a flow: a real Prefect server, real PostgreSQL, and files in a folder and in a bucket."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.types import SecretDict

from blocks.names import REPORTS, REPORTS_JOB
from blocks.storage import Storage
from flows.generate_reports import generate_reports
from sivera.clock import utc_now
from sivera.reports.options import ReportOptions
from sivera.reports.rules import latest_due_day, zone_of_team
from sivera.reports.rules import paths as paths_of
from sivera.reports.summary import DueTeam, ReportSummary, TeamFailure, TeamReports, Written
from sivera.reports.texts import Language
from tasks.pages import MOST_ROWS
from tasks.reports import publish_summary
from tests.buckets import bucket, credentials, s3_server
from tests.flows.runs import artifacts, descriptions, events, recorded_names
from tests.stage import Stage
from tests.unit.reports.books import Books

ONE_DAY = timedelta(days=1)
LATEST_ONLY = ReportOptions(make_up_days=0)


@pytest.fixture
def books(ready: Stage, tmp_path: Path) -> Books:
    """Books in the database that the Prefect server's block names; their reports go where the other block says."""
    folder = tmp_path / "reports"
    Storage(url=f"file://{folder}").save(REPORTS, overwrite=True)
    return Books(ready.engine, folder, utc_now())


def latest(zone: str) -> date:
    return latest_due_day(utc_now(), zone_of_team(zone, "any"))


def zone_where_it_is(hour: int) -> str:
    """A time zone in which it is that hour now: while a test runs, no day's report becomes due there."""
    east = (hour - utc_now().hour + 12) % 24 - 12
    return f"Etc/GMT{-east:+d}"  # east of Greenwich is minus there


def add_team(books: Books, name: str, hour: int = 12) -> None:
    """A team where it is that hour, with figures of the last day that ended there, and nothing before."""
    zone = zone_where_it_is(hour)
    account = books.account(books.team(name, zone), timezone=zone, synced=utc_now())
    books.ran(account, latest(zone), 10, conversions=1)


def run(options: ReportOptions = LATEST_ONLY) -> State:
    state: State = generate_reports(options, return_state=True)
    return state


def test_each_team_gets_its_report_once_and_the_run_says_where_it_is(books: Books) -> None:
    add_team(books, "한빛 커머스", hour=20)
    add_team(books, "Northwind Goods", hour=6)
    state = run()
    assert (state.name, state.message) == ("Completed", "2 reports written for 2 of 2 teams")
    teams = {"한빛 커머스", "Northwind Goods"}
    assert recorded_names(state, teams) >= teams
    found = artifacts(state)
    for row in books.rows("SELECT html_path, csv_path FROM reports"):
        assert str(books.folder / row.html_path) in str(found["generate-reports-list"])
        assert (books.folder / row.csv_path).exists()
    assert found["generate-reports-place"].startswith(f"[The place of the reports](file://{books.folder}")
    (finished,) = events("sivera.generate-reports.finished", state)
    assert finished == {
        "job": REPORTS_JOB,
        "state": "Completed",
        "message": state.message,
        "success": True,
        "totalProcessed": 2,
        "failed": 0,
        "reports": 2,
        "versions": 0,
        "putOff": 0,
    }
    assert run().message == "0 reports written for 0 of 0 teams"
    assert run(ReportOptions(make_up_days=0, check_restated=True)).message == "0 reports written for 0 of 2 teams"
    assert len(books.rows("SELECT * FROM reports")) == 2


def test_a_team_that_fails_leaves_the_others_their_reports_and_the_run_red(books: Books) -> None:
    add_team(books, "Northwind Goods")
    add_team(books, "Blocked")
    books.team("Lost", "Nowhere/City")
    (blocked,) = [row.id for row in books.rows("SELECT id FROM teams WHERE name = 'Blocked'")]
    books.folder.mkdir()
    (books.folder / f"team-{blocked}").write_text("a file where the folder should be")
    state = run()
    assert (state.name, state.message) == ("Failed", "1 reports written for 1 of 3 teams, 2 teams failed")
    failures = str(artifacts(state)["generate-reports-failures"])
    assert f"could not be kept as team-{blocked}/" in failures
    assert "sivera teams set" in failures
    (finished,) = events("sivera.generate-reports.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (False, 3, 2)
    (books.folder / f"team-{blocked}").unlink()
    assert run().message == "1 reports written for 1 of 2 teams, 1 teams failed"


def test_no_team_waits_for_its_report_until_those_of_others_are_restated(books: Books) -> None:
    for number in range(6):
        add_team(books, f"Team {number}")
    run()
    (day,) = [row.day for row in books.rows("SELECT DISTINCT day FROM reports")]
    # As if it were a day later: nobody has the report of the last day, one team lacks more, and an earlier day changed.
    books.execute("UPDATE reports SET day = day - 3")
    books.execute("UPDATE teams SET reports_restated_through = :before", before=day - ONE_DAY)
    for row in books.rows("SELECT id FROM ad_accounts ORDER BY id"):
        books.ran(row.id, day - 3 * ONE_DAY, 7)
    state = run(ReportOptions(make_up_days=1))
    assert state.message == "12 reports written for 6 of 6 teams, 6 new versions of restated days"
    written = books.rows("SELECT day, version FROM reports ORDER BY created_at")[6:]
    assert [row.version for row in written] == [1] * 12 + [2] * 6


@pytest.mark.usefixtures("books")
def test_lists_in_the_ui_end_somewhere() -> None:
    team = DueTeam(
        id=1,
        name="Hanok",
        timezone="UTC",
        language=Language.EN,
        latest=latest("UTC"),
        days=(),
        restates=True,
        restated_through=None,
    )
    days = [date(2026, 1, 1) + number * ONE_DAY for number in range(MOST_ROWS + 1)]
    paths = {day: paths_of(1, day, 1) for day in days}
    written = tuple(Written(day=day, version=1, html_path=paths[day][0], csv_path=paths[day][1]) for day in days)
    failures = tuple(TeamFailure(team=f"Lost {number}", reason="why") for number in range(MOST_ROWS + 2))
    summary = ReportSummary(
        teams=MOST_ROWS + 3,
        reports=MOST_ROWS + 1,
        versions=0,
        put_off=0,
        written_for=1,
        written=(TeamReports(team=team, written=written),),
        failures=failures,
    )

    @flow
    def publish() -> None:
        publish_summary(summary)

    state = publish(return_state=True)
    found = artifacts(state)
    shown = json.loads(found["generate-reports-list"])
    assert [row["day"] for row in shown] == [str(day) for day in days[:MOST_ROWS]]
    assert [row["team"] for row in json.loads(found["generate-reports-failures"])] == [
        failure.team for failure in failures[:MOST_ROWS]
    ]
    said = descriptions(state)
    assert f"he first {MOST_ROWS} of {MOST_ROWS + 1} are shown" in said["generate-reports-list"]
    assert f"{MOST_ROWS + 2} teams failed" in said["generate-reports-failures"]
    assert str(MOST_ROWS) in said["generate-reports-failures"]


@pytest.mark.usefixtures("books")
def test_a_second_run_beside_the_first_is_cancelled() -> None:
    with concurrency(REPORTS_JOB, occupy=1, strict=True):
        state = run()
    assert (state.name, state.message) == ("Cancelled", "Another instance is already running")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server that answers as S3 does, with a bucket `sivera`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-the-server-only")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with s3_server() as url:
        yield url


def test_reports_go_into_a_bucket_too(books: Books, s3: str) -> None:
    Storage(url="s3://sivera/reports", options=SecretDict(credentials(s3))).save(REPORTS, overwrite=True)
    add_team(books, "Northwind Goods")
    state = run()
    assert state.message == "1 reports written for 1 of 1 teams"
    (row,) = books.rows("SELECT html_path, csv_path FROM reports")
    there = bucket(s3)
    assert sorted(there.find("sivera")) == sorted(f"sivera/reports/{path}" for path in row)
    assert there.cat_file(f"sivera/reports/{row.html_path}").endswith(b"</html>")
    assert artifacts(state)["generate-reports-place"] == f"[The report](s3://sivera/reports/{row.html_path})"
    assert "example-secret" not in str(artifacts(state))
    assert books.files() == []
