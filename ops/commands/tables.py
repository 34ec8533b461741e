"""Tables on standard output, for a person at a terminal and for the next program in a pipe."""

import json as json_format
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from sivera.values import one_line

PIPE_WIDTH = 10_000
"""In characters: no row is folded in a pipe."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str, notes: Sequence[str] = ()) -> None:
    """Print rows below their column names, or the sentence `empty`; then the notes on single rows, a line each."""
    # Names come from the platforms: they must not act as markup, emoji or commands of the terminal.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    # With a height, since rich else takes every plain terminal to be 80 wide.
    console = Console(width=width, height=25, markup=False, emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(table if rows else empty, soft_wrap=not rows)
    if notes:
        console.print()
    for note in notes:
        console.print(printable(note), soft_wrap=True)


def printable(text: str) -> str:
    """Return a text on one line, without control characters and without the SQL that ends a message of SQLAlchemy."""
    return one_line(text).partition("[SQL: ")[0].rstrip()


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def say_json(text: str) -> None:
    """Print JSON in a line; a terminal or pipe that is not UTF-8 gets the same JSON in ASCII."""
    if (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8"):
        text = json_format.dumps(json_format.loads(text))
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_aside(line: str) -> None:
    """Print a line to the error output, for commands that print nothing but a secret to the standard output."""
    sys.stderr.write(f"{line}\n")


def to_minute(when: datetime) -> str:
    """Return a time as a text in UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
