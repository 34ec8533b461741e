"""The report on what a first sync has read: no day before it is zero."""

from datetime import date
from pathlib import Path

from sandbox.world import World
from sivera.reports.rules import chart_since
from sivera.sync.rules import RESTATEMENT_DAYS
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.reports.books import ONE_DAY, Books

DAY, MONTH = date(2026, 11, 19), date(2026, 11, 1)


def test_days_before_a_first_sync_are_missing_and_not_zero(stage: Stage, world: World, tmp_path: Path) -> None:
    for platform in PlatformName:
        stage.connect(world.add_grant(platform, accounts=1, campaigns=8))
    for due in stage.due() * 2:
        stage.sync(due)
    books = Books(stage.engine, tmp_path, stage.now())
    books.run(make_up_days=0)
    covered = {
        row.platform: row.since
        for row in books.rows(
            "SELECT platform, max(covered_since) AS since FROM sync_parts JOIN ad_accounts ON id = account_id "
            "WHERE kind = 'metrics' GROUP BY 1"
        )
    }
    today = {platform: DAY + ONE_DAY - (days - 1) * ONE_DAY for platform, days in RESTATEMENT_DAYS.items()}
    assert all(0 <= (covered[platform] - since).days <= 1 for platform, since in today.items())
    assert {row["platform"]: row["since"] for row in books.table(DAY) if row["level"] == "late"} == {
        platform: str(since) for platform, since in covered.items() if since > chart_since(DAY)
    }
    of_month = {
        row["platform"]: (row["known"], row["since"])
        for row in books.table(DAY)
        if (row["level"], row["period"]) == ("account", "month_to_date")
    }
    assert of_month == {
        platform: ("part", str(since)) if since > MONTH else ("whole", "") for platform, since in covered.items()
    }
    assert 'class="gap" x=' in books.page(DAY)
