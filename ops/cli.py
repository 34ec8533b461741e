"""The `sivera` command. A command's module is imported when it runs: Prefect takes seconds, and help should not."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from cyclopts import App, CycloptsError, UnusedCliTokensError

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

app = App(
    name="sivera",
    help="Scheduled jobs of an ads-management product, as Prefect pipelines.",
    version=lambda: version("sivera-jobs"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

STARTERS = ("demo", "up")
"""What does not work on a Prefect server that runs already: of the stack in this folder, or the environment's."""

TELLING = ("check", "doctor")
"""Commands that tell by the exit code 1 what they have found: that they failed is 2."""

app.command(
    "ops.stack.demo:demo",
    name="demo",
    help="Start everything with sandbox and demo data below .sivera/demo, run the main job once, and stay "
    "until Ctrl-C.\n\n"
    "It uses only its own database and server, not those that the environment names.",
)
app.command(
    "ops.stack.stack:up",
    name="up",
    help="Start PostgreSQL, a Prefect server and a worker below .sivera, deploy the jobs, and stay until "
    "Ctrl-C.\n\n"
    "If SIVERA_DATABASE_URL or PREFECT_API_URL is set, it uses that PostgreSQL or Prefect server instead "
    "of its own.",
)
app.command(
    "ops.commands.setup:setup",
    name="setup",
    help="Save the secrets of the jobs as blocks of the Prefect server; a second time changes nothing.\n\n"
    "They come from variables that begin with SIVERA_, of the environment or of a file. What is not given "
    "stays as it is.",
)
app.command(
    "ops.commands.setup:deploy",
    name="deploy",
    help="Bring the Prefect server up to date: work pool, limits, blocks, automations and the timetable, and "
    "prune.\n\n"
    "The server is the one that PREFECT_API_URL names, else the stack that runs in this folder. What an "
    "operator paused stays paused. Secrets in the environment are saved first, as by `sivera setup`.",
)
app.command(
    "ops.commands.migrate:migrate",
    name="migrate",
    help="Bring the database of SIVERA_DATABASE_URL, else of the block sivera-db, to this version; `sivera up` and "
    "`sivera demo` do it too.",
)
app.command(
    "ops.api.server:api",
    name="api",
    alias="door",
    help="Serve the HTTP API, which starts jobs for callers that send the secret; `sivera up` and `sivera "
    "demo` do it too.",
)
app.command(
    "ops.doctor.examine:doctor",
    name="doctor",
    help="Check Prefect, the blocks, the database, the deployments and their runs; name each problem and its "
    "remedy.\n\n"
    "The exit code is 0 if all is well, 1 if there are warnings, and 2 if there are faults.",
)
app.command(
    "ops.commands.status:status",
    name="status",
    help="Print how the jobs, grants, accounts, quotas and tables are doing now; what needs a person comes "
    "first.\n\n"
    "The exit code is 0 if nothing needs a person, and 1 if something does or the question fails.",
)
app.command(
    "ops.commands.check:check",
    name="check",
    help="Send each read-only request of the jobs to a platform once, and print which of them it takes.\n\n"
    "It uses the newest grant that works, stores nothing, and shows no token. The exit code is 0 if the platform takes "
    "all of them, 1 if it refuses one or answers in an unexpected way, and 2 if it could not be tried.",
)
app.command(
    "ops.commands.credentials:credentials",
    name="credentials",
    help="The grants with which teams let us read their ad accounts.",
)
app.command("ops.commands.accounts:accounts", name="accounts", help="The ad accounts, and how their sync stands.")
app.command("ops.commands.apps:apps", name="apps", help="The keys of our application on each platform.")
app.command(
    "ops.commands.teams:teams",
    name="teams",
    help="The teams: where their day ends, and what language they read.",
)
app.command("ops.commands.reports:reports", name="reports", help="The teams' daily reports, and where they are kept.")
app.command("ops.commands.budgets:budgets", name="budgets", help="What teams mean to spend in a month.")
app.command("ops.commands.keys:keys", name="keys", help="The keys that encrypt tokens in the database.")
app.command("ops.commands.history:history", name="history", help="What became of scheduled times and runs by hand.")
app.command(
    "ops.commands.alerts:alerts",
    name="alerts",
    help="The open alerts, and the channels by which people are notified.",
)
app.command(
    "ops.commands.restore:restore",
    name="restore",
    help="The backups of the database, and the way back from one.",
)
app.command("ops.commands.secret:secret", name="secret", help="The secret that callers of the HTTP API send.")
app.command(
    "ops.commands.monitor:monitor",
    name="monitor",
    help="The monitors outside of Prefect that are notified when runs end.",
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with one line and 1 or 2 if it fails, with 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    command, *_ = arguments = [*(sys.argv[1:] if arguments is None else arguments), ""]
    try:
        if command in app and not command.startswith("-") and command not in STARTERS:
            from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

            use_running_stack()
        code = app(arguments[:-1], print_error=False, exit_on_error=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except CycloptsError as error:
        # A word too many is not repeated: it may be a secret, which belongs into standard input.
        said = "There is a word too many." if isinstance(error, UnusedCliTokensError) else str(error)
        tried = " ".join(["sivera", *(error.command_chain or ())])
        _fail(f"{' '.join(said.split())} Try `{tried} --help`.", 2)
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets a line, the log file the rest
        from sivera.database_errors import explain  # noqa: PLC0415
        from sivera.errors import SiveraError  # noqa: PLC0415

        explained = str(error) if isinstance(error, SiveraError) else explain(error)
        code = 2 if command in TELLING else 1
        _fail(explained or f"an unexpected {type(error).__name__}; {_keep_traceback()}", code)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"sivera: {line}\n")
    sys.exit(code)


def _keep_traceback() -> str:
    log = Path(".sivera", "logs", "error.log")
    try:
        for folder in (log.parents[1], log.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(traceback.format_exc())
    except OSError as error:
        return f"its traceback cannot be written to {log} ({error.strerror})"
    return f"its traceback is in {log}"


if __name__ == "__main__":
    main()
