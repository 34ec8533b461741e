"""What an operator sees: the demo's Prefect UI in a real browser, headless, from the login to a red run's reason."""

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.system.test_end_to_end import start

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # Chromium has none for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
ACCOUNTS = 3
DRAWN = """count => {
    const pictures = [...document.querySelectorAll("img[src^='data:image/svg+xml']")]
    return pictures.length === count && pictures.every(each => each.complete && each.naturalWidth > 400)
}"""
RIGHT_EDGE = """() => Math.max(
    ...[...document.querySelectorAll("table, img[src^='data:']")].map(each => each.getBoundingClientRect().right)
)"""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Demo:
    """A demo that is up: its Prefect server, and the run of sync-campaigns that it did."""

    ui: str
    password: str
    run_id: str

    def api(self, method: str, path: str, **body: object) -> Any:
        """Call the API of its Prefect server."""
        answer = httpx.request(
            method, f"{self.ui}/api{path}", json=body or None, auth=("admin", self.password), timeout=60
        )
        return answer.raise_for_status().json()

    def run(self, deployment: str) -> dict[str, Any]:
        """Run a deployment through the worker, once no other run of it is under way; return how it ended."""
        deployment_id = self.api("GET", f"/deployments/name/{deployment}")["id"]
        for attempt in Retrying(wait=wait_fixed(1), stop=stop_after_delay(600), reraise=True):
            with attempt:
                begun = self.api("POST", f"/deployments/{deployment_id}/create_flow_run", parameters={})
                run = self._ended(begun["id"])
                # The timetable's own run may have been under way.
                assert run["state_type"] != "CANCELLED", run["state"]
        return run

    def _ended(self, run_id: str) -> dict[str, Any]:
        for attempt in Retrying(wait=wait_fixed(1), stop=stop_after_delay(300), reraise=True):
            with attempt:
                run: dict[str, Any] = self.api("GET", f"/flow_runs/{run_id}")
                assert run["state_type"] in ENDED, run["state"]
        return run

    def artifact(self, key: str, run_id: str) -> str:
        """The id of what a run left."""
        wanted = {"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}}
        (found,) = self.api("POST", "/artifacts/filter", artifacts=wanted)
        return str(found["id"])

    def break_platform(self, platform: str) -> None:
        """Let every listing of campaigns at a platform be refused."""
        wanted = {"name": {"any_": [platform]}}
        (block,) = self.api("POST", "/block_documents/filter", block_documents=wanted)
        sandbox = block["data"]["base_url"].removesuffix(f"/{platform}")
        fault = {"kind": "status", "platform": platform, "operation": "campaigns", "status": 400}
        httpx.post(f"{sandbox}/control/add_fault", json=fault).raise_for_status()


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    with start(folder, "demo", "--json", "--accounts", str(ACCOUNTS)) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        ui, _, run_id = json.loads(line)["run_url"].partition("/runs/flow-run/")
        yield Demo(ui, (folder / ".sivera" / "demo" / "prefect-password").read_text(), run_id)
        process.send_signal(signal.SIGINT)
        process.communicate()


@contextmanager
def browser(profile: Path, *, dark: bool = False) -> Iterator[Page]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield context.new_page()
        context.close()


def log_in(page: Page, of: Demo) -> None:
    page.goto(f"{of.ui}/v2/dashboard")
    page.locator("input").first.fill(f"admin:{of.password}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Deployments")).to_be_visible()


def see_deployments(page: Page, of: Demo) -> None:
    page.goto(f"{of.ui}/v2/deployments?limit=100")
    for job in ("sync-campaigns", "refresh-tokens", "cleanup-expired-tokens"):
        expect(page.get_by_role("row").filter(has_text=job).filter(has_text="all").first).to_be_visible()


def see_run(page: Page, of: Demo) -> None:
    """Its name, its figures, the graph of its task runs, and its log."""
    page.goto(f"{of.ui}/v2/runs/flow-run/{of.run_id}")
    expect(page.get_by_text("sync-campaigns", exact=False).filter(has_text=" full").first).to_be_visible()
    expect(page.get_by_text("Task runs").filter(has_text=str(4 * ACCOUNTS + 4)).first).to_be_visible()
    graph = page.locator("canvas").first
    expect(graph).to_be_visible()
    for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(PATIENCE_MS / 1_000), reraise=True):
        with attempt:
            assert is_drawn(graph.screenshot())
    expect(page.get_by_text("Account ended account_id=").first).to_be_visible()
    page.get_by_role("tab", name="Task Runs").click()
    expect(page.get_by_text("google ").first).to_be_visible()


def see_pictures(page: Page, of: Demo, key: str, run_id: str, count: int) -> None:
    page.goto(f"{of.ui}/v2/artifacts/artifact/{of.artifact(key, run_id)}")
    expect(page.locator("table").first).to_be_visible()
    page.wait_for_function(DRAWN, arg=count)
    # Beside the page is a column of facts: nothing of the page may lie below that.
    facts = page.get_by_text("Flow Run", exact=True).first.bounding_box()
    assert facts
    assert page.evaluate(RIGHT_EDGE) <= facts["x"], "a table or picture is wider than its column"


def see_failure(page: Page, of: Demo, run: dict[str, Any]) -> None:
    """A red run says in its page how many failed, and in what it left which and why."""
    page.goto(f"{of.ui}/v2/runs/flow-run/{run['id']}?tab=Details")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"accounts synced, {ACCOUNTS} failed").first).to_be_visible()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_text("Account failed account_id=").first).to_be_visible()
    page.goto(f"{of.ui}/v2/artifacts/artifact/{of.artifact('sync-campaigns-failures', run['id'])}")
    expect(page.get_by_role("row").filter(has_text="meta").first).to_be_visible()


def is_drawn(png: bytes) -> bool:
    """Whether a picture is more than a plain surface, which packs to almost nothing."""
    return len(png) > 3_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the stack runs; not below pytest's own folder, which other sessions close to PostgreSQL's user."""
    with tempfile.TemporaryDirectory(prefix="sivera-browser-") as path:
        yield Path(path)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`, see 'Work on it' in README.md")
@pytest.mark.timeout(1800)
def test_an_operator_sees_what_runs_and_why_it_is_red(tmp_path: Path, folder: Path) -> None:
    with demo(folder) as of, browser(tmp_path / "profile") as page:
        log_in(page, of)
        see_deployments(page, of)
        see_run(page, of)
        see_pictures(page, of, "sync-campaigns-summary", of.run_id, 2)
        refreshed = of.run("refresh-tokens/all")
        assert refreshed["state_type"] == "COMPLETED", refreshed["state"]
        see_pictures(page, of, "refresh-tokens-summary", refreshed["id"], 1)
        backed_up = of.run("backup-data/all")
        assert backed_up["state_type"] == "COMPLETED", backed_up["state"]
        see_pictures(page, of, "backup-data-summary", backed_up["id"], 2)
        of.break_platform("meta")
        red = of.run("sync-campaigns/all")
        assert red["state_type"] == "FAILED", red["state"]
        see_failure(page, of, red)
        see_pictures(page, of, "sync-campaigns-summary", red["id"], 2)
