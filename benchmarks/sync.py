"""`python -m benchmarks.sync --accounts N --latency-ms 150`: sync-campaigns beside the same work without Prefect.

In one go, against one sandbox and one database: first the floor (the same fetches and the same writes in a plain pool
of as many threads), then, over a database that is emptied again, the deployed flow through its worker. The last line is
JSON; `--profile FILE` writes where the floor's threads spend their time.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from benchmarks.bench import Bench, open_bench, profiled, say, tell
from sivera.clock import utc_now
from sivera.grants.connecting import connect
from sivera.sync.account import SyncDependencies, sync_account
from sivera.sync.plan import SyncMode, SyncOptions, plan_sync
from sivera.sync.queries import read_summary
from sivera.sync.summary import Outcome
from sivera.values import GrantTokens, PlatformName

DEPLOYMENT = "sync-campaigns/all"
THREADS = 32
"""The same as `tasks.resources.THREADS`, which imports prefect."""
ACCOUNTS_PER_GRANT = 100
LOOKBACK_DAYS = 3
"""What an hourly sync reads; without it a first one reads all days that may still change."""
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
    with bench.usage() as floor_usage:
        accounts, floor_seconds = floor(bench, profile)
    say(f"floor: {accounts} accounts in {floor_seconds:.1f} s")
    bench.execute(EMPTY)
    # Amazon would name the floor's reports, and the flow would ask for each whether it is the same.
    bench.control("forget_reports")
    with bench.usage() as flow_usage:
        run = bench.run_flow(DEPLOYMENT, {"options": {"lookback_days": LOOKBACK_DAYS}})
    with Session(bench.engine) as session:
        summary = read_summary(session, UUID(run.id))
    synced = summary.synced if summary else 0
    return {
        "accounts": accounts,
        "latency_ms": latency_ms,
        "threads": bench.threads,
        "floor_per_s": round(accounts / floor_seconds, 1),
        "flow_per_s": round(synced / run.seconds, 1),
        "ratio": round((accounts / floor_seconds) / (synced / run.seconds), 2),
        "synced": synced,
        "flow_seconds": round(run.seconds, 1),
        "recorded": bench.recorded(run),
        "message": run.message,
        "floor": floor_usage.figures(),
        "flow": flow_usage.figures(),
    }


def connect_accounts(bench: Bench, accounts: int, campaigns: int) -> None:
    """Connect accounts, a hundred in each grant, spread over the platforms."""
    per_platform = {p: accounts // 4 + (rank < accounts % 4) for rank, p in enumerate(PlatformName)}
    with bench.clients() as clients:
        for platform, count in per_platform.items():
            for first in range(0, count, ACCOUNTS_PER_GRANT):
                tokens = bench.control(
                    "add_grant",
                    platform=platform.value,
                    accounts=min(ACCOUNTS_PER_GRANT, count - first),
                    campaigns=campaigns,
                )
                connect(
                    bench.engine,
                    bench.keyring,
                    clients[platform],
                    team=f"Team {first // ACCOUNTS_PER_GRANT + 1}",
                    tokens=GrantTokens.model_validate(
                        {name: tokens[name] or None for name in GrantTokens.model_fields}
                    ),
                )


def floor(bench: Bench, profile: Path | None) -> tuple[int, float]:
    """Do the same fetches and writes in a pool of threads. Return the number of accounts, and the seconds."""
    with bench.clients() as clients:
        tokens = cache(lambda platform, id_: bench.source(clients[platform], id_))
        deps = SyncDependencies(bench.engine, clients.__getitem__, tokens)
        with Session(bench.engine) as session:
            due = plan_sync(session, SyncOptions(), utc_now()).due
        if profile:
            with profiled(profile):
                for account in due[:200]:
                    sync_account(deps, account, SyncMode.INCREMENTAL, LOOKBACK_DAYS)
            bench.execute(EMPTY)
        begun = time.monotonic()
        with ThreadPoolExecutor(bench.threads) as pool:
            sync = partial(sync_account, deps, mode=SyncMode.INCREMENTAL, lookback_days=LOOKBACK_DAYS)
            results = list(pool.map(sync, due))
        seconds = time.monotonic() - begun
    assert all(result.outcome is Outcome.SYNCED for result in results)
    return len(due), seconds


if __name__ == "__main__":
    main()
