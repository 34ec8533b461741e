"""`python -m benchmarks.refresh --grants N --latency-ms 150`: refresh-tokens beside the same work without Prefect.

It uses one sandbox and one database. First it measures the floor: the same calls and writes in a plain pool of as many
threads. Then it makes all grants due again, and the worker runs the deployed flow. The last line is JSON.
"""

import argparse
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.bench import Bench, FlowRun, open_bench, say, tell
from sivera.grants import queries
from sivera.grants.refreshing import DueGrant, RefreshOptions, Result, plan_refresh, renew_due
from sivera.grants.renewal import seal_tokens
from sivera.values import PlatformName

DEPLOYMENT = "refresh-tokens/all"
THREADS = 10
"""The same as `flows.refresh_tokens.THREADS`, which imports prefect."""
GRANTS_PER_TEAM = 10
ROTATING = (PlatformName.AMAZON,)
DUE = (
    "UPDATE platform_credentials SET expires_at = now() + interval '5 days' WHERE platform = 'meta'",
    "UPDATE platform_credentials SET last_renewed_at = now() - interval '2 days' WHERE expires_at IS NULL",
)
"""Makes all grants due; those with access tokens of an hour always are."""


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refresh", description=__doc__)
    parser.add_argument("--grants", type=int, default=500, help="due grants, spread over the four platforms")
    parser.add_argument("--latency-ms", type=float, default=150, help="milliseconds before each answer of a platform")
    parser.add_argument("--threads", type=int, default=THREADS, help="threads of the floor")
    parser.add_argument("--profile", type=Path, help="write a profile of the floor's first 200 grants to this file")
    options = parser.parse_args()
    with open_bench(options.threads) as bench:
        say(f"making {options.grants} grants")
        make_grants(bench, options.grants)
        bench.deploy()
        tell(measure(bench, options.latency_ms, options.profile))


def measure(bench: Bench, latency_ms: float, profile: Path | None) -> dict[str, Any]:
    """Measure the floor, then the flow; return the figures."""
    bench.control("set_latency", seconds=latency_ms / 1000)
    bench.execute(DUE)
    figures = bench.compare(
        "grants",
        "renewed",
        floor=lambda: floor(bench, profile),
        reset=lambda: bench.execute(DUE),
        flow=lambda: bench.run_flow(DEPLOYMENT),
        count_done=lambda run: _renewed_by(bench, run),
    )
    return {"latency_ms": latency_ms, **figures}


def make_grants(bench: Bench, grants: int) -> None:
    """Store grants of the sandbox, spread over the platforms, without ad accounts."""
    for rank, platform in enumerate(PlatformName):
        with Session(bench.engine) as session, session.begin():
            for n in range(grants // 4 + (rank < grants % 4)):
                grant_id, tokens = bench.add_grant(platform, accounts=0, rotates=platform in ROTATING)
                team_id = queries.ensure_team(session, f"Team {n // GRANTS_PER_TEAM + 1}")
                row = queries.ensure_credential(session, team_id, platform.value, str(grant_id))
                sealed = seal_tokens(bench.keyring, row.id, tokens)
                queries.replace_tokens(session, row, sealed, tokens.expires_in)


def floor(bench: Bench, profile: Path | None) -> tuple[int, float]:
    """Renew all grants in a pool of threads. Return their number, and the seconds."""
    with bench.clients() as clients:

        def renew(grant: DueGrant) -> Result:
            return renew_due(bench.source(clients[grant.platform], grant.id), grant)

        results, seconds = bench.in_pool(renew, lambda: _due(bench), lambda: bench.execute(DUE), profile)
    assert set(results) == {Result.RENEWED}
    return len(results), seconds


def _due(bench: Bench) -> tuple[DueGrant, ...]:
    with Session(bench.engine) as session:
        return plan_refresh(session, RefreshOptions())


def _renewed_by(bench: Bench, run: FlowRun) -> int:
    renewed = "SELECT count(DISTINCT credential_id) FROM token_refresh_logs WHERE run_id = :run AND outcome = 'renewed'"
    with bench.engine.connect() as connection:
        return int(connection.execute(text(renewed), {"run": run.id}).scalar_one())


if __name__ == "__main__":
    main()
