"""`python -m benchmarks.budgets --accounts N --days N`: check-budgets beside one plain aggregate of the same rows.

It fills a PostgreSQL with default settings: accounts of all four platforms with three campaigns each, and a row for
each campaign and day, in the order in which syncs write them. The floor adds up the same rows in chunks of the same
size, and judges nothing. The job's own code runs without Prefect: the first run opens the alerts, and later runs find
nothing new. The last line is JSON.
"""

import argparse
import time
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.bench import alone, load, open_database, say, tell
from sivera.budgets.checking import AT_ONCE, check_part
from sivera.budgets.options import BudgetOptions
from sivera.budgets.projection import HISTORY_DAYS
from sivera.budgets.summary import TEAMS, Checked, CheckSummary
from sivera.database import open_engine
from sivera.values import PlatformName

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
"""The rows that the checks of platform and team budgets read."""


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000, help="ad accounts, with three campaigns each")
    parser.add_argument("--days", type=int, default=730, help="days of metrics of each campaign")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each; the fastest counts")
    options = parser.parse_args()
    with open_database() as (url, _):
        engine = open_engine(url)
        fill(engine, options.accounts, options.days)
        first = run_job(engine)
        say(f"first run: {first}")
        measured = [(run_floor(engine), run_job(engine)) for _ in range(options.rounds)]
        engine.dispose()
    seconds, rows = min(floor for floor, _ in measured)
    steady = min((job for _, job in measured), key=lambda job: float(job["seconds"]))
    tell(
        {
            "accounts": options.accounts,
            "days": options.days,
            "rows": options.accounts * 3 * options.days,
            "ratio": round(steady["seconds"] / seconds, 2),
            "floor": {"seconds": round(seconds, 3), "rows": rows},
            "first_run": first,
            "steady_run": steady,
        }
    )


def fill(engine: Engine, accounts: int, days: int) -> None:
    """Write the accounts, and their spend day by day."""
    with alone(engine) as connection:
        load(connection, LOAD, accounts=accounts, days=days, team=ACCOUNTS_A_TEAM, platforms=list(PlatformName))
        for ago in reversed(range(days)):
            load(connection, [A_DAY], ago=ago)
            if ago % 100 == 0:
                say(f"{days - ago} of {days} days written")
        load(connection, KEYS)


def run_floor(engine: Engine) -> tuple[float, int]:
    """Return the seconds, and the number of rows read."""
    start, rows = time.monotonic(), 0
    with alone(engine) as connection:
        ids = list(connection.execute(text("SELECT id FROM ad_accounts ORDER BY id")).scalars())
        for first in range(0, len(ids), AT_ONCE):
            chunk = ids[first : first + AT_ONCE]
            found = connection.execute(text(FLOOR), {"ids": chunk, "days": HISTORY_DAYS + 2})
            rows += sum(row[3] for row in found)
    return time.monotonic() - start, rows


def run_job(engine: Engine) -> dict[str, Any]:
    """Check all budgets; return the figures."""
    options, start, cpu = BudgetOptions(), time.monotonic(), time.process_time()
    parts: dict[str, Checked] = {}
    seconds = {}
    for part in (*PlatformName, TEAMS):
        before = time.monotonic()
        parts[part] = check_part(engine, options, part, start + options.deadline_seconds)
        seconds[part] = round(time.monotonic() - before, 2)
    return {
        "seconds": round(time.monotonic() - start, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "parts": seconds,
        "sentence": CheckSummary.of(parts).sentence,
    }


if __name__ == "__main__":
    main()
