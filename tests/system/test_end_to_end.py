"""A newcomer's first command: a real Prefect server and worker, PostgreSQL, and the four platforms of the sandbox."""

from typing import Any

import httpx

from sivera.values import PlatformName
from tests.system.conftest import ACCOUNTS, Demo

CAMPAIGNS = 8 * ACCOUNTS


def test_the_demo_syncs_through_the_worker_and_a_second_one_changes_nothing(demo: Demo) -> None:
    result = demo.result
    assert result["accounts"] == len(PlatformName) * ACCOUNTS
    assert result["failed"] == 0
    assert set(result["platforms"]) == set(PlatformName)
    # Meta does not list deleted campaigns.
    added = {name: of["added"] for name, of in result["platforms"].items()}
    assert {of["accounts"] for of in result["platforms"].values()} == {ACCOUNTS}
    assert {count for name, count in added.items() if name != "meta"} == {CAMPAIGNS}
    assert ACCOUNTS < added["meta"] < CAMPAIGNS
    # Amazon is still preparing its first reports.
    assert all(of["metric_rows"] > 0 for name, of in result["platforms"].items() if name != "amazon")
    check_run(demo, result["run_url"])

    assert demo.kill() == []  # kill -9

    demo.start()
    assert (demo.result["accounts"], demo.result["failed"]) == (len(PlatformName) * ACCOUNTS, 0)
    for name, of in demo.result["platforms"].items():
        assert (of["added"], of["changed"], of["removed"], of["unchanged"]) == (0, 0, 0, added[name])


def check_run(demo: Demo, run_url: str) -> None:
    """The link leads to the UI, and a worker executed the run for the deployment."""
    run_id = run_url.rpartition("/")[2]
    page = httpx.get(run_url, headers={"Accept": "text/html"}, timeout=30)
    assert page.headers["content-type"].startswith("text/html")
    run: dict[str, Any] = demo.api.get(f"/flow_runs/{run_id}").raise_for_status().json()
    deployment = demo.api.get(f"/deployments/{run['deployment_id']}").raise_for_status().json()
    assert httpx.post(f"{demo.settings['PREFECT_API_URL']}/flow_runs/count", timeout=30).status_code == 401
    assert (deployment["name"], deployment["work_pool_name"]) == ("all", "sivera")
    assert (run["state"]["type"], run["state"]["message"]) == ("COMPLETED", "12 of 12 accounts synced")
    assert run["infrastructure_pid"]
