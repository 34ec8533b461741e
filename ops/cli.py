"""The `sivera` command. Each command imports what it needs: prefect takes seconds, and help should not wait for it."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from cyclopts.validators import Number

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

app = App(
    name="sivera",
    help="Scheduled jobs of an ads-management product, as Prefect pipelines.",
    version=lambda: version("sivera-jobs"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

# By path, and so imported only when used; help lists them without importing them.
app.command("ops.commands.credentials:credentials", help="The grants with which teams let us read their ad accounts.")
app.command("ops.commands.accounts:accounts", help="The ad accounts, and how their sync stands.")
app.command("ops.commands.apps:apps", help="The keys of our application on each platform.")
app.command("ops.commands.teams:teams", help="The teams: where their day ends, and what language they read.")
app.command("ops.commands.reports:reports", help="The teams' daily reports, and where they are kept.")
app.command("ops.commands.budgets:budgets", help="What teams mean to spend in a month.")
app.command("ops.commands.keys:keys", help="The keys that encrypt tokens in the database.")
app.command("ops.commands.history:history", name="history", help="What became of scheduled times and runs by hand.")
app.command("ops.commands.alerts:alerts", help="The open alerts, and the channels by which people are notified.")
app.command("ops.commands.restore:restore", help="The backups of the database, and the way back from one.")
app.command("ops.commands.secret:secret", help="The secret that callers of the HTTP API send.")
app.command("ops.commands.monitor:monitor", help="The monitors outside of Prefect that are notified when runs end.")


@app.command
def demo(
    *,
    exit: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002 - the flag's name
    json: Annotated[bool, Parameter(negative="")] = False,
    accounts: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 12,
) -> int:
    """Start everything with sandbox and demo data below .sivera/demo, run the main job once, and stay until Ctrl-C.

    It uses only its own database and server, not those that the environment names.

    Args:
        exit: End after the run; the exit code is 0 if it did what it should.
        json: Print the result as a JSON object in the last line of the output, and all else to the error output.
        accounts: Ad accounts on each platform.
    """
    from rich.console import Console  # noqa: PLC0415

    from ops.stack.demo import Steps, run_demo  # noqa: PLC0415
    from ops.stack.folder import DEMO_FOLDER  # noqa: PLC0415
    from ops.stack.stack import open_stack  # noqa: PLC0415

    console = Console(stderr=json)
    say = Steps(console).say
    with open_stack(DEMO_FOLDER, say) as stack:
        result = run_demo(stack, accounts, console)
        if json:
            sys.stdout.write(result.model_dump_json(exclude={"succeeded"}) + "\n")
            sys.stdout.flush()
        if not exit:
            say("Ctrl-C ends the demo; its data stays in .sivera/demo.")
            stack.watch()
    return 0 if result.succeeded else 1


@app.command
def up() -> NoReturn:
    """Start PostgreSQL, a Prefect server and a worker below .sivera, deploy the jobs, and stay until Ctrl-C.

    If SIVERA_DATABASE_URL or PREFECT_API_URL is set, it uses that PostgreSQL or Prefect server instead of its own.
    """
    from ops.stack import stack  # noqa: PLC0415

    stack.up(_say)


@app.command
def setup(*, source: Annotated[str | None, Parameter(name="--from", allow_leading_hyphen=True)] = None) -> None:
    """Save the secrets of the jobs as blocks of the Prefect server; a second time changes nothing.

    They come from variables that begin with SIVERA_, of the environment or of a file. What is not given stays as it is.

    Args:
        source: A file of such variables that only its owner can read; - is standard input.
    """
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    folder = use_running_stack()
    from ops.commands import setup as setup_actions  # noqa: PLC0415

    setup_actions.setup(source, folder, _say)


@app.command
def deploy() -> None:
    """Bring the Prefect server up to date: work pool, limits, blocks, automations and the timetable, and prune.

    The server is the one that PREFECT_API_URL names, else the stack that runs in this folder. What an operator paused
    stays paused. Secrets in the environment are saved first, as by `sivera setup`.
    """
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    folder = use_running_stack()
    from ops.commands.setup import save_environment  # noqa: PLC0415
    from ops.deploy import deploy as bring_up_to_date  # noqa: PLC0415

    save_environment(folder, _say)
    summary = bring_up_to_date()
    for what in ("created", "updated", "unchanged", "removed", "pruned", "kept_paused"):
        names = [*getattr(summary.setup, what, ()), *getattr(summary, what, ())]
        if names:
            _say(f"{what.replace('_', ' ')}: {', '.join(names)}")
    for block in summary.setup.missing:
        _say(f"missing: {block}")


@app.command
def migrate() -> None:
    """Bring the database that the block sivera-db names to this version; `sivera up` and `sivera demo` do it too."""
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    use_running_stack()
    from sivera import database  # noqa: PLC0415
    from tasks import resources  # noqa: PLC0415

    database.migrate(resources.engine())
    resources.close()
    _say("The database is at this version.")


@app.command(alias="door")
def api(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
) -> None:
    """Serve the HTTP API, which starts jobs for callers that send the secret; `sivera up` and `sivera demo` do it too.

    Args:
        host: The address to listen on.
        port: The port to listen on; left out, it is 3000 or the next free one.
    """
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    use_running_stack()
    from ops.api.server import run_api  # noqa: PLC0415

    run_api(host, port, _say)


@app.command
def doctor(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Check Prefect, the blocks, the database, the deployments and their runs; name each problem and its remedy.

    The exit code is 0 if all is well, 1 if there are warnings, and 2 if there are faults.

    Args:
        json: Print the checks as one JSON object.
    """
    from ops.stack.folder import FOLDER  # noqa: PLC0415
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    folder = use_running_stack() or FOLDER
    try:
        from ops.doctor.examine import examine  # noqa: PLC0415
        from ops.doctor.installation import Installation  # noqa: PLC0415

        return examine(Installation(folder=folder), as_json=json)
    except Exception as error:  # noqa: BLE001 - whatever keeps the doctor from working is a fault, not a warning
        _fail(f"the doctor cannot work: an unexpected {type(error).__name__}; {_keep_traceback()}", 2)


