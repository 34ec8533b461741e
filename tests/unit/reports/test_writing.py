"""Which reports are written and when, and their files."""

import math
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from sivera.database import open_engine
from sivera.reports.summary import ReportTally
from sivera.reports.texts import TEXTS
from sivera.reports.writing import NotKeptError, revise_reports, write_reports
from tests.unit.grants.processes import killed_at, run, watch_files
from tests.unit.reports.books import DAY, ONE_DAY, TODAY, Books


def test_only_reports_of_restated_days_are_written_again(books: Books) -> None:
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
    assert books.written() == ([24], []), "a new name changes no figure"
    assert all((books.folder / path).read_bytes() == content for path, content in before.items())

    books.ran(account, spend=10, conversions=1)
    books.next_day()
    # The report of the 24th compares it with the 23rd. That of the 22nd does not.
    assert books.written() == ([25], [23, 24])
    changed = [path for path, content in before.items() if (books.folder / path).read_bytes() != content]
    assert changed == ["team-1/2026/11/2026-11-23.csv", "team-1/2026/11/2026-11-23.html"]
    assert len(books.rows("SELECT * FROM reports")) == 4

    books.execute("UPDATE campaign_daily_metrics SET currency = 'EUR' WHERE day = :day", day=DAY)
    assert books.written(check_restated=True, **TODAY)[1] == [23, 24, 25], "a currency changes the figures"
    books.execute("DELETE FROM campaign_daily_metrics WHERE day = :day", day=DAY)
    books.next_day(20)
    assert books.written(**TODAY)[1] == [23, 24, 25], "after a pause, reports with deleted figures are revised too"


def test_an_unknown_time_zone_fails_its_team_alone_and_a_quiet_day_has_a_report(books: Books) -> None:
    books.team("Empty")
    books.ran(books.account(books.team("Lost", timezone="Nowhere/City")), spend=1)
    quiet = books.team("Quiet")
    books.ran(books.account(quiet), date(2026, 10, 5), 5)
    plan = books.plan(**TODAY)
    assert [team.name for team in plan.due] == ["Quiet"], "a team without figures has no report"
    reason = "its time zone 'Nowhere/City' is unknown: set another with `sivera teams set --timezone`"
    assert plan.failures == {"Lost": reason}
    books.run(**TODAY)
    assert TEXTS["nothing"][0] in books.page(team=quiet)
    assert books.table(team=quiet) == []
    tally = ReportTally(plan)
    tally.add(plan.due[0], NotKeptError("no room"))
    assert tally.restating() == (), "no report of a failed team is revised"
    assert tally.summary().sentence == "0 reports written for 0 of 2 teams, 2 teams failed"


def test_the_next_run_writes_what_the_deadline_left(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    plan = books.plan(**TODAY)
    (team,) = plan.due
    late, early = ReportTally(plan), ReportTally(plan)
    late.add(team, write_reports(books.deps(), team, 0.0))
    assert late.restating() == (), "missing reports come first"
    assert late.summary().sentence == "0 reports written for 0 of 1 team, 1 team put off to the next run"
    early.add(team, write_reports(books.deps(), team, math.inf))
    assert early.restating() == (team,)
    early.add(team, revise_reports(books.deps(), team, 0.0))
    assert early.summary().sentence == "1 report written for 1 of 1 team, 1 team put off to the next run"
    books.ran(books.account(1, name="Late"), spend=2)
    assert books.written(**TODAY) == ([], [23])


def test_concurrent_runs_write_a_report_once(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    (team,) = books.plan(**TODAY).due
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: write_reports(books.deps(), team, math.inf), range(4)))
    assert [day for one in ended for day in one.reports] == [DAY]
    assert books.files() == [f"team-1/2026/11/{DAY}.{kind}" for kind in ("csv", "html")]


def write_and_die(database_url: str, folder: Path, now: datetime, last: int) -> None:
    """Run, and be killed at the n-th write to a file or the database."""
    step = killed_at(last)

    def statement(*about: object) -> None:
        if str(about[2]).startswith("INSERT"):
            step()

    engine = open_engine(database_url)
    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", step)
    watch_files(folder, step, "open", "os.rename", "shutil.move")
    Books(engine, folder, now).run(make_up_days=0)


@pytest.mark.parametrize("revised", [False, True])
def test_a_kill_at_any_write_leaves_whole_files_and_the_next_run_completes_them(
    books: Books, database_url: str, revised: bool
) -> None:
    # The figures are over 28 days old, so the report has no charts, which take longest.
    books.now = datetime(2026, 12, 1, 1, tzinfo=UTC)
    account = books.account(books.team(), synced=books.now)
    first, last = date(2026, 11, 1), date(2026, 11, 30)
    books.ran(account, first, 5)
    books.run(**TODAY)  # loads the modules that each process would load
    books.execute("UPDATE teams SET reports_restated_through = NULL")
    if not revised:
        books.execute("DELETE FROM reports")
        shutil.rmtree(books.folder)
    books.ran(account, first, 10)
    files_without_row = 0
    for step in range(1, 60):
        code = run(write_and_die, database_url, books.folder, books.now, step)
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


def test_a_storage_that_refuses_files_fails_with_a_remedy_and_leaves_no_row(books: Books) -> None:
    books.ran(books.account(books.team()), spend=10)
    books.folder.write_text("a file instead of the folder")
    with pytest.raises(NotKeptError, match=r"could not be stored as team-1/2026/11/2026-11-23.html .* has room"):
        books.run(**TODAY)
    assert books.rows("SELECT * FROM reports") == []
    books.folder.unlink()
    assert books.written() == ([23], [])
