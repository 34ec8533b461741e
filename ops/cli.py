"""The `sivera` command. A command's module is imported when it runs: Prefect takes seconds, and help should not."""

import io
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

COMMANDS = {
    "ops.stack.demo:demo": (
        "Start everything with sandbox and demo data below .sivera/demo, run the main job once, and stay until "
        "Ctrl-C.\n\n"
        "It uses only its own database and server, not those that the environment names."
    ),
    "ops.stack.stack:up": (
        "Start PostgreSQL, a Prefect server and a worker below .sivera, deploy the jobs, and stay until Ctrl-C.\n\n"
        "If SIVERA_DATABASE_URL or PREFECT_API_URL is set, it uses that PostgreSQL or Prefect server instead of "
        "its own."
    ),
    "ops.commands.setup:setup": (
        "Save the secrets of the jobs as blocks of the Prefect server; a second time changes nothing.\n\n"
        "They come from variables that begin with SIVERA_, of the environment or of a file. What is not given "
        "stays as it is."
    ),
    "ops.commands.setup:deploy": (
        "Bring the Prefect server up to date: work pool, limits, blocks, automations and the timetable, and "
        "prune.\n\n"
        "The server is the one that PREFECT_API_URL names, else the stack that runs in this folder. What an "
        "operator paused stays paused. Secrets in the environment are saved first, as by `sivera setup`."
    ),
    "ops.commands.migrate:migrate": (
        "Bring the database of SIVERA_DATABASE_URL, else of the block sivera-db, to this version; `sivera up` and"
        " `sivera demo` do it too."
    ),
    "ops.api.server:api": (
        "Serve the HTTP API, which starts jobs for callers that send the secret; `sivera up` and `sivera demo` do"
        " it too."
    ),
    "ops.doctor.examine:doctor": (
        "Check Prefect, the blocks, the database, the deployments and their runs; name each problem and its "
        "remedy.\n\n"
        "The exit code is 0 if all is well, 1 if there are warnings, and 2 if there are faults."
    ),
    "ops.commands.status:status": (
        "Print how the jobs, grants, accounts, quotas and tables are doing now; what needs a person comes first.\n\n"
        "The exit code is 0 if nothing needs a person, and 1 if something does or the question fails."
    ),
    "ops.commands.check:check": (
        "Send each read-only request of the jobs to a platform once, and print which of them it takes.\n\n"
        "It uses the newest grant that works, stores nothing, and shows no token. The exit code is 0 if the "
        "platform takes all of them, 1 if it refuses one or answers in an unexpected way, and 2 if it could not "
        "be tried."
    ),
    "ops.commands.credentials:credentials": "The grants with which teams let us read their ad accounts.",
    "ops.commands.accounts:accounts": "The ad accounts, and how their sync stands.",
    "ops.commands.apps:apps": "The keys of our application on each platform.",
    "ops.commands.teams:teams": "The teams: where their day ends, and what language they read.",
    "ops.commands.reports:reports": "The teams' daily reports, and where they are kept.",
    "ops.commands.budgets:budgets": "What teams mean to spend in a month.",
    "ops.commands.keys:keys": "The keys that encrypt tokens in the database.",
    "ops.commands.history:history": "What became of scheduled times and runs by hand.",
    "ops.commands.alerts:alerts": "The open alerts, and the channels by which people are notified.",
    "ops.commands.restore:restore": "The backups of the database, and the way back from one.",
    "ops.commands.secret:secret": "The secret that callers of the HTTP API send.",
    "ops.commands.monitor:monitor": "The monitors outside of Prefect that are notified when runs end.",
}
"""What each command runs; it has the name of its function. The text is here so that help imports nothing."""

for target, text in COMMANDS.items():
    name = target.partition(":")[2]
    app.command(target, name=name, alias="door" if name == "api" else None, help=text)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with one line and 1 or 2 if it fails, with 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character gets a question mark
            stream.reconfigure(errors="replace")
    given = [os.fsencode(word).decode("utf-8", "replace") for word in sys.argv[1:]] if arguments is None else arguments
    command, *_ = arguments = [*given, ""]
    try:
        if command in app and not command.startswith("-"):
            from ops.network import prepare_network, split_server_password  # noqa: PLC0415

            prepare_network()
            if command != "demo":
                split_server_password()
            if command not in STARTERS:
                from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

                use_running_stack()
        code = app(arguments[:-1], print_error=False, exit_on_error=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `head`, for example, has read enough. Python would complain of what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
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
    from ops.commands.tables import printable  # noqa: PLC0415

    sys.stderr.write("\n".join(map(printable, f"sivera: {line}".splitlines())) + "\n")
    sys.exit(code)


def _keep_traceback() -> str:
    log = Path(".sivera", "logs", "error.log")
    try:
        for folder in (log.parents[1], log.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    except OSError as error:
        return f"its traceback cannot be written to {log} ({error.strerror})"
    return f"its traceback is in {log}"


if __name__ == "__main__":
    main()
