"""What an operator sees in a headless browser: the Prefect UI of the demo, from the login to a red run's reason."""

import re
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.consents import Person
from tests.ops.commands import Sivera
from tests.prefect_server import free_port
from tests.system.conftest import ACCOUNTS, Demo, JobRuns

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # root cannot use it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
DRAWN = """count => {
    const pictures = [...document.querySelectorAll("img[src^='data:image/svg+xml']")]
    return pictures.length === count && pictures.every(each => each.complete && each.naturalWidth > 400)
}"""
RIGHT_EDGE = """() => Math.max(
    ...[...document.querySelectorAll("table, img[src^='data:']")].map(each => each.getBoundingClientRect().right)
)"""


class Newcomer(Person):
    def __init__(self, profile: Path) -> None:
        super().__init__()
        self.profile = profile
        self.words: Future[str] = Future()

    def _follow(self, url: str) -> None:
        try:
            with browser(self.profile) as page:
                page.goto(url)
                expect(page.get_by_role("heading", name="Allow access?")).to_be_visible()
                page.get_by_role("button", name="Allow").click()
                expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible()
                self.words.set_result(page.locator("p").first.inner_text())
        except Exception as error:
            self.words.set_exception(error)
            raise


@contextmanager
def browser(profile: Path, language: str = "en-US") -> Iterator[Page]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 900},
            locale=language,
        )
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield context.new_page()
        context.close()


def log_in(page: Page, of: Demo) -> None:
    page.goto(f"{ui(of)}/v2/dashboard")
    page.locator("input").first.fill(f"admin:{of.secret('prefect-password')}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Deployments")).to_be_visible()


def see_deployments(page: Page, of: Demo) -> None:
    page.goto(f"{ui(of)}/v2/deployments?limit=100")
    for job in ("sync-campaigns", "refresh-tokens", "cleanup-expired-tokens"):
        expect(page.get_by_role("row").filter(has_text=job).filter(has_text="all").first).to_be_visible()


def see_run(page: Page, of: Demo) -> None:
    """Its name, figures, graph of task runs, and log."""
    page.goto(f"{ui(of)}/v2/runs/flow-run/{demo_run(of)}")
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
    page.goto(f"{ui(of)}/v2/artifacts/artifact/{artifact(of, key, run_id)}")
    expect(page.locator("table").first).to_be_visible()
    page.wait_for_function(DRAWN, arg=count)
    # To the right of the page is a column of facts, which nothing may overlap.
    facts = page.get_by_text("Flow Run", exact=True).first.bounding_box()
    assert facts
    assert page.evaluate(RIGHT_EDGE) <= facts["x"], "a table or picture is wider than its column"


def see_failure(page: Page, of: Demo, run_id: str) -> None:
    """The page of a red run says how many accounts failed, and its artifact which ones and why."""
    page.goto(f"{ui(of)}/v2/runs/flow-run/{run_id}?tab=Details")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"accounts synced, {ACCOUNTS} failed").first).to_be_visible()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_text("Account failed account_id=").first).to_be_visible()
    page.goto(f"{ui(of)}/v2/artifacts/artifact/{artifact(of, 'sync-campaigns-failures', run_id)}")
    expect(page.get_by_role("row").filter(has_text="meta").first).to_be_visible()


def ui(of: Demo) -> str:
    return of.settings["PREFECT_API_URL"].removesuffix("/api")


def demo_run(of: Demo) -> str:
    return str(of.result["run_url"]).rpartition("/")[2]


def artifact(of: Demo, key: str, run_id: str) -> str:
    (found,) = of.ask("artifacts", artifacts={"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}})
    return str(found["id"])


def is_drawn(png: bytes) -> bool:
    """Whether a picture is more than a plain area, which compresses to almost nothing."""
    return len(png) > 3_000


with_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: `apt-get install chromium`, see 'Work on it' in README.md"
)


@with_chromium
def test_an_operator_sees_what_runs_and_why_it_is_red(tmp_path: Path, demo: Demo, every_job: JobRuns) -> None:
    red = every_job.run_id("sync-campaigns")
    with browser(tmp_path / "profile") as page:
        log_in(page, demo)
        see_deployments(page, demo)
        see_run(page, demo)
        see_pictures(page, demo, "sync-campaigns-summary", demo_run(demo), 2)
        see_pictures(page, demo, "refresh-tokens-summary", every_job.run_id("refresh-tokens"), 1)
        see_pictures(page, demo, "backup-data-summary", every_job.run_id("backup-data"), 2)
        see_failure(page, demo, red)
        see_pictures(page, demo, "sync-campaigns-summary", red, 2)


@with_chromium
def test_a_newcomer_connects_one_more_team_as_the_demo_says(tmp_path: Path, demo: Demo, sivera: Sivera) -> None:
    *_, command = re.findall(r"connect one more team in your browser: uv run sivera (.*)", demo.said)
    newcomer = Newcomer(tmp_path / "profile")
    answer = sivera(*shlex.split(command), "--redirect-uri", f"http://127.0.0.1:{free_port()}/google")
    assert answer.code == 0, answer.err
    words = newcomer.words.result(PATIENCE_MS / 1_000)
    assert re.fullmatch(r"Connected google grant \d+ \(main\) of team Harbor Bikes\.", words)
    assert words in answer.out
    assert "It carries 2 ad accounts; the next run syncs the new ones." in answer.out


@with_chromium
def test_a_user_connects_with_a_link_in_english_and_in_korean(tmp_path: Path, demo: Demo, sivera: Sivera) -> None:
    *_, command = re.findall(r"make a link with which its user does that: uv run sivera (.*)", demo.said)
    for platform, language, done, used in (
        ("meta", "en-US", "Meta Ads is connected", "has connected an account already"),
        ("amazon", "ko-KR", "Amazon Ads 연결 완료", "이미 연결에 사용한 링크"),
    ):
        *_, link = sivera(*shlex.split(command.replace("meta", platform))).out.splitlines()
        with browser(tmp_path / platform, language) as page:
            page.goto(link)
            expect(page.get_by_role("heading", level=1)).to_contain_text("Harbor Bikes")
            page.get_by_role("button").click()
            page.get_by_role("button", name="Allow").click()
            expect(page.get_by_role("heading", name=done)).to_be_visible()
            expect(page.get_by_role("listitem")).to_have_count(2)
            assert "code=" not in page.url
            page.goto(link)
            expect(page.get_by_text(used)).to_be_visible()
