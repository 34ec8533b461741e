"""`sivera doctor` with a real Prefect server: a healthy installation, a broken one, and none."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitUpdate, WorkPoolUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed, Pending, Running
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from blocks.automations import AUTOMATIONS
from blocks.monitoring import ResultWebhook
from blocks.names import BACKUPS, CRON_SECRET, LOCKS, RESULT_WEBHOOK, TOKEN_KEY, WORK_POOL
from blocks.server import connect
from blocks.setup import setup
from blocks.token_key import TokenKey
from ops.deploy import deploy
from ops.doctor.examine import CHECKS, examine, show
from ops.doctor.findings import Finding, Installation, Verdict
from ops.doctor.prefect_checks import check_blocks
from sandbox.server import serve
from sivera.alerts.options import Channel
from sivera.monitoring import generate_secret
from sivera.values import PlatformName
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.prefect_server import PrefectServer, free_port, rewrite_block, set_states
from tests.stage import Stage
from tests.unit.tables import Tables

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED
# No run becomes due, and so late, during the test.
RARE = {"slug": "rare", "cron": "0 0 29 2 *", "timezone": "UTC"}
TIMETABLE = timetable(ALL | {"schedules": [RARE]}, SPLIT)


def look(timetable_path: Path | None = None) -> dict[str, Finding]:
    return dict(examine(Installation(timetable_path=timetable_path)))


def named(found: dict[str, Finding], verdict: Verdict) -> set[str]:
    return {name for name, each in found.items() if each.verdict is verdict}


def test_a_healthy_installation_has_no_findings_and_a_broken_one_has_many_at_once(
    ready: Stage, prefect_api: PrefectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, TIMETABLE)
    deploy(timetable_path=path)
    setup(channels={Channel.URL: SecretStr("json://127.0.0.1:9/s3cret-path")})
    ResultWebhook(url=SecretStr("https://example.com/s3cret-path"), secret=generate_secret()).save(RESULT_WEBHOOK)
    with connect() as client:
        # A worker counts as offline after three times this long.
        client.send_worker_heartbeat(WORK_POOL, "a-worker", heartbeat_interval_seconds=3600)
    for platform in (PlatformName.GOOGLE, PlatformName.META):
        ready.connect(ready.world.add_grant(platform, accounts=2))
    code = show(Installation(timetable_path=path), as_json=True)
    out = capsys.readouterr().out
    said = json.loads(out)
    assert [each for each in said["checks"] if each["verdict"] != "ok"] == []
    assert (code, said["exit_code"]) == (0, 0)
    assert [each["name"] for each in said["checks"]] == list(CHECKS)
    assert all(each.keys() == {"name", "verdict", "text", "remedy"} for each in said["checks"])
    assert prefect_api.auth_string.partition(":")[2] not in out
    assert "s3cret-path" not in out

    Tables(ready.engine).add_alert("a")
    late = blocks_of(ready)
    assert (late.verdict, late.text) == (WARNING, "url has not accepted 1 message yet")
    with connect() as client:
        break_much(client)
    ready.execute("UPDATE platform_credentials SET status = 'revoked' WHERE platform = 'meta'")
    assert show(Installation(timetable_path=path), as_json=False) == 2
    out = capsys.readouterr().out
    lines = {line.split()[1]: line for line in out.splitlines()}
    assert list(lines) == list(CHECKS)
    well = {"server", "password", "database", "clock", "accounts", "disk"}
    assert {name for name, line in lines.items() if line.startswith("ok ")} == well
    unwell = {name for name, line in lines.items() if line.startswith("WARNING ")}
    assert unwell == {"worker", "automations", "runs", "grants"}
    assert all(" Remedy: " in line for line in lines.values() if line.startswith(("WARNING ", "FAULT ")))
    for name, parts in BROKEN.items():
        assert [part for part in parts if part not in lines[name]] == []
    assert "tiktok" not in lines["blocks"], "no grant uses it"
    assert "s3cret" not in out
    ready.execute("ALTER TABLE alerts RENAME TO gone")
    blocks = blocks_of(ready).text
    ready.execute("ALTER TABLE gone RENAME TO alerts")
    assert [part for part in ("is not migrated", *BROKEN["blocks"]) if part not in blocks] == []

    setup(f"postgresql://ana:s3cret-value@127.0.0.1:{free_port()}/sivera")
    with connect() as client:
        client.delete_work_pool(WORK_POOL)
        client.delete_global_concurrency_limit_by_name(LOCKS[0])
    found = look(path)
    assert (found["limits"].text, found["limits"].remedy) == (f"missing: {LOCKS[0]}", "run `sivera deploy`")
    assert found["worker"].text == "the work pool sivera does not exist"
    assert "does not answer" in found["database"].text
    assert named(found, SKIPPED) == {"clock", "grants", "accounts"}
    assert "s3cret" not in str(found)


BROKEN = {
    "worker": ["paused, so runs do not start: the work pool sivera, its queue slow. Remedy: resume it in the UI."],
    "limits": [f"switched off, or not 1: {LOCKS[0]}."],
    "automations": [f"switched off: {AUTOMATIONS[0].name}."],
    "deployments": [
        "example/split is not deployed",
        "example/old is not in prefect.yaml",
        "example/all differs in concurrency limit, tags",
        "switched off: example/all.",
    ],
    "runs": ["example/all failed: It broke. No schedule", "Remedy: See docs/operations.md#example."],
    "blocks": [
        "cron-secret does not fit",
        "nosuch://place/backups",
        "result-webhook does not fit",
        "apprise-url/alerts-url does not fit",
        "the block token-key lacks the key",
        "platform-app/google is missing",
    ],
    "backups": ["nosuch://place/backups"],
}
"""What the doctor says about an installation after `break_much`."""


def blocks_of(stage: Stage) -> Finding:
    with connect() as client:
        return check_blocks(Installation(opened_client=client, engine=stage.engine))


def break_much(client: SyncPrefectClient) -> None:
    client.update_work_pool(WORK_POOL, WorkPoolUpdate(is_paused=True))
    client.create_work_queue("slow", is_paused=True, work_pool_name=WORK_POOL)
    client.update_global_concurrency_limit(LOCKS[0], GlobalConcurrencyLimitUpdate(active=False))
    (automation,) = client.read_automations_by_name(AUTOMATIONS[0].name)
    client.pause_automation(automation.id)

    deployment = client.read_deployment_by_name("example/all")
    run = client.create_flow_run_from_deployment(deployment.id)
    set_states(run, Pending(), Running(), Failed(message="It broke."))
    client.pause_deployment(deployment.id)
    client.update_deployment(deployment.id, DeploymentUpdate(tags=["sivera", "mine"], concurrency_limit=2))
    client.delete_deployment(client.read_deployment_by_name("example/split").id)
    client.create_deployment(deployment.flow_id, "old", work_pool_name=WORK_POOL, tags=["sivera"])

    rewrite_block("cron-secret", CRON_SECRET, current="s3cret")
    rewrite_block("storage", BACKUPS, url="nosuch://place/backups", options={"secret": "s3cret"})
    rewrite_block("result-webhook", RESULT_WEBHOOK, url="s3cret", secret="s3cret")
    rewrite_block("apprise-url", "alerts-url", url="s3cret")
    for name in ("google", "tiktok"):
        client.delete_block_document(client.read_block_document_by_name(name, "platform-app").id)
    TokenKey.generate().save(TOKEN_KEY, overwrite=True)


def test_the_database_is_checked_even_if_the_server_is_away(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_settings({PREFECT_API_URL: f"http://ana:hidden@127.0.0.1:{free_port()}/api"}):
        monkeypatch.setenv("SIVERA_DATABASE_URL", database_url)
        found = look()
    assert found["server"].verdict is FAULT
    assert "does not answer" in found["server"].text
    assert "hidden" not in found["server"].text
    assert found["server"].remedy.startswith("start it with `sivera up`")
    assert found["worker"].text == "needs the Prefect server"
    assert named(found, OK) == {"database", "clock", "grants", "accounts", "disk"}


async def answer(request: Request) -> JSONResponse:
    match request.path_params["rest"]:
        case "hello":
            return JSONResponse("hello")
        case "admin/version":
            return JSONResponse("3.7.0")
        case "csrf-token":
            return JSONResponse("CSRF protection is disabled.", 422)
    return JSONResponse({"unknown": True})


def test_an_open_old_or_odd_server_is_named_and_other_checks_go_on() -> None:
    # Not a real server: another version of Prefect, without a password, would take half a minute to start.
    app = Starlette(routes=[Route("/api/{rest:path}", answer, methods=["GET", "POST"])])
    with serve(app) as url, temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        found = look()
    assert found["server"].verdict is FAULT
    assert found["server"].text.startswith("the server is Prefect 3.7.0, and this version needs ")
    assert found["password"].verdict is WARNING
    assert "PREFECT_SERVER_API_AUTH_STRING" in found["password"].remedy
    assert found["worker"].text == "the check itself failed (ValidationError)"
    assert list(found) == list(CHECKS)
    assert found["disk"].verdict is OK
