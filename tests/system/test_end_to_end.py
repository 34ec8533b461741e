"""A newcomer's first command, whole: a real Prefect server and worker, PostgreSQL, and the sandbox's four platforms."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.world import CLIENT_SECRET
from sivera.values import PlatformName
from tests.leftovers import processes_of, still_alive

ACCOUNTS = 12
CAMPAIGNS = 8 * ACCOUNTS
END_SECONDS = 30
"""For what a worker had begun, and for whoever waits for ended processes; usually no time at all."""


@pytest.mark.timeout(900)
def test_the_demo_syncs_through_the_worker_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "demo", "--json") as first:
        assert first.stdout is not None
        line = first.stdout.readline()
        assert line, first.communicate()[1]
        result = json.loads(line)
        assert result["accounts"] == len(PlatformName) * ACCOUNTS
        assert result["failed"] == 0
        assert set(result["platforms"]) == set(PlatformName)
        assert {(of["accounts"], of["added"]) for of in result["platforms"].values()} == {(ACCOUNTS, CAMPAIGNS)}
        # Amazon prepares its first reports while this run ends.
        assert all(of["metric_rows"] > 0 for name, of in result["platforms"].items() if name != "amazon")
        check_run(tmp_path, result["run_url"])

        again = subprocess.run(  # noqa: S603 - our own command line
            command("deploy"), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
        assert (again.returncode, again.stderr) == (0, "")
        assert [line.partition(":")[0] for line in again.stdout.splitlines()] == ["unchanged"]

        stack = processes_of(tmp_path)
        first.send_signal(signal.SIGINT)
        rest, said = first.communicate()
        assert (first.returncode, rest) == (128 + signal.SIGINT, "")
        assert len(stack) > 5
        assert still_alive([*stack, *processes_of(tmp_path)], END_SECONDS) == []
    password = (tmp_path / ".sivera" / "demo" / "prefect-password").read_text()
    assert said.count(password) == 1

    with start(tmp_path, "demo", "--exit", "--json") as second:
        output, said = second.communicate()
    assert second.returncode == 0, said
    result = json.loads(output.splitlines()[-1])
    assert (result["accounts"], result["failed"]) == (len(PlatformName) * ACCOUNTS, 0)
    for of in result["platforms"].values():
        assert (of["added"], of["changed"], of["removed"], of["unchanged"]) == (0, 0, 0, CAMPAIGNS)
    assert still_alive(processes_of(tmp_path), END_SECONDS) == []
    logs = "".join(log.read_text() for log in (tmp_path / ".sivera" / "demo" / "logs").iterdir())
    key, cron_secret = (
        (tmp_path / ".sivera" / "demo" / name).read_text() for name in ("prefect-encryption-key", "cron-secret")
    )
    assert "The HTTP API is at http://127.0.0.1:" in said
    assert not [secret for secret in (password, key, cron_secret, CLIENT_SECRET) if secret in logs + output + said]


def check_run(folder: Path, run_url: str) -> None:
    """The link shows the UI, and the run is one that a worker's process did for the deployment."""
    base, _, run_id = run_url.partition("/runs/flow-run/")
    password = (folder / ".sivera" / "demo" / "prefect-password").read_text()
    with httpx.Client(base_url=base, auth=("admin", password), timeout=30) as http:
        assert http.get(run_url, headers={"Accept": "text/html"}).headers["content-type"].startswith("text/html")
        run: dict[str, Any] = http.get(f"/api/flow_runs/{run_id}").raise_for_status().json()
        deployment = http.get(f"/api/deployments/{run['deployment_id']}").raise_for_status().json()
        assert http.get("/api/flow_runs/count", auth=None).status_code == 401
    assert (deployment["name"], deployment["work_pool_name"]) == ("all", "sivera")
    assert (run["state"]["type"], run["state"]["message"]) == ("COMPLETED", "48 of 48 accounts synced")
    assert run["infrastructure_pid"]


@contextmanager
def start(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own command line
        command(*arguments),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "ops.cli", *arguments]


def environment() -> dict[str, str]:
    """Ours, without what names another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
