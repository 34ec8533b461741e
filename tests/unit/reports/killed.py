"""The process of a test that is killed at its n-th write; not a test by itself."""

import itertools
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from sqlalchemy import event

from sivera.database import open_engine
from tests.unit.reports.books import Books


def write_and_die(database_url: str, folder: str, now: str, last: int) -> None:
    """Run, and be killed by SIGKILL at the n-th step that writes into a file or the database."""
    steps = itertools.count(1)

    def step(*_: object) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        if name in ("open", "os.rename", "shutil.move") and str(arguments[0]).startswith(folder):
            step()

    def statement(*arguments: object) -> None:
        if str(arguments[2]).startswith("INSERT"):
            step()

    engine = open_engine(database_url)
    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", step)
    sys.addaudithook(audit)
    Books(engine, Path(folder), datetime.fromisoformat(now)).run(make_up_days=0)
