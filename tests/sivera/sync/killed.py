"""A process that syncs the one due account and is killed at its n-th step: a call to a platform, or a statement of SQL.

`python -m tests.sivera.sync.killed DATABASE_URL SANDBOX_URL NOW SPOOL STEP` ends by SIGKILL at that step, or in good
order where the sync has fewer. Not a test by itself: `test_kill.py` runs it.
"""

import itertools
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import httpx
from sqlalchemy import event

from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.sandbox.world import World
from sivera.sync.options import SyncMode
from tests.stage import Stage


def main(database_url: str, sandbox: str, now: str, spool: str, last: int) -> None:
    """Sync until the step."""
    steps = itertools.count(1)

    def step(*_: object) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = open_engine(database_url)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, moment, step)
    with httpx.Client(event_hooks={"request": [step], "response": [step]}) as http:
        world = World(now=datetime.fromisoformat(now))
        stage = Stage(world, sandbox, engine, Keyring({"k1": b"A" * 32}, "k1"), http, Path(spool))
        (due,) = stage.due()
        stage.sync(due, SyncMode.FULL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
