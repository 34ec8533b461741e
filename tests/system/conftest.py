"""One demo for all tests of whole stacks, because it takes most of a minute to start."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.client.base import PrefectHttpxSyncClient
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)
from sqlalchemy import Engine
from tenacity import Retrying, retry, retry_if_result, stop_after_delay, wait_fixed

from ops.api.jobs import read_jobs
from ops.cli import TERMINATED
from ops.stack.folder import DEMO_FOLDER
from sivera.clock import utc_now
from sivera.database import open_engine
from tests.children import environment, processes_of, start_sivera, still_alive
from tests.ops.commands import Sivera, in_folder
from tests.prefect_server import end_senders

ACCOUNTS = 3
"""Ad accounts on each platform of the demo."""
DATABASE_PASSWORD = "canary-database-password/+7"
MONITOR_CANARY = "canary-of-a-monitor-7"
WEBHOOK_PASSWORD = "canary-of-webhook-7"
WEBHOOK = f"json://somebody:{WEBHOOK_PASSWORD}@127.0.0.1:9/hook"
"""Nothing accepts alerts there, so a run also reports a message that could not be sent."""
DEAD_PROXY = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
"""The demo needs no proxy, because all of it runs on this machine."""
START_SECONDS = 400
END_SECONDS = 60
RUN_SECONDS = 300
UNDER_WAY = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING")
ORDER = ("test_end_to_end.py", "test_browser.py", "test_secrets.py", "test_guide.py")
"""The first restarts the demo, and the last changes its keys."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of this folder in their order."""
    here = Path(__file__).parent
    mine = sorted((each for each in items if each.path.parent == here), key=lambda each: ORDER.index(each.path.name))
    items[:] = [*mine, *(each for each in items if each.path.parent != here)]


