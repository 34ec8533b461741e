"""`python -m benchmarks.refresh --grants N --latency-ms 150`: refresh-tokens beside the same work without Prefect.

In one go, against one sandbox and one database: first the floor (the same calls and the same writes in a plain pool of
as many threads), then, with all grants due again, the deployed flow through its worker. The last line is JSON;
`--profile FILE` writes where the floor's threads spend their time.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.bench import Bench, open_bench, profiled, say, tell
from sivera.grants import queries
from sivera.grants.refreshing import DueGrant, RefreshOptions, Result, plan_refresh, renew_due
from sivera.grants.renewal import seal_tokens
from sivera.values import GrantTokens, PlatformName

DEPLOYMENT = "refresh-tokens/all"
THREADS = 10
"""As many as `flows.refresh_tokens.THREADS`, which imports prefect."""
GRANTS_PER_TEAM = 10
ROTATING = (PlatformName.AMAZON,)
DUE = (
    "UPDATE platform_credentials SET expires_at = now() + interval '5 days' WHERE platform = 'meta'",
    "UPDATE platform_credentials SET last_renewed_at = now() - interval '2 days' WHERE expires_at IS NULL",
)
"""Makes the grants due that are not always; those with access tokens of an hour always are."""


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
    with bench.usage() as floor_usage:
        grants, floor_seconds = floor(bench, profile)
    say(f"floor: {grants} grants in {floor_seconds:.1f} s")
    bench.execute(DUE)
    calls_before = sum(bench.control("calls").values())
    with bench.usage() as flow_usage:
        run = bench.run_flow(DEPLOYMENT)
    calls = sum(bench.control("calls").values()) - calls_before
    renewed = _renewed_by(bench, run.id)
    return {
        "grants": grants,
        "latency_ms": latency_ms,
        "threads": bench.threads,
        "floor_per_s": round(grants / floor_seconds, 1),
        "flow_per_s": round(renewed / run.seconds, 1),
        "ratio": round((grants / floor_seconds) / (renewed / run.seconds), 2),
        "renewed": renewed,
        "calls": calls,
        "flow_seconds": round(run.seconds, 1),
        "recorded": bench.recorded(run),
        "message": run.message,
        "floor": floor_usage.figures(),
        "flow": flow_usage.figures(),
    }


def make_grants(bench: Bench, grants: int) -> None:
    """Store grants of the sandbox, spread over the platforms, without their ad accounts."""
    for rank, platform in enumerate(PlatformName):
        with Session(bench.engine) as session, session.begin():
            for n in range(grants // 4 + (rank < grants % 4)):
                given = bench.control("add_grant", platform=platform.value, accounts=0, rotates=platform in ROTATING)
                team_id = queries.ensure_team(session, f"Team {n // GRANTS_PER_TEAM + 1}")
                row = queries.ensure_credential(session, team_id, platform.value, str(given["grant_id"]))
                tokens = GrantTokens.model_validate({name: given[name] or None for name in GrantTokens.model_fields})
                sealed = seal_tokens(bench.keyring, row.id, tokens)
                queries.replace_tokens(session, row, sealed, tokens.expires_in)


def floor(bench: Bench, profile: Path | None) -> tuple[int, float]:
    """Do the same calls and writes in a pool of threads. Return the number of grants, and the seconds."""
    with bench.clients() as clients:

        def renew(grant: DueGrant) -> Result:
            return renew_due(bench.source(clients[grant.platform], grant.id), grant)

        if profile:
            with profiled(profile):
                for grant in _due(bench)[:200]:
                    renew(grant)
            bench.execute(DUE)
        due = _due(bench)
        begun = time.monotonic()
        with ThreadPoolExecutor(bench.threads) as pool:
            results = list(pool.map(renew, due))
        seconds = time.monotonic() - begun
    assert set(results) == {Result.RENEWED}
    return len(due), seconds


def _due(bench: Bench) -> tuple[DueGrant, ...]:
    with Session(bench.engine) as session:
        return plan_refresh(session, RefreshOptions())


def _renewed_by(bench: Bench, run_id: str) -> int:
    renewed = "SELECT count(DISTINCT credential_id) FROM token_refresh_logs WHERE run_id = :run AND outcome = 'renewed'"
    with bench.engine.connect() as connection:
        return int(connection.execute(text(renewed), {"run": run_id}).scalar_one())


if __name__ == "__main__":
    main()
