"""What the processes of `test_kill.py` and `test_processes.py` do; not a test by itself."""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import httpx
from sqlalchemy import event
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.grants.refreshing import RefreshOptions, plan_refresh, renew_due
from sivera.platforms.base import new_http_client
from sivera.values import PlatformName
from tests.stage import Stage

KEY = b"A" * 32


@contextmanager
def open_stage(database_url: str, sandbox: str, spool: str, now: str, pool_size: int) -> Iterator[Stage]:
    """A stage of this process's own, on a sandbox that another one serves."""
    world = World(now=datetime.fromisoformat(now))
    engine = open_engine(database_url, pool_size=pool_size)
    with new_http_client() as http:
        yield Stage(world, sandbox, engine, Keyring({"k1": KEY}, "k1"), http, Path(spool))
    engine.dispose()


def renew_and_die(
    database_url: str, sandbox: str, spool: str, now: str, platform: PlatformName, credential_id: int, last: int
) -> None:
    """Renew a grant until the n-th step, and be killed there.

    Steps are before and after each statement and commit of SQL, each thing that the HTTP connection does (begin to
    connect, to send, to receive, and the end of each), and before each thing that the spool does to its folder.
    """
    steps = itertools.count(1)

    def step(*_: object) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        if name in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(spool):
            step()

    def trace(request: httpx.Request) -> None:
        request.extensions["trace"] = step

    with open_stage(database_url, sandbox, spool, now, pool_size=2) as stage:
        for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(stage.engine, moment, step)
        event.listen(Session, "after_commit", step)
        stage.http.event_hooks = {"request": [trace], "response": [step]}
        sys.addaudithook(audit)
        stage.tokens(platform, credential_id).current()


def renew_all(database_url: str, sandbox: str, spool: str, now: str, threads: int, planned: Barrier) -> None:
    """Renew every grant that is due, as a run of refresh-tokens without Prefect, once all have planned."""
    with open_stage(database_url, sandbox, spool, now, pool_size=threads) as stage:
        with Session(stage.engine) as session:
            due = plan_refresh(session, RefreshOptions()).due
        planned.wait(200)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda grant: renew_due(stage.tokens(grant.platform, grant.id), grant), due))
