"""generate-reports as a flow: a real Prefect server, real PostgreSQL, and files in a folder and in a bucket."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect import flow
from prefect.types import SecretDict

from blocks.names import REPORTS, REPORTS_JOB
from blocks.storage import Storage
from flows.generate_reports import generate_reports
from sivera.clock import utc_now
from sivera.history.rules import SEE
from sivera.reports.options import ReportOptions
from sivera.reports.rules import latest_due_day, paths
from tasks.pages import MOST_ROWS, show_table
from tests.buckets import bucket, credentials, s3_server
from tests.flows.runs import announced, artifacts, events, run, wait_for_task_runs
from tests.stage import Stage
from tests.unit.reports.books import ONE_DAY, Books

OF_TODAY = ReportOptions(make_up_days=0)


@pytest.fixture
def books(ready: Stage, tmp_path: Path) -> Books:
    folder = tmp_path / "reports"
    Storage(url=f"file://{folder}").save(REPORTS, overwrite=True)
    return Books(ready.engine, folder, utc_now())


def add_team(books: Books, name: str, hour: int = 12) -> date:
    """Add a team with figures of its last day, in a zone where it is that hour now: no report falls due soon."""
    east = (hour - utc_now().hour + 12) % 24 - 12
    zone = f"Etc/GMT{-east:+d}"  # east of Greenwich is minus there
    day = latest_due_day(utc_now(), ZoneInfo(zone))
    books.ran(books.account(books.team(name, zone), timezone=zone, synced=utc_now()), day, 10, conversions=1)
    return day


def test_each_team_gets_its_report_and_every_due_one_is_written_before_an_older_one_is_revised(books: Books) -> None:
    teams = ("한빛 커머스", "Northwind Goods")
    days = [add_team(books, name, hour) for name, hour in zip(teams, (20, 6), strict=True)]
    state = run(generate_reports, OF_TODAY)
    assert (state.name, state.message) == ("Completed", "2 reports written for 2 of 2 teams")
    wait_for_task_runs(state, {*teams})
    found = artifacts(state)
    for path in (path for team, day in enumerate(days, 1) for path in paths(team, day)):
        assert str(books.folder / path) in found["generate-reports-list"]
        assert (books.folder / path).exists()
    assert found["generate-reports-place"].startswith(f"[The place of the reports](file://{books.folder}")

    # As if it were three days later: both teams lack two reports, and an earlier day changed.
    books.execute("UPDATE reports SET day = day - 3")
    books.execute("UPDATE teams SET reports_restated_through = CAST(:day AS date) - 2", day=min(days))
    for account, day in enumerate(days, 1):
        books.ran(account, day - 3 * ONE_DAY, 7)
    state = run(generate_reports, ReportOptions(make_up_days=1))
    assert state.message == "4 reports written for 2 of 2 teams, 2 reports revised"
    written = [row.day for row in books.rows("SELECT day FROM reports ORDER BY written_at")]
    assert {*written[-2:]} == {day - 3 * ONE_DAY for day in days}
    (finished,) = events("sivera.generate-reports.finished", state)
    assert finished == {
        "job": REPORTS_JOB,
        "state": "Completed",
        "message": state.message,
        "success": True,
        "totalProcessed": 2,
        "failed": 0,
        "reports": 4,
        "revised": 2,
        "putOff": 0,
    }
    assert run(generate_reports, OF_TODAY).message == "0 reports written for 0 of 0 teams"


def test_a_team_that_fails_leaves_the_others_their_reports_and_the_run_red(books: Books) -> None:
    add_team(books, "Northwind Goods")
    add_team(books, "Blocked")
    books.team("Lost", "Nowhere/City")
    books.folder.mkdir()
    (books.folder / "team-2").write_text("a file instead of a folder")
    state = run(generate_reports, OF_TODAY)
    assert (state.name, state.message) == (
        "Failed",
        f"1 report written for 1 of 3 teams, 2 teams failed{SEE}generate-reports",
    )
    failures = str(artifacts(state)["generate-reports-failures"])
    assert "could not be stored as team-2/" in failures
    assert "sivera teams set" in failures
    assert announced(generate_reports, state) == [False, 3, 2]


@pytest.mark.usefixtures("ready")
def test_a_long_table_is_cut_and_says_so_and_is_shown_again_only_if_it_changed() -> None:
    @flow
    def show(more: int) -> None:
        rows = [{"n": n} for n in range(MOST_ROWS + more)]
        show_table("a-list", "All of them.", rows, all_of_them="sivera status", if_changed=True)

    state = show(1, return_state=True)
    assert [row["n"] for row in json.loads(artifacts(state)["a-list"])] == list(range(MOST_ROWS))
    said = f"All of them. The first {MOST_ROWS} of {MOST_ROWS + 1} are shown; `sivera status` has them all."
    assert artifacts(state, "description") == {"a-list": said}
    assert artifacts(show(1, return_state=True)) == {}
    assert artifacts(show(-1, return_state=True)).keys() == {"a-list"}


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
    page, table = paths(1, add_team(books, "Northwind Goods"))
    state = run(generate_reports, OF_TODAY)
    assert state.message == "1 report written for 1 of 1 team"
    there = bucket(s3)
    assert sorted(there.find("sivera")) == [f"sivera/reports/{table}", f"sivera/reports/{page}"]
    assert there.cat_file(f"sivera/reports/{page}").endswith(b"</html>")
    assert artifacts(state)["generate-reports-place"] == f"[The report](s3://sivera/reports/{page})"
    assert "example-secret" not in str(artifacts(state))
    assert books.files() == []
