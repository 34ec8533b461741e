"""`python -m sandbox --port 4400 --grants 3 --accounts 4`: the sandbox as a process of its own."""

import argparse

from sandbox.server import run
from sandbox.world import World
from sivera.values import PlatformName


def main() -> None:
    """Build a world with `--grants` grants for each platform and `--accounts` ad accounts for each grant; serve it."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="loopback port to serve on")
    parser.add_argument("--seed", type=int, default=1, help="two sandboxes of one seed hold the same")
    parser.add_argument("--grants", type=int, default=3, help="grants per platform")
    parser.add_argument("--accounts", type=int, default=4, help="ad accounts per grant")
    parser.add_argument("--campaigns", type=int, default=8, help="campaigns per ad account")
    parser.add_argument("--latency-ms", type=float, default=0, help="milliseconds before each answer")
    options = parser.parse_args()
    world = World(seed=options.seed)
    world.faults.latency_seconds = options.latency_ms / 1000
    for platform in PlatformName:
        for _ in range(options.grants):
            world.add_grant(platform, options.accounts, options.campaigns)
    run(world, options.port)


if __name__ == "__main__":
    main()
