"""What the process of `test_kill.py` does; not a test by itself."""

import itertools
import os
import signal
from datetime import datetime
from pathlib import Path

from sqlalchemy import event

from sandbox.world import World
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.platforms.base import new_http_client
from sivera.sync.plan import SyncMode
from tests.stage import Stage


def sync_and_die(database_url: str, sandbox: str, now: str, spool: str, last: int) -> None:
    """Sync the one due account, and be killed at the n-th step: a call to a platform, or a statement of SQL."""
    steps = itertools.count(1)

    def step(*_: object) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = open_engine(database_url)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, moment, step)
    with new_http_client() as http:
        http.event_hooks = {"request": [step], "response": [step]}
        world = World(now=datetime.fromisoformat(now))
        stage = Stage(world, sandbox, engine, Keyring({"k1": b"A" * 32}, "k1"), http, Path(spool))
        (due,) = stage.due()
        stage.sync(due, SyncMode.FULL)
