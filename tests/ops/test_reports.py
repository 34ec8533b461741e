"""`sivera teams` and `sivera reports` against a real Prefect server and PostgreSQL."""

from pathlib import Path

import pytest
from prefect.types import SecretDict

from blocks.names import REPORTS
from blocks.storage import Storage
from sivera.reports.rules import paths
from tests.ops.commands import Sivera
from tests.stage import Stage
from tests.unit.reports.books import DAY, Books


@pytest.fixture
def books(ready: Stage, tmp_path: Path) -> Books:
    Storage(url="s3://bucket/reports/", options=SecretDict({"secret": "s3cret"})).save(REPORTS, overwrite=True)
    return Books(ready.engine, tmp_path / "reports")


def test_a_team_is_changed_and_unknown_values_are_refused(sivera: Sivera, books: Books) -> None:
    books.team("한빛 커머스")
    assert "en" in sivera("teams", "list").out
    said = sivera("teams", "set", "한빛 커머스", "--timezone", "Asia/Seoul", "--language", "ko").out
    zone, counts = said.splitlines()
    assert zone == "The time zone of 한빛 커머스 is Asia/Seoul, and the language of its reports is 'ko'."
    assert counts == "It counts purchases as conversions on Meta."
    assert sivera("teams", "set", "한빛 커머스", "--timezone", "Asia/Tokyo").code == 0
    for arguments, refusal in (
        (("한빛 커머스", "--timezone", "Asia/Soul"), "the time zone 'Asia/Soul' is unknown"),
        (("Hanok", "--language", "ko"), "there is no team 'Hanok'"),
        (("한빛 커머스",), "there is nothing to change"),
        (("한빛 커머스", "--meta-conversion", "Lead!"), "'Lead!' is not an action type of Meta"),
    ):
        assert refusal in sivera("teams", "set", *arguments).refusal
    assert sivera("teams", "set", "한빛 커머스", "--language", "fr").code == 2
    assert (
        "It counts lead as conversions on Meta."
        in sivera("teams", "set", "한빛 커머스", "--meta-conversion", "lead").out
    )
    assert "lead" in sivera("teams", "list").out
    (row,) = books.rows("SELECT timezone, language, meta_conversion FROM teams")
    assert tuple(row) == ("Asia/Tokyo", "ko", "lead")
    assert sivera("teams", "set", "한빛 커머스", "--meta-conversion", "purchases").code == 0
    assert books.rows("SELECT meta_conversion FROM teams")[0].meta_conversion is None


def test_reports_are_listed_and_located(sivera: Sivera, books: Books) -> None:
    assert sivera("reports", "list").out.startswith("There are no reports.")
    books.ran(books.account(books.team()), spend=1)
    books.run(make_up_days=0)
    page, table = paths(1, DAY)
    (_, row) = sivera("reports", "list", "--team", "Hanok").out.splitlines()
    assert row.split()[:3] == ["Hanok", str(DAY), "0"]
    assert row.split()[-1] == page
    shown = sivera("reports", "show", "Hanok", str(DAY)).out
    assert shown.splitlines()[1:] == [f"s3://bucket/reports/{page}", f"s3://bucket/reports/{table}"]
    assert "s3cret" not in shown
    assert "has no report on 2026-11-01" in sivera("reports", "show", "Hanok", "2026-11-01").refusal
    assert "there is no team 'Nobody'" in sivera("reports", "list", "--team", "Nobody").refusal
