"""The pages for analysts: they describe exactly the columns, and their queries run."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from sivera.models import Base
from sivera.sync.rules import RESTATEMENT_DAYS
from sivera.values import PlatformName
from tests.unit.tables import Tables
from tests.unit.test_docs import ROOT, blocks

TABLES = (
    "teams",
    "ad_accounts",
    "sync_parts",
    "campaigns",
    "campaign_daily_metrics",
    "account_daily_totals",
    "team_budgets",
    "reports",
    "alerts",
)
PAGES = [ROOT / "docs" / name for name in ("data.md", "data.ko.md")]

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


@each_page
def test_exactly_the_columns_are_described_and_when_they_are_null(path: Path) -> None:
    sections = re.findall(r"^## `(\w+)`$(.*?)(?=^## |^<a )", path.read_text(), re.MULTILINE | re.DOTALL)
    described = {
        table: [(name, "NULL" in what) for name, what in re.findall(r"^\| `(\w+)` \| (\S.*) \|$", rows, re.MULTILINE)]
        for table, rows in sections
    }
    tables = Base.metadata.tables
    assert described == {name: [(each.name, each.nullable) for each in tables[name].columns] for name in TABLES}


@each_page
def test_the_days_that_may_change_are_those_that_are_read_again(path: Path) -> None:
    for platform, days in RESTATEMENT_DAYS.items():
        assert re.search(rf"^\| {platform.value} \|.*\| {days} \|$", path.read_text(), re.MULTILINE)


@each_page
def test_the_queries_run(path: Path, engine: Engine) -> None:
    queries = blocks(path.read_text(), "sql")
    assert len(queries) == 5
    assert queries == blocks(PAGES[0].read_text(), "sql")
    with engine.connect() as connection:
        for query in queries:
            assert connection.execute(text(query.replace("::date", "\\:\\:date"))).all() == []


def test_an_unread_day_is_null_and_a_campaign_without_reports_is_never_idle(engine: Engine) -> None:
    tables = Tables(engine)
    account = tables.add_account(
        tables.team(), PlatformName.AMAZON, external_id="1", name="Shop", currency="USD", timezone="UTC"
    )
    today = tables.rows("SELECT current_date")[0][0]
    tables.cover(account, today - timedelta(days=20), today, "SPONSORED_PRODUCTS")
    tables.cover(account, today - timedelta(days=10), today, "SPONSORED_BRANDS")
    for name in ("Reported", "Unreported"):
        tables.add_campaign(account, name, name=name, budget_kind="daily", is_reported=name == "Reported")
    _, _, by_day, _, idle = (query.replace("::date", "\\:\\:date") for query in blocks(PAGES[0].read_text(), "sql"))
    spend = {
        name: [row.spend for row in tables.rows(by_day) if row.name == name] for name in ("Reported", "Unreported")
    }
    assert spend == {"Reported": [None] * 18 + [0] * 10, "Unreported": [None] * 28}
    assert [row.campaign for row in tables.rows(idle)] == ["Reported"]
