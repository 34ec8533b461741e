"""`python -m benchmarks.budgets --accounts N --days N`: check-budgets beside one plain aggregate of the same rows.

It fills a PostgreSQL with default settings: accounts of all four platforms, each with three campaigns and a row a day
of each, in the order in which syncs write them. The floor adds up the same rows in chunks of the same size, and judges
nothing. Then the job's own code runs without Prefect: a first run opens the alerts, and a second one finds nothing new.
The last line is JSON, with the plans of the queries that read figures.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, text

from benchmarks.bench import profiled, say, tell
from ops.stack.stack import open_stack, prepare_database
from sivera.budgets.checking import AT_ONCE, check_part
from sivera.budgets.options import BudgetOptions
from sivera.budgets.projection import HISTORY_DAYS
from sivera.budgets.summary import TEAMS, Checked, CheckSummary
from sivera.database import open_engine
from sivera.values import PlatformName

FIGURES = "campaign_daily_metrics"
ACCOUNTS_A_TEAM = 20

LOAD = (
    """INSERT INTO teams (name) SELECT 'team ' || n FROM generate_series(1, greatest(:accounts / :team, 1)) AS n""",
    """INSERT INTO platform_credentials (team_id, platform, name)
       SELECT id, platform, 'main' FROM teams, unnest(CAST(:platforms AS text[])) AS platform""",
    """INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, timezone, currency, synced_as_of,
                                last_synced_at, last_full_sync_at, created_at)
       SELECT c.team_id, c.id, c.platform, n::text, 'account ' || n,
              (ARRAY['Asia/Seoul', 'America/New_York', 'UTC'])[1 + n % 3], 'USD', now(), now(), now(),
              now() - interval '1 day' * :days
       FROM generate_series(0, :accounts - 1) AS n
       JOIN platform_credentials AS c ON c.id = 1 + n % (SELECT count(*) FROM platform_credentials)""",
    """INSERT INTO sync_parts (account_id, kind, ad_product, covered_since, covered_until)
       SELECT id, 'metrics', '', current_date - :days, current_date + 1 FROM ad_accounts""",
    # On Google and Amazon two of three campaigns share a budget; elsewhere the third has a lifetime budget.
    """INSERT INTO campaigns (account_id, external_id, name, status, native_status, budget_kind, budget_amount,
                              budget_currency, budget_id, start_date, end_date)
       SELECT a.id, a.id || '-' || n, 'campaign ' || n, 'active', 'ON', kind,
              CASE kind WHEN 'lifetime' THEN 100 * :days WHEN 'shared' THEN 200 ELSE 100 END, 'USD',
              CASE kind WHEN 'shared' THEN 'budget-' || a.id END, current_date - :days, current_date + 30
       FROM ad_accounts AS a, generate_series(1, 3) AS n,
            LATERAL (SELECT CASE WHEN n = 1 THEN 'daily' WHEN a.platform IN ('google', 'amazon') THEN 'shared'
                                 WHEN n = 3 THEN 'lifetime' ELSE 'daily' END AS kind) AS of""",
    """INSERT INTO team_budgets (team_id, currency, amount) SELECT id, 'USD', 9000 * :team FROM teams""",
    """ALTER TABLE campaign_daily_metrics DROP CONSTRAINT pk_campaign_daily_metrics""",
    """DROP INDEX ix_campaign_daily_metrics_account_id_day""",
)

# One account in twenty spends a fifth more than it should.
A_DAY = """
    INSERT INTO campaign_daily_metrics (account_id, campaign_id, day, impressions, clicks, spend, conversions,
                                        conversion_value, currency)
    SELECT account_id, external_id, current_date - CAST(:ago AS int), 1000, 50,
           (CASE WHEN account_id % 20 = 0 THEN 110 ELSE 85 END + 10 * random())::numeric(12, 6), 1, 20, 'USD'
    FROM campaigns
"""

KEYS = (
    """ALTER TABLE campaign_daily_metrics
       ADD CONSTRAINT pk_campaign_daily_metrics PRIMARY KEY (account_id, campaign_id, day)""",
    "CREATE INDEX ix_campaign_daily_metrics_account_id_day ON campaign_daily_metrics (account_id, day)",
    "VACUUM (ANALYZE)",
)

FLOOR = """
    SELECT account_id, campaign_id, sum(spend), count(*) FROM (
        SELECT m.account_id, m.campaign_id, m.spend FROM campaigns AS c
        JOIN campaign_daily_metrics AS m ON m.account_id = c.account_id AND m.campaign_id = c.external_id
        WHERE c.account_id = ANY(:ids) AND c.budget_kind = 'lifetime'
        UNION ALL
        SELECT m.account_id, m.campaign_id, m.spend FROM campaigns AS c
        JOIN campaign_daily_metrics AS m ON m.account_id = c.account_id AND m.campaign_id = c.external_id
        WHERE c.account_id = ANY(:ids) AND c.budget_kind <> 'lifetime' AND m.day >= current_date - CAST(:days AS int)
        UNION ALL
        SELECT m.account_id, '', m.spend FROM campaign_daily_metrics AS m
        WHERE m.account_id = ANY(:ids) AND m.day >= current_date - CAST(:days AS int)
    ) AS rows GROUP BY account_id, campaign_id
