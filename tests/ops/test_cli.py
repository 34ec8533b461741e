"""The `sivera` command itself: help, one clear line for each failure, and quick imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.stack.folder import DATABASE_URL_FILE, FOLDER, own_folder, write_private
from sivera.values import PlatformName
from tests.ops.commands import Sivera, add, refusal
from tests.prefect_server import free_port

pytestmark = pytest.mark.usefixtures("clean_environment")

DATABASE_COMMANDS = {
    "accounts list": 0,
    "credentials list": 0,
    "credentials show 1": 1,
    "teams list": 0,
    "budgets list": 0,
    "reports list": 0,
    "status --database": 0,
    "migrate": 0,
}
"""Commands that need only the database, and their exit codes if it is empty."""
SLOW = {"prefect", "prefect_sqlalchemy", "vl_convert", "fsspec", "apprise", "jinja2", "babel"}
"""Modules that are slow to import, and that these commands do not need."""
NO_SERVER = "no Prefect server answers at the address in PREFECT_API_URL"


def run_fresh(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh Python, to see what it imports."""
    return subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env=os.environ | {"HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_commands_without_slow_imports(tmp_path: Path) -> None:
    program = "import sys, ops.cli\nops.cli.app(['--help'])\nassert not {'prefect', 'sqlalchemy'} & sys.modules.keys()"
    done = run_fresh(tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    described = [line.strip("│ ").split(maxsplit=1) for line in done.stdout.splitlines()]
    commands = {"accounts", "apps", "credentials", "demo", "deploy", "up"}
    assert commands <= {words[0] for words in described if len(words) > 1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "nope"),
        (["demo", "--exot"], "--exot"),
        (["demo", "--accounts", "0"], "--accounts"),
        (["credentials", "add", "--platform", "metta", "--team", "Hanok"], 'Did you mean "meta"?'),
        (add(PlatformName.META, " "), "--team. Write the name on one line."),
        (add(PlatformName.META, "Hanok", "--name", "a\nb"), "--name. Write the name on one line."),
        (
            add(PlatformName.META, "Hanok", "geheim"),
            "There is an argument too many. Try `sivera credentials add --help`.",
        ),
        (["accounts", "sync"], "ID requires an argument"),
        (["accounts", "sync", str(2**63)], "Must be <"),
        (["accounts", "approve-removals", "0"], "Must be >= 1"),
    ],
)
def test_a_wrong_argument_is_named(sivera: Sivera, arguments: list[str], says: str) -> None:
    answer = sivera(*arguments)
    assert answer.code == 2
    assert says in answer.refusal
    assert "geheim" not in answer.err


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:{port}/api", NO_SERVER),
        ("SIVERA_DATABASE_URL", "postgresql://u:geheim@127.0.0.1:{port}/x", "127.0.0.1:{port}/x does not answer"),
        ("SIVERA_DATABASE_URL", "postgresql://u:x@geheim!pw@127.0.0.1/x", "percent-encode special characters"),
        ("SIVERA_SPOOL_DIR", "spool", "SIVERA_SPOOL_DIR: write it as an absolute path"),
    ],
)
def test_up_names_what_does_not_answer(
    sivera: Sivera, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    port = str(free_port())
    monkeypatch.setenv(variable, value.replace("{port}", port))
    line = sivera("up").refusal
    assert says.replace("{port}", port) in line
    assert "geheim" not in line
    assert not Path(".sivera").exists()


@pytest.mark.parametrize("command", ["status --database", "status --database --json"])
def test_a_closed_pipe_is_not_an_error(database_url: str, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-P", "-m", "ops.cli", *command.split()]
    environment = os.environ | {"SIVERA_DATABASE_URL": database_url}
    done = subprocess.run(  # noqa: S603 - our own command line
        program, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_unexpected_error_is_one_line_and_its_traceback_a_file(sivera: Sivera) -> None:
    Path(".sivera", "prefect-password").mkdir(parents=True)
    answer = sivera("up")
    line = refusal(answer.code, answer.err)
    assert line == "an unexpected IsADirectoryError; its traceback is in .sivera/logs/error.log"
    assert "Traceback (most recent call last)" in Path(".sivera", "logs", "error.log").read_text()


ASK_THE_DATABASE = f"""
import sys
from ops.cli import main
for command, code in {DATABASE_COMMANDS}.items():
    try:
        main(command.split())
    except SystemExit as ended:
        assert ended.code == code, command
    assert not {SLOW} & sys.modules.keys(), command
    assert len(sys.modules) < 950 or command == "migrate", len(sys.modules)
"""


@pytest.mark.parametrize("folder", [None, FOLDER])
def test_commands_that_need_only_the_database_import_nothing_slow(
    tmp_path: Path, database_url: str, folder: Path | None
) -> None:
    if folder is None:
        done = run_fresh(tmp_path, "-c", ASK_THE_DATABASE, SIVERA_DATABASE_URL=database_url)
    else:
        with own_folder(tmp_path / folder) as stack:
            write_private(stack.path / DATABASE_URL_FILE, database_url)
            done = run_fresh(tmp_path, "-c", ASK_THE_DATABASE)
    assert done.returncode == 0, done.stderr
