"""The `sivera` command. Modules of commands are imported only when they run: Prefect takes seconds, help should not."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
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
"""Commands that start a Prefect server instead of using the one that runs here."""

CHECKING = ("check", "doctor")
"""Commands that exit with 1 if they find something, and with 2 if they fail."""

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
        "They are read from SIVERA_ variables, of the environment or of a file. Secrets that are not given stay as "
        "they are."
    ),
    "ops.commands.setup:deploy": (
        "Bring the Prefect server up to date: work pool, limits, blocks, automations and the timetable, and "
        "prune.\n\n"
        "The server is the one that PREFECT_API_URL names, or that of the stack that runs in this folder. What an "
        "operator paused stays paused. Secrets in the environment are saved first, as `sivera setup` does."
    ),
    "ops.commands.migrate:migrate": (
        "Migrate the database of SIVERA_DATABASE_URL, or of the block sivera-db, to this version; `sivera up` and "
        "`sivera demo` do so too."
    ),
    "ops.api.server:api": (
        "Serve the HTTP API, which starts jobs for callers with the secret; `sivera up` and `sivera demo` do so too."
    ),
    "ops.doctor.examine:doctor": (
        "Check Prefect, the blocks, the database, the deployments and their runs; name each problem and its "
        "remedy.\n\n"
        "The exit code is 0 if all is well, 1 if there are warnings, and 2 if there are faults."
    ),
    "ops.commands.status:status": (
        "Print how the jobs, grants, accounts, quotas and tables are doing; what needs attention comes first.\n\n"
        "The exit code is 0 if nothing needs attention, and 1 if something does or the command fails."
    ),
    "ops.commands.check:check": (
        "Send each read-only request of the jobs to a platform once, and print which ones it accepts.\n\n"
        "It uses the newest grant that works, stores nothing, and shows no token. The exit code is 0 if the "
        "platform accepts all of them, 1 if it refuses one or gives an unexpected answer, and 2 if the check could "
        "not run."
    ),
    "ops.commands.credentials:credentials": "The grants with which teams let us read their ad accounts.",
    "ops.commands.accounts:accounts": "The ad accounts, and how their syncs are going.",
    "ops.commands.apps:apps": "The keys of our application on each platform.",
    "ops.commands.teams:teams": "The teams: their time zone, language and conversions.",
    "ops.commands.reports:reports": "The daily reports of teams, and where they are stored.",
    "ops.commands.budgets:budgets": "The monthly budgets of teams.",
    "ops.commands.keys:keys": "The keys that encrypt tokens in the database.",
    "ops.commands.history:history": "What happened at each scheduled time, and to runs by hand.",
    "ops.commands.alerts:alerts": "The open alerts, and the channels that deliver them.",
    "ops.commands.restore:restore": "The backups of the database, and how to restore one.",
    "ops.commands.secret:secret": "The secret that callers of the HTTP API send.",
    "ops.commands.monitor:monitor": "External monitors that are notified when runs end.",
}
"""Each command's function, by whose name it is called, and its help, which is here so that help imports nothing."""

for target, text in COMMANDS.items():
    name = target.partition(":")[2]
    app.command(target, name=name, alias="door" if name == "api" else None, help=text)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with one line and code 1 or 2 if it fails, with code 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the terminal lacks become question marks
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
        # A reader such as `head` has closed the pipe. Without this, Python would report unwritten output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CycloptsError as error:
        # An extra argument is not repeated, because it may be a secret that belongs in standard input.
        said = "There is an argument too many." if isinstance(error, UnusedCliTokensError) else str(error)
        tried = " ".join(["sivera", *(error.command_chain or ())])
        _fail(f"{' '.join(said.split())} Try `{tried} --help`.", 2)
    except Exception as error:  # noqa: BLE001 - the last resort: a line for the person, the rest for the log file
        from sivera.database_errors import explain  # noqa: PLC0415
        from sivera.errors import SiveraError  # noqa: PLC0415

        explained = str(error) if isinstance(error, SiveraError) else explain(error)
        code = 2 if command in CHECKING else 1
        _fail(explained or f"an unexpected {type(error).__name__}; {_keep_traceback()}", code)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int) -> NoReturn:
    from ops.commands.tables import printable  # noqa: PLC0415

    sys.stderr.write("\n".join(map(printable, f"sivera: {line}".splitlines())) + "\n")
    sys.exit(code)


def _keep_traceback() -> str:
    from ops.stack.folder import FOLDER, write_private  # noqa: PLC0415

    log = FOLDER / "logs" / "error.log"
    try:
        for folder in (FOLDER, log.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        write_private(log, traceback.format_exc())
    except OSError as error:
        return f"its traceback cannot be written to {log} ({error.strerror})"
    return f"its traceback is in {log}"


if __name__ == "__main__":
    main()
