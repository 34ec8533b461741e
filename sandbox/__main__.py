"""`python -m sandbox PORT` runs an empty sandbox; `/control/add_grant` fills it."""

import sys

from sandbox.server import run
from sandbox.world import World

if __name__ == "__main__":
    run(World(), int(sys.argv[1]))
