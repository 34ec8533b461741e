"""What commands print to terminals that are not UTF-8 or narrow, and to pipes."""

import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

import pytest

PROGRAM = """
import json
from ops.cli import app, main
from ops.commands.tables import print_table, say, say_json
from sivera.errors import ConfigurationError
from rich.console import Console
from ops.stack.demo import Steps

@app.command
def show(name: str):
    message = "(psycopg.Error) no [SQL: SELECT 1]\\nLINE 1"
    print_table(("name", "message", "run"), [(name, message, "0" * 36)] * 2, "", [name])
    say(name)
    with Steps(Console()).step(name):
        say_json(json.dumps({"name": name}, ensure_ascii=False))
    raise ConfigurationError(name)

main()
"""
NAME = "한빛 [red]Café[/] … \u202e\x1b[2J\U0001f525"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0"}


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def in_a_pipe(**more: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", PROGRAM, "show", NAME]
    done = subprocess.run(command, env=environment(more), capture_output=True, check=False)  # noqa: S603 - our own
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.mark.parametrize("locale", [{}, C_LOCALE, {"PYTHONIOENCODING": "latin-1"}])
def test_characters_that_a_terminal_lacks_are_replaced(locale: dict[str, str]) -> None:
    code, out, err = in_a_pipe(**locale)
    assert (code, err.count("\n"), err.startswith("sivera: ")) == (1, 1, True)
    _, first, *_ = out.splitlines()
    assert "[red]Caf" in first
    assert first.rstrip().endswith("0" * 36)
    assert "\x1b" not in out + err
    assert "SELECT" not in out
    assert "LINE" not in out
    (line,) = (line for line in out.splitlines() if line.startswith("{"))
    assert json.loads(line.encode("latin-1").decode())["name"].startswith("한빛 [red]Café")


def test_no_line_is_wider_than_the_terminal() -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    program = PROGRAM.replace("    say(name)\n", "    return\n")
    command = [sys.executable, "-c", program, "show", "n" * 70]
    with subprocess.Popen(command, env=environment({"TERM": "dumb"}), stdout=theirs, stderr=theirs) as child:  # noqa: S603
        child.wait()
    os.close(theirs)
    with open(ours, "rb") as terminal:  # noqa: PTH123 - a file descriptor
        lines = os.read(terminal.fileno(), 65_536).decode().splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= 40
    assert "".join(table).count("n") >= 140