@dataclass
class Demo:
    """`sivera demo` in a folder. `result` is the JSON that it printed."""

    folder: Path
    process: subprocess.Popen[str] = field(init=False)
    result: dict[str, Any] = field(init=False)

    def start(self) -> None:
        """Start it, and wait until its run has ended."""
        self.process = start_sivera(
            self.folder, environment() | DEAD_PROXY, "demo", "--json", "--accounts", str(ACCOUNTS)
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.said
        self.result = json.loads(line)

    def forget(self) -> None:
        """Close connections to it: when it starts again, its ports may differ."""
        for name in ("settings", "api", "sandbox", "engine"):
            known = self.__dict__.pop(name, None)
            if isinstance(known, httpx.Client):
                known.close()
            if isinstance(known, Engine):
                known.dispose()

    def end(self) -> None:
        """End it as a service manager does."""
        self.forget()
        stack = processes_of(self.folder)
        self.process.terminate()
        try:
            self.process.communicate(timeout=END_SECONDS)
        finally:
            self.process.kill()
        assert self.process.returncode == TERMINATED
        assert still_alive(stack, END_SECONDS) == []

    def kill(self) -> list[psutil.Process]:
        """Kill it, and return those of its processes that survive."""
        self.forget()
        stack = processes_of(self.folder)
        assert len(stack) > 5
        self.process.kill()
        self.process.communicate(timeout=END_SECONDS)
        return still_alive([*stack, *processes_of(self.folder)], END_SECONDS)

    @property
    def said(self) -> str:
        """What it printed for its operator."""
        return (self.folder / "said").read_text()

    def secret(self, name: str) -> str:
        return (self.folder / DEMO_FOLDER / name).read_text().strip()

    @cached_property
    def settings(self) -> dict[str, str]:
        profile = (self.folder / DEMO_FOLDER / "prefect" / "profiles.toml").read_text()
        return dict(re.findall(r'^(\w+) = "(.*)"$', profile, re.MULTILINE))

    @cached_property
    def api(self) -> httpx.Client:
        user, _, password = self.settings["PREFECT_API_AUTH_STRING"].partition(":")
        # Like Prefect's own clients, it retries if the server is busy.
        return PrefectHttpxSyncClient(base_url=self.settings["PREFECT_API_URL"], auth=(user, password), timeout=60)

    def ask(self, what: str, **wanted: Any) -> list[dict[str, Any]]:
        return list(self.api.post(f"/{what}/filter", json=wanted).raise_for_status().json())

    @property
    def http_api(self) -> str:
        return str(re.findall(r"The HTTP API is at (http://127\.0\.0\.1:\d+)", self.said)[-1])

    @cached_property
    def sandbox(self) -> str:
        (block,) = self.ask("block_documents", block_documents={"name": {"any_": ["google"]}})
        return str(block["data"]["base_url"]).removesuffix("/google")

    def control(self, action: str, **arguments: Any) -> Any:
        return httpx.post(f"{self.sandbox}/control/{action}", json=arguments, timeout=60).raise_for_status().json()

    @property
    def database_url(self) -> str:
        """The URL of its database, with a password that PostgreSQL does not ask for."""
        return f"postgresql://postgres@/demo_{ACCOUNTS}?host={self.folder / DEMO_FOLDER / 'postgres'}"

    @cached_property
    def engine(self) -> Engine:
        return open_engine(self.database_url)

    def wait_until_idle(self) -> None:
        """Wait for runs that are active or due."""
        for attempt in Retrying(wait=wait_fixed(0.3), stop=stop_after_delay(RUN_SECONDS), reraise=True):
            with attempt:
                due = {"before_": utc_now().isoformat()}
                wanted = {"state": {"type": {"any_": UNDER_WAY}}, "expected_start_time": due}
                assert not self.ask("flow_runs", flow_runs=wanted)

    def drop_waiting_runs(self) -> None:
        """Delete runs that have not started: each would take eight seconds of CPU time."""
        for run in self.ask("flow_runs", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}}):
            self.api.delete(f"/flow_runs/{run['id']}")

    def pause_timetable(self) -> None:
        """Let only tests start runs: runs of the timetable would block theirs."""
        for deployment in self.ask("deployments"):
            self.api.post(f"/deployments/{deployment['id']}/pause_deployment").raise_for_status()
        self.wait_until_idle()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """A running demo. Its path is short enough for PostgreSQL's socket, as the guide has it."""
    folder = Path(tempfile.mkdtemp(prefix="sivera-demo-"))
    found = Demo(folder)
    found.start()
    try:
        yield found
    finally:
        found.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def in_process(demo: Demo) -> Iterator[Sivera]:
    """Run `sivera` commands in this process, but in the demo's folder and environment."""
    settings = {
        PREFECT_API_URL: demo.settings["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: demo.settings["PREFECT_API_AUTH_STRING"],
        PREFECT_HOME: demo.folder / DEMO_FOLDER / "prefect",
    }
    with in_folder(demo.folder) as run, temporary_settings(settings, restore_defaults={PREFECT_API_KEY}):
        os.environ.clear()
        os.environ.update(environment())
        end_senders()
        try:
            yield run
        finally:
            end_senders()


@pytest.fixture
def sivera(demo: Demo) -> Iterator[Sivera]:
    with in_process(demo) as run:
        yield run


@dataclass
class JobRuns:
    """One run of each job with canary secrets and a broken platform: the answers of the HTTP API."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    arguments: set[str] = field(default_factory=set)
    """The command lines of all processes of the stack during these runs."""

    def run_id(self, job: str) -> str:
        return str(self.answers[job]["run"]["id"])


@pytest.fixture(scope="session")
def every_job(demo: Demo) -> JobRuns:
    """Save canary secrets, break a platform, and run every job once."""
    demo.pause_timetable()
    with in_process(demo) as sivera:
        url = demo.database_url.replace("postgres@", f"postgres:{DATABASE_PASSWORD.replace('/', '%2F')}@")
        save(sivera, "setup", "--from", "-", stdin=f"SIVERA_DATABASE_URL='{url}'\n")
        save(sivera, "alerts", "set", "url", stdin=WEBHOOK)
        save(sivera, "monitor", "set-webhook", stdin=f"{demo.sandbox}/control/calls?token={MONITOR_CANARY}")
        save(sivera, "monitor", "set-ping", "sync-campaigns", stdin=f"{demo.sandbox}/control/{MONITOR_CANARY}")
    demo.control("add_fault", kind="status", platform="meta", operation="campaigns", status=400)
    found, ended = JobRuns(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(psutil.Error):  # it ended meanwhile
                for child in psutil.Process(demo.process.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        found.arguments.update(child.cmdline())

    headers = {"Authorization": f"Bearer {demo.secret('cron-secret')}"}
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with httpx.Client(base_url=demo.http_api, headers=headers, timeout=320) as http, ThreadPoolExecutor(2) as pool:
        jobs = list(read_jobs())
        # As every caller should, retry after a 503 of a busy Prefect server.
        busy = retry_if_result(lambda answer: answer.status_code == 503)
        call = retry(retry=busy, wait=wait_fixed(2), stop=stop_after_delay(RUN_SECONDS))(http.post)
        answers = pool.map(lambda job: call(f"/api/cron/{job}?wait=300"), jobs)
        for job, answer in zip(jobs, answers, strict=True):
            assert answer.status_code == 200, answer.text
            found.answers[job] = answer.json()
    ended.set()
    watcher.join()
    demo.control("clear_faults")
    return found


def save(sivera: Sivera, *arguments: str, stdin: str) -> None:
    answer = sivera(*arguments, stdin=stdin)
    assert answer.code in (0, None), answer.err