@app.command
def status(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Print how the jobs, grants, accounts, quotas and tables are doing now; what needs a person comes first.

    The exit code is 0 if nothing needs a person, and 1 if something does or the question fails.

    Args:
        json: Print it as one JSON object.
    """
    from ops.stack.prefect_server import use_running_stack  # noqa: PLC0415

    use_running_stack()
    from ops.commands.status import show_status  # noqa: PLC0415

    return show_status(as_json=json)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with one line and 1 or 2 if it fails, with 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        code = app(arguments, print_error=False, exit_on_error=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except CycloptsError as error:
        # A word too many is not repeated: it may be a secret, which belongs into standard input.
        said = "There is a word too many." if isinstance(error, UnusedCliTokensError) else str(error)
        command = " ".join(["sivera", *(error.command_chain or ())])
        _fail(f"{' '.join(said.split())} Try `{command} --help`.", 2)
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets a line, the log file the rest
        from sivera.errors import SiveraError  # noqa: PLC0415

        is_ours = isinstance(error, SiveraError)
        _fail(str(error) if is_ours else f"an unexpected {type(error).__name__}; {_keep_traceback()}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"sivera: {line}\n")
    sys.exit(code)


def _keep_traceback() -> str:
    from ops.stack.folder import FOLDER  # noqa: PLC0415

    log = FOLDER / "logs" / "error.log"
    try:
        for folder in (FOLDER, log.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(traceback.format_exc())
    except OSError as error:
        return f"its traceback cannot be written to {log} ({error.strerror})"
    return f"its traceback is in {log}"


if __name__ == "__main__":
    main()
