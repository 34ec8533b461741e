"""`python -m benchmarks.reports --teams N`: generate-reports, the same work without Prefect, and the bare files.

It is past 01:00 for all teams at once, on one database. First the job's own code runs in a plain pool with the same
number of threads: that is the floor. Then a plain loop queries each team's rows and writes files of the same size.
Then every report is due again, and the deployed flow runs through its worker. The last line is JSON.
`--profile FILE` writes where the time of the first 100 reports goes.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.bench import Bench, open_bench, profiled, say, tell
from sivera.clock import utc_now
from sivera.files import PrivateFileSystem
from sivera.reports.options import ReportOptions
from sivera.reports.summary import ReportPlan
from sivera.reports.writing import COMPARED_DAYS, ReportDependencies, plan_reports, revise_reports, write_reports

DEPLOYMENT = "generate-reports/all"
THREADS = 8
"""The same number as `flows.generate_reports.THREADS`; that module imports prefect."""
DAYS = 40
ONE_DAY = ReportOptions(make_up_days=0)
PROFILED = 100

LOAD = (
    "SET LOCAL statement_timeout = 0",
    """INSERT INTO teams (name, language)
       SELECT 'Team ' || n, CASE n % 2 WHEN 0 THEN 'ko' ELSE 'en' END FROM generate_series(1, :teams) AS n""",
    "INSERT INTO platform_credentials (team_id, platform, name) SELECT id, 'google', 'main' FROM teams",
    """INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, timezone, currency, synced_as_of)
       SELECT team_id, id, (ARRAY['google', 'meta', 'amazon', 'tiktok'])[n % 4 + 1], n::text, 'Account ' || n, 'UTC',
              'USD', now() + interval '2 days'
       FROM platform_credentials, generate_series(0, :accounts - 1) AS n""",
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

ROWS = text(
    """SELECT day, account_id, campaign_id, impressions, clicks, spend, conversions, conversion_value, m.currency
       FROM campaign_daily_metrics AS m JOIN ad_accounts ON id = account_id WHERE team_id = :team AND day > :since"""
)


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--teams", type=int, default=1000, help="teams whose report is due at the same moment")
    parser.add_argument("--accounts", type=int, default=2, help="ad accounts per team")
    parser.add_argument("--campaigns", type=int, default=10, help="campaigns per ad account")
    parser.add_argument("--profile", type=Path, help=f"write a profile of the first {PROFILED} reports to this file")
    options = parser.parse_args()
    sizes = {"teams": options.teams, "accounts": options.accounts, "campaigns": options.campaigns, "days": DAYS}
    with open_bench(THREADS) as bench, tempfile.TemporaryDirectory(prefix="sivera-reports-") as folder:
        say(f"writing figures of {options.teams} teams")
        load(bench, sizes)
        bench.deploy()
        tell({**sizes, **Benchmark(bench, Path(folder)).run(options.profile)})


def load(bench: Bench, sizes: dict[str, int]) -> None:
    """Fill the database."""
    with bench.engine.begin() as connection:
        for statement in LOAD:
            connection.execute(text(statement), {name: n for name, n in sizes.items() if f":{name}" in statement})


class Benchmark:
    """A database of teams whose reports are due, and a folder for them.

    Args:
        bench: The stack, its jobs deployed.
        folder: The folder.
    """

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder

    def run(self, profile: Path | None) -> dict[str, Any]:
        """Measure the job's code, the bare files and the flow; return the figures."""
        if profile:
            self._profile(profile)
        with self.bench.usage() as floor_usage:
            floor, restated = self._floor()
        bare = self._bare()
        say(f"floor: {floor:.1f} s, and {restated:.1f} s to compare; bare: {bare:.1f} s")
        self.bench.execute(DUE_AGAIN)
        self._keep_in(self.folder / "flow")
        with self.bench.usage() as flow_usage:
            flow = self.bench.run_flow(DEPLOYMENT, {"options": ONE_DAY.model_dump(mode="json")})
        say(f"{flow.message} in {flow.seconds:.1f} s")
        written = len(list(self.folder.glob("flow/**/*.html")))
        return {
            "threads": THREADS,
            "floor_s": round(floor + restated, 1),
            "floor_of_which_compared_s": round(restated, 1),
            "bare_s": round(bare, 1),
            "flow_s": round(flow.seconds, 1),
            "written": written,
            "flow_per_s": round(written / flow.seconds, 1),
            "ratio": round(flow.seconds / (floor + restated), 2),
            "ratio_to_bare": round(flow.seconds / bare, 2),
            "page_kib": self._page_kib(),
            "message": flow.message,
            "floor": floor_usage.figures(),
            "flow": flow_usage.figures(),
        }

    def _floor(self) -> tuple[float, float]:
        deps, plan = self._deps("floor"), self._plan()
        with ThreadPoolExecutor(THREADS) as pool:
            begun = time.monotonic()
            written = list(pool.map(lambda team: write_reports(deps, team, math.inf), plan.lacking))
            compared = time.monotonic()
            revised = list(pool.map(lambda team: revise_reports(deps, team, math.inf), plan.restating))
            ended = time.monotonic()
        assert all(len(team.reports) == 1 for team in written)
        assert not any(team.revised for team in revised)
        return compared - begun, ended - compared

    def _bare(self) -> float:
        """Time a plain loop that reads each team's rows and writes its files."""
        files = [path.read_bytes() for path in sorted(self.folder.glob("floor/**/*.*")) if path.is_file()]
        place = self.folder / "bare"
        place.mkdir()
        teams = self._plan(ReportOptions(make_up_days=0, check_restated=True)).due
        begun = time.monotonic()
        with self.bench.engine.connect() as connection:
            for n, team in enumerate(teams):
                connection.execute(ROWS, {"team": team.id, "since": team.latest - timedelta(days=COMPARED_DAYS)}).all()
                for at in (2 * n, 2 * n + 1):
                    (place / str(at)).write_bytes(files[at])
        return time.monotonic() - begun

    def _profile(self, file: Path) -> None:
        deps, teams = self._deps("profile"), self._plan().lacking[:PROFILED]
        write_reports(deps, teams[0], math.inf)  # the first chart loads what draws it
        with profiled(file):
            for team in teams:
                write_reports(deps, team, math.inf)
                revise_reports(deps, team, math.inf)
        self.bench.execute(DUE_AGAIN)

    def _deps(self, name: str) -> ReportDependencies:
        return ReportDependencies(
            self.bench.engine, DirFileSystem(path=str(self.folder / name), fs=PrivateFileSystem())
        )

    def _plan(self, options: ReportOptions = ONE_DAY) -> ReportPlan:
        with Session(self.bench.engine) as session:
            return plan_reports(session, options, utc_now())

    def _page_kib(self) -> int:
        pages: Iterable[Path] = self.folder.glob("flow/**/*.html")
        return max((path.stat().st_size for path in pages), default=0) // 1024

    def _keep_in(self, folder: Path) -> None:
        from blocks.names import REPORTS  # noqa: PLC0415 - imports prefect, after its settings are made
        from blocks.storage import Storage  # noqa: PLC0415

        Storage(url=f"file://{folder}").save(REPORTS, overwrite=True)


if __name__ == "__main__":
    main()
