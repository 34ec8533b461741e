"""`python -m benchmarks.reports --teams N`: generate-reports beside the same work without Prefect.

It is past 01:00 for all teams at once, on one database. First the job's own code runs in a plain pool with the same
number of threads: that is the floor. Then every report is due again, and the deployed flow runs through its worker.
The last line is JSON.
"""

import argparse
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.bench import Bench, open_bench, say, tell
from sivera.clock import read_clock
from sivera.private_files import PrivateFileSystem
from sivera.reports.options import ReportOptions
from sivera.reports.writing import ReportDependencies, plan_reports, revise_reports, write_reports

DEPLOYMENT = "generate-reports/all"
THREADS = 8
"""The same number as `flows.generate_reports.THREADS`; that module imports prefect."""
DAYS = 40
ONE_DAY = ReportOptions(make_up_days=0)

LOAD = (
    "SET LOCAL statement_timeout = 0",
    """INSERT INTO teams (name, language)
       SELECT 'Team ' || n, CASE n % 2 WHEN 0 THEN 'ko' ELSE 'en' END FROM generate_series(1, :teams) AS n""",
    "INSERT INTO platform_credentials (team_id, platform, name) SELECT id, 'google', 'main' FROM teams",
    """INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, timezone, currency, synced_as_of)
       SELECT team_id, id, (ARRAY['google', 'meta', 'amazon', 'tiktok'])[n % 4 + 1], n::text, 'Account ' || n, 'UTC',
              'USD', now() + interval '2 days'
       FROM platform_credentials, generate_series(0, :accounts - 1) AS n""",
    """INSERT INTO sync_parts (account_id, kind, ad_product, covered_since, covered_until)
       SELECT id, 'metrics', '', current_date - :days, current_date + 2 FROM ad_accounts""",
    """INSERT INTO campaigns (account_id, external_id, name, status, native_status, budget_kind, budget_currency)
       SELECT id, n::text, 'Campaign ' || n, 'active', 'ENABLED', 'daily', 'USD'
       FROM ad_accounts, generate_series(1, :campaigns) AS n""",
    """INSERT INTO campaign_daily_metrics (account_id, campaign_id, day, impressions, clicks, spend, conversions,
                                           conversion_value, currency)
       SELECT account_id, external_id, day, random() * 10000, random() * 100, (random() * 1000)::numeric(12, 6),
              (random() * 10)::numeric(6, 3), (random() * 100)::numeric(8, 3), 'USD'
       FROM campaigns, generate_series(current_date - :days, current_date, interval '1 day') AS day""",
    "ANALYZE",
)

DUE_AGAIN = ("TRUNCATE reports", "UPDATE teams SET reports_restated_through = NULL")


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--teams", type=int, default=1000, help="teams whose report is due at the same moment")
    parser.add_argument("--accounts", type=int, default=2, help="ad accounts per team")
    parser.add_argument("--campaigns", type=int, default=10, help="campaigns per ad account")
    options = parser.parse_args()
    sizes = {"teams": options.teams, "accounts": options.accounts, "campaigns": options.campaigns, "days": DAYS}
    with open_bench(THREADS) as bench, tempfile.TemporaryDirectory(prefix="sivera-reports-") as folder:
        say(f"writing figures of {options.teams} teams")
        load(bench, sizes)
        bench.deploy()
        tell({**sizes, **measure(bench, Path(folder))})


def load(bench: Bench, sizes: dict[str, int]) -> None:
    """Fill the database."""
    with bench.engine.begin() as connection:
        for statement in LOAD:
            connection.execute(text(statement), {name: n for name, n in sizes.items() if f":{name}" in statement})


def measure(bench: Bench, folder: Path) -> dict[str, Any]:
    """Measure the job's code without Prefect, then the flow; return the figures."""
    with bench.usage() as floor_usage:
        written, compared = floor(bench, folder / "floor")
    say(f"floor: {written:.1f} s, and {compared:.1f} s to compare")
    bench.execute(DUE_AGAIN)
    keep_in(folder / "flow")
    with bench.usage() as flow_usage:
        flow = bench.run_flow(DEPLOYMENT, {"options": ONE_DAY.model_dump(mode="json")})
    say(f"{flow.message} in {flow.seconds:.1f} s")
    pages = list((folder / "flow").glob("**/*.html"))
    return {
        "threads": THREADS,
        "floor_s": round(written + compared, 1),
        "floor_of_which_compared_s": round(compared, 1),
        "flow_s": round(flow.seconds, 1),
        "written": len(pages),
        "flow_per_s": round(len(pages) / flow.seconds, 1),
        "ratio": round(flow.seconds / (written + compared), 2),
        "page_kib": max(page.stat().st_size for page in pages) // 1024,
        "message": flow.message,
        "floor": floor_usage.figures(),
        "flow": flow_usage.figures(),
    }


def floor(bench: Bench, folder: Path) -> tuple[float, float]:
    """Write and compare every report in a plain pool; return the seconds of each."""
    deps = ReportDependencies(bench.engine, DirFileSystem(path=str(folder), fs=PrivateFileSystem()))
    with Session(bench.engine) as session:
        plan = plan_reports(session, ONE_DAY, read_clock(session))
    with ThreadPoolExecutor(THREADS) as pool:
        begun = time.monotonic()
        written = list(pool.map(lambda team: write_reports(deps, team, math.inf), plan.lacking))
        compared = time.monotonic()
        revised = list(pool.map(lambda team: revise_reports(deps, team, math.inf), plan.restating))
        ended = time.monotonic()
    assert all(len(team.reports) == 1 for team in written)
    assert not any(team.revised for team in revised)
    return compared - begun, ended - compared


def keep_in(folder: Path) -> None:
    """Point the reports block at a folder."""
    from blocks.names import REPORTS  # noqa: PLC0415 - imports prefect, after its settings are made
    from blocks.storage import Storage  # noqa: PLC0415

    Storage(url=f"file://{folder}").save(REPORTS, overwrite=True)


if __name__ == "__main__":
    main()