"""
"""What the checks of the platforms' and of the teams' budgets read."""


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000, help="ad accounts, with three campaigns each")
    parser.add_argument("--days", type=int, default=730, help="days of metrics of each campaign")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often floor and job are measured; the quickest counts"
    )
    parser.add_argument("--profile", type=Path, help="write where this process spends its time to a file")
    options = parser.parse_args()
    # A short folder: PostgreSQL's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="sivera-bench-") as folder, open_stack(Path(folder), say) as stack:
        url = stack.start_postgres()
        prepare_database(url)
        result = Benchmark(url, options.accounts, options.days).run(options.rounds, options.profile)
    tell(result)


class Benchmark:
    """A database with accounts and what they spent."""

    def __init__(self, url: URL, accounts: int, days: int) -> None:
        self.engine = open_engine(url, statement_seconds=0)
        self.accounts, self.days = accounts, days
        self.engine_of_job = open_engine(url)

    def run(self, rounds: int, profile: Path | None) -> dict[str, Any]:
        """Measure the floor and the job by turns; return the figures."""
        self._load()
        first = self._job()
        say(f"first run: {first}")
        floor, job = [], []
        for _ in range(rounds):
            floor.append(self._floor())
            job.append(self._job())
            say(f"floor {floor[-1][0]:.2f} s, job {job[-1]}")
        if profile:
            with profiled(profile):
                self._job()
        quickest, read = min(floor)
        steady = min(job, key=lambda each: float(each["seconds"]))
        return {
            "accounts": self.accounts,
            "days": self.days,
            "rows": self.accounts * 3 * self.days,
            "ratio": round(steady["seconds"] / quickest, 2),
            "floor": {"seconds": round(quickest, 3), "rows": read},
            "first_run": first,
            "steady_run": steady,
            "plans": self._plans(),
        }

    def _load(self) -> None:
        values = {
            "accounts": self.accounts,
            "days": self.days,
            "team": ACCOUNTS_A_TEAM,
            "platforms": [platform.value for platform in PlatformName],
        }
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET maintenance_work_mem = '512MB'"))
            # The rows fit each other: checking every foreign key would take minutes.
            connection.execute(text("SET session_replication_role = replica"))
            for statement in LOAD:
                found = {name: value for name, value in values.items() if f":{name}" in statement}
                connection.execute(text(statement), found)
            for ago in reversed(range(self.days)):
                connection.execute(text(A_DAY), {"ago": ago})
                if ago % 100 == 0:
                    say(f"{self.days - ago} of {self.days} days written")
            for statement in KEYS:
                connection.execute(text(statement))

    def _floor(self) -> tuple[float, int]:
        """Return the seconds, and how many rows were read."""
        begun, rows = time.monotonic(), 0
        with self.engine.begin() as connection:
            ids = list(connection.execute(text("SELECT id FROM ad_accounts ORDER BY id")).scalars())
            for first in range(0, len(ids), AT_ONCE):
                some = ids[first : first + AT_ONCE]
                found = connection.execute(text(FLOOR), {"ids": some, "days": HISTORY_DAYS + 2})
                rows += sum(row[3] for row in found)
        return time.monotonic() - begun, rows

    def _job(self) -> dict[str, Any]:
        options = BudgetOptions()
        begun, cpu, until = time.monotonic(), time.process_time(), time.monotonic() + options.deadline_seconds
        parts: dict[str, Checked] = {}
        seconds = {}
        for part in (*PlatformName, TEAMS):
            started = time.monotonic()
            parts[part] = check_part(self.engine_of_job, options, part, until)
            seconds[part] = round(time.monotonic() - started, 2)
        return {
            "seconds": round(time.monotonic() - begun, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "parts": seconds,
            "sentence": CheckSummary.of(parts).sentence,
        }

    def _plans(self) -> list[dict[str, Any]]:
        """Return how the statements that read figures reached them."""
        with explained(self.engine_of_job) as plans:
            self._job()
        return [node for plan in plans for node in _reads(plan)]


@contextmanager
def explained(engine: Engine) -> Iterator[list[dict[str, Any]]]:
    """Within the context, explain each statement that reads figures before it is run; yield their plans."""
    plans: list[dict[str, Any]] = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if FIGURES in statement and not statement.startswith("EXPLAIN"):
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            plans.append(plan.scalar_one()[0]["Plan"])

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def _reads(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if plan.get("Relation Name") == FIGURES:
        yield {
            "node": plan["Node Type"],
            "index": plan.get("Index Name"),
            "rows": round(plan["Actual Rows"] * plan["Actual Loops"]),
            "thrown_away": plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"],
            "loops": plan["Actual Loops"],
            "ms": round(plan["Actual Total Time"] * plan["Actual Loops"]),
        }
    for child in plan.get("Plans", []):
        yield from _reads(child)


if __name__ == "__main__":
    main()
