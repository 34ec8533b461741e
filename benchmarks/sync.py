"""`python -m benchmarks.sync --accounts N --latency-ms 150`: sync-campaigns beside the same work without Prefect.

It uses one sandbox and one database. First it measures the floor: the same fetches and writes in a plain pool of as
many threads. Then it empties the database, and the worker runs the deployed flow. The last line is JSON.
"""

import argparse
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from benchmarks.bench import Bench, FlowRun, open_bench, say, tell
from sivera.clock import utc_now
from sivera.grants.connecting import connect
from sivera.sync.account import SyncDependencies, sync_account
from sivera.sync.plan import SyncMode, SyncOptions, plan_sync
from sivera.sync.queries import read_summary
from sivera.sync.summary import Outcome
from sivera.values import PlatformName

DEPLOYMENT = "sync-campaigns/all"
THREADS = 32
"""The same as `tasks.resources.THREADS`, which imports prefect."""
ACCOUNTS_PER_GRANT = 100
LOOKBACK_DAYS = 3
"""What an hourly sync reads. By default a first sync reads all days that may still change."""
EMPTY = (
    "TRUNCATE campaigns, campaign_daily_metrics, account_daily_totals, report_requests, sync_parts, sync_runs",
    "UPDATE ad_accounts SET synced_as_of = NULL, last_synced_at = NULL",
)


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--accounts", type=int, default=500, help="ad accounts, spread over the four platforms")
    parser.add_argument("--latency-ms", type=float, default=150, help="milliseconds before each answer of a platform")
    parser.add_argument("--campaigns", type=int, default=8, help="campaigns per ad account")
    parser.add_argument("--profile", type=Path, help="write a profile of the floor's first 200 accounts to this file")
    options = parser.parse_args()
    with open_bench(THREADS) as bench:
        say(f"connecting {options.accounts} accounts")
        connect_accounts(bench, options.accounts, options.campaigns)
        bench.deploy()
        tell(measure(bench, options.latency_ms, options.profile))


def measure(bench: Bench, latency_ms: float, profile: Path | None) -> dict[str, Any]:
    """Measure the floor, then the flow; return the figures."""
    bench.control("set_latency", seconds=latency_ms / 1000)

    def reset() -> None:
        bench.execute(EMPTY)
        # Otherwise Amazon would name the floor's reports, and the flow would check whether each is the same.
        bench.control("forget_reports")

    figures = bench.compare(
        "accounts",
        "synced",
        floor=lambda: floor(bench, profile),
        reset=reset,
        flow=lambda: bench.run_flow(DEPLOYMENT, {"options": {"lookback_days": LOOKBACK_DAYS}}),
        count_done=lambda run: _synced_by(bench, run),
    )
    return {"latency_ms": latency_ms, **figures}


def connect_accounts(bench: Bench, accounts: int, campaigns: int) -> None:
    """Connect accounts, a hundred for each grant, spread over the platforms."""
    with bench.clients() as clients:
        for rank, platform in enumerate(PlatformName):
            count = accounts // 4 + (rank < accounts % 4)
            for first in range(0, count, ACCOUNTS_PER_GRANT):
                here = min(ACCOUNTS_PER_GRANT, count - first)
                _, tokens = bench.add_grant(platform, accounts=here, campaigns=campaigns)
                team = f"Team {first // ACCOUNTS_PER_GRANT + 1}"
                connect(bench.engine, bench.keyring, clients[platform], team=team, tokens=tokens)


def floor(bench: Bench, profile: Path | None) -> tuple[int, float]:
    """Sync all accounts in a pool of threads. Return their number, and the seconds."""
    with bench.clients() as clients:
        tokens = cache(lambda platform, id_: bench.source(clients[platform], id_))
        deps = SyncDependencies(bench.engine, clients.__getitem__, tokens)
        sync = partial(sync_account, deps, mode=SyncMode.INCREMENTAL, lookback_days=LOOKBACK_DAYS)
        with Session(bench.engine) as session:
            due = plan_sync(session, SyncOptions(), utc_now()).due
        results, seconds = bench.in_pool(sync, lambda: due, lambda: bench.execute(EMPTY), profile)
    assert all(result.outcome is Outcome.SYNCED for result in results)
    return len(results), seconds


def _synced_by(bench: Bench, run: FlowRun) -> int:
    with Session(bench.engine) as session:
        summary = read_summary(session, UUID(run.id))
    return summary.synced if summary else 0


if __name__ == "__main__":
    main()
