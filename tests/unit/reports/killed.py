"""Processes that write a team's reports and are killed at their n-th step that writes: into a file or the database.

`python -m tests.unit.reports.killed DATABASE_URL FOLDER NOW` reads the steps, a line each. For each it forks
a process that ends by SIGKILL at that step, or in good order where it has fewer, and prints how that ended. Not a test
by itself: `test_writing.py` runs it.
"""

import itertools
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import altair as alt  # noqa: F401 - what draws, which each process would import anew, for half of its time
from sqlalchemy import event

from sivera.database import open_engine
from tests.unit.reports.books import Books


def main(database_url: str, folder: str, now: str) -> None:
    """Fork a process for each step that is asked for."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            write(database_url, folder, now, int(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def write(database_url: str, folder: str, now: str, last: int) -> None:
    """Write until the step."""
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
    for moment in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(engine, moment, statement)
    event.listen(engine, "commit", step)
    sys.addaudithook(audit)
    Books(engine, Path(folder), datetime.fromisoformat(now)).run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
