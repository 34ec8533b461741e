"""Output of commands, for a person at a terminal or for the next program in a pipe."""

import json as json_format
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from sivera.values import one_line

PIPE_WIDTH = 10_000
"""In characters, so that rows are not folded in a pipe."""


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str = "", notes: Sequence[str] = ()
) -> None:
    """Print rows below their column names, or the sentence `empty` if there are none; then the notes, a line each.

    In a cell, a time is printed in UTC, and None as nothing.
    """
    # Names come from the platforms, so they must not act as markup, emoji or terminal commands.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    # Without a height, rich would assume that every plain terminal is 80 wide.
    console = Console(width=width, height=25, markup=False, emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_to_text, row))
    console.print(table if rows else empty, soft_wrap=not rows)
    if notes:
        console.print()
    for note in notes:
        console.print(printable(note), soft_wrap=True)


def printable(text: str) -> str:
    """Return a text on one line, without control characters and without the SQL of SQLAlchemy's messages."""
    return one_line(text).partition("[SQL: ")[0].rstrip()


def _to_text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            return to_minute(cell)
        case _:
            return printable(str(cell))


def say(line: str) -> None:
    """Print a line and flush it, even into a pipe."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def say_json(text: str) -> None:
    """Print JSON on a line, in ASCII if the terminal or pipe is not UTF-8."""
    if (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8"):
        text = json_format.dumps(json_format.loads(text))
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_aside(line: str) -> None:
    """Print a line to standard error, for commands that print only secrets to standard output."""
    sys.stderr.write(f"{line}\n")


def to_minute(when: datetime) -> str:
    """Format a time in UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
