"""`sivera doctor` with a real Prefect server and PostgreSQL: what is well, and what is broken, one thing at a time."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest
from blocks.alert_messages import NOT_TAKEN
from packaging.specifiers import SpecifierSet
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    BlockDocumentUpdate,
    DeploymentUpdate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import emit_event
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed, Paused, Pending, Running, Scheduled
from pydantic import SecretStr
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from blocks.alert_channels import automation_names
from blocks.automations import AUTOMATIONS
from blocks.monitoring import ResultWebhook
from blocks.names import BACKUPS, CRON_SECRET, DATABASE, LOCKS, REPORTS, RESULT_WEBHOOK, TOKEN_KEY, WORK_POOL
from blocks.server import connect
from blocks.setup import setup
from blocks.token_key import TokenKey
from ops.cli import main
from ops.deploy import deploy
from ops.doctor.database_checks import is_full
from ops.doctor.examine import CHECKS, checks, line
from ops.doctor.findings import Check, Verdict, exit_code, few
from ops.doctor.installation import Installation
from ops.doctor.run_checks import differences, why_stuck
from ops.doctor.server_checks import compare_clocks, misfitting
from ops.stack.prefect_server import CLIENT
from ops.timetable import Deployment
from sandbox.server import serve
from sandbox.world import World
from sivera.alerts.options import Channel
from sivera.clock import utc_now
from sivera.monitoring.webhook import generate_secret
from sivera.values import PlatformName
from tests.flows.runs import events_where
from tests.ops.timetables import ALL, timetable, write
from tests.prefect_server import PrefectServer, free_port
from tests.stage import Stage

Command = Callable[..., tuple[object, str]]
Endpoint = Callable[[Request], Awaitable[JSONResponse]]

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED

NEVER = "0 0 29 2 *"
"""At no time of these tests: a run that falls due in the middle of one is late a minute after."""

SYNC = ALL | {
    "entrypoint": "flows.sync_campaigns.sync_campaigns",
    "schedules": [schedule | {"cron": NEVER} for schedule in ALL["schedules"]],
}
TIMETABLE = timetable(SYNC, SYNC | {"name": "google", "schedules": []})
NAME = "sync-campaigns/all"
JOB_LOCK = "sync-campaigns-google"

LATER = timedelta(minutes=10)
"""Longer than any lease, and than a run may take."""


class Doctor(Protocol):
    """Examines an installation."""

    def __call__(self, **parts: Any) -> dict[str, Check]:
        """Return what the checks find, by their names; `parts` are those of an Installation."""
        ...


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the doctor does."""
    return World(seed=7)


@pytest.fixture
def examine(ready: Stage, tmp_path: Path) -> Doctor:
    """The doctor of an installation of two deployments, a worker, and accounts of each platform, where all is well."""
    path = write(tmp_path, TIMETABLE)
    deploy(timetable_path=path)
    start_working(ready)
    return partial(look, timetable_path=path)


def start_working(stage: Stage) -> None:
    """Let a worker be online, and connect accounts of each platform."""
    with connect() as client:
        # It is taken for gone after three times as long.
        client.send_worker_heartbeat(WORK_POOL, "a-worker", heartbeat_interval_seconds=3600)
    for platform in PlatformName:
        stage.connect(stage.world.add_grant(platform, accounts=2))


def end_what_is_due() -> None:
    """End the runs whose time has come: of the jobs' own timetable, one does every five minutes."""
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=utc_now()),
    )
    with connect() as client:
        for run in client.read_flow_runs(flow_run_filter=due):
            client.set_flow_run_state(run.id, Cancelled(), force=True)


def look(**parts: Any) -> dict[str, Check]:
    return {check.name: check for check in checks(Installation(**parts))}


def verdicts(found: Mapping[str, Check]) -> dict[str, Verdict]:
    """The verdicts on what is not well."""
    return {name: check.verdict for name, check in found.items() if check.verdict is not OK}


def later() -> datetime:
    return utc_now() + LATER


def much_later(_client: SyncPrefectClient) -> datetime:
    """The server's clock, moved on."""
    return later()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs `sivera doctor` in an empty folder, and returns its exit code and output."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", *arguments])
        return ended.value.code, capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, on_sigterm)


def test_the_command_says_what_is_well_and_what_not(
    ready: Stage, clean_prefect: PrefectServer, command: Command
) -> None:
    deploy()
    start_working(ready)
    end_what_is_due()
    code, out = command("--json")
    said = json.loads(out)
    assert [each for each in said["checks"] if each["verdict"] != "ok"] == []
    assert (code, said["exit_code"]) == (0, 0)
    assert [each["name"] for each in said["checks"]] == list(CHECKS)
    assert all(each.keys() == {"name", "verdict", "text", "mend"} for each in said["checks"])
    assert clean_prefect.auth_string.partition(":")[2] not in out

    with ready.engine.begin() as connection:
        connection.execute(text("UPDATE platform_credentials SET status = 'revoked' WHERE platform = 'meta'"))
    end_what_is_due()
    code, out = command()
    assert code == 1
    lines = out.splitlines()
    assert len(lines) == len(CHECKS)
    (warned,) = [each for each in lines if not each.startswith("ok")]
    assert re.fullmatch(
        r"WARNING  grants +1 do not work: \d+\. Mend: `sivera credentials list` says why; connect them again\.", warned
    )

    setup(f"postgresql://ana:s3cret-value@127.0.0.1:{free_port()}/sivera")
    code, out = command()
    assert code == 2
    assert "s3cret-value" not in out


def test_a_server_that_is_away_hides_nothing_of_the_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://ana:hidden@127.0.0.1:{free_port()}/api"
    began = time.monotonic()
    with temporary_settings({PREFECT_API_URL: url}):
        monkeypatch.setenv("SIVERA_DATABASE_URL", database_url)
        found = look()
        monkeypatch.delenv("SIVERA_DATABASE_URL")
        blind = look()
    assert time.monotonic() - began < 50
    assert found["server"].verdict is FAULT
    assert "does not answer" in found["server"].text
    assert "hidden" not in found["server"].text
    assert found["server"].mend.startswith("start it with `sivera up`")
    assert found["stuck-runs"].text == "needs the Prefect server"
    well = {"timetable", "database", "migrations", "database-clock", "grants", "accounts", "events", "disk"}
    assert {name for name, check in found.items() if check.verdict is OK} == well
    assert exit_code({check.verdict for check in found.values()}) == 2
    assert blind["database"].verdict is SKIPPED
    assert blind["grants"].text == "needs the database"
    assert {name for name, check in blind.items() if check.verdict is OK} == {"timetable", "disk"}


def test_a_database_of_another_version_or_away_hides_nothing_else(examine: Doctor, ready: Stage, postgres: str) -> None:
    assert verdicts(examine()) == {}
    of_tables = dict.fromkeys(("database-clock", "grants", "accounts", "events", "backups"), SKIPPED)
    with ready.engine.begin() as connection:
        newest = connection.execute(text("SELECT version_num FROM sivera_alembic_version")).scalar_one()
        connection.execute(text("UPDATE sivera_alembic_version SET version_num = '0001'"))
    assert newest != "0001"
    found = examine()
    assert verdicts(found) == {"migrations": FAULT, **of_tables}
    assert found["migrations"].text == f"the database is at revision 0001, and the newest is {newest}"
    assert found["migrations"].mend == "run `sivera migrate`"
    with ready.engine.begin() as connection:
        connection.execute(text("UPDATE sivera_alembic_version SET version_num = 'ffff'"))
    assert examine()["migrations"].text == "the database is at revision ffff, which this version does not know"
    setup(postgres)
    assert examine()["migrations"].text.startswith("the database is at revision none, and the newest is")

    setup(f"postgresql://ana:s3cret-value@127.0.0.1:{free_port()}/sivera")
    found = examine()
    assert verdicts(found) == {"database": FAULT, "migrations": SKIPPED, **of_tables}
    assert "/sivera does not answer" in found["database"].text
    assert found["database"].mend == "is it running, and is the URL right?"
    assert "s3cret-value" not in str(found)


def test_blocks_that_are_missing_are_named_and_apps_only_where_they_are_needed(examine: Doctor, ready: Stage) -> None:
    with connect() as client:
        documents = {document.name: document.id for document in client.read_block_documents(limit=200)}
        for name in ("google", "tiktok", TOKEN_KEY):
            client.delete_block_document(documents[name])
    with ready.engine.begin() as connection:
        connection.execute(text("DELETE FROM ad_accounts WHERE platform = 'tiktok'"))
        connection.execute(text("DELETE FROM platform_credentials WHERE platform = 'tiktok'"))
    found = examine()
    assert verdicts(found) == {"token-key": FAULT, "platform-apps": WARNING}
    assert found["token-key"].text == "the block token-key/token-key is missing"
    assert "platform-app/google is missing" in found["platform-apps"].text
    assert "tiktok" not in found["platform-apps"].text
    with ready.engine.begin() as connection:
        connection.execute(text("DELETE FROM ad_accounts"))
        connection.execute(text("DELETE FROM platform_credentials"))
    with connect() as client:
        client.delete_block_document(documents[DATABASE])
    found = examine()
    assert found["platform-apps"].text.startswith("not there or not usable: google, tiktok; ")
    assert found["database-block"].verdict is FAULT
    assert found["database-block"].mend == "set SIVERA_DATABASE_URL and run `sivera deploy`"
    assert "not known" in found["platform-apps"].text
    setup(ready.engine.url.render_as_string(hide_password=False))
    assert examine()["platform-apps"].text == "not there, and not needed: google, tiktok"


def test_blocks_that_are_missing_or_will_not_do_are_faults(examine: Doctor) -> None:
    ResultWebhook(url=SecretStr("https://example.com/s3cret-path"), secret=generate_secret()).save(RESULT_WEBHOOK)
    setup(channels={Channel.URL: SecretStr("json://127.0.0.1:9/s3cret-path")})
    found = examine()
    assert verdicts(found) == {}
    assert found["monitors"].text == f"the blocks result-webhook/{RESULT_WEBHOOK}, apprise-url/alerts-url load"

    with connect() as client:
        rewrite(client, "cron-secret", CRON_SECRET, current="s3cret")
        rewrite(client, "storage", BACKUPS, url="nosuch://place/backups", options={"secret": "s3cret"})
        rewrite(client, "result-webhook", RESULT_WEBHOOK, url="s3cret", secret="s3cret")
        rewrite(client, "apprise-url", "alerts-url", url="s3cret")
        found = examine()
        assert verdicts(found) == dict.fromkeys(("cron-secret", "storages", "monitors"), FAULT)
        assert found["cron-secret"].text.startswith("the block cron-secret/cron-secret does not fit (current: it is ")
        assert found["storages"].text.startswith("files at 'nosuch://place/backups' cannot be reached")
        assert "result-webhook/result-webhook does not fit" in found["monitors"].text
        assert "apprise-url/alerts-url does not fit" in found["monitors"].text
        assert "s3cret" not in str(found)

        for kind, name in (
            ("cron-secret", CRON_SECRET),
            ("storage", REPORTS),
            ("result-webhook", RESULT_WEBHOOK),
            ("apprise-url", "alerts-url"),
        ):
            client.delete_block_document(client.read_block_document_by_name(name, kind).id)
        found = examine()
        assert found["cron-secret"].text == "the block cron-secret/cron-secret is missing"
        assert found["cron-secret"].mend == "save one with `sivera secret set`"
        assert found["storages"].text.startswith(f"the block storage/{REPORTS} is missing")
        assert found["monitors"].text == "none is set"


def rewrite(client: SyncPrefectClient, kind: str, name: str, **data: Any) -> None:
    """Change a document past its class, as a person can by the API."""
    document = client.read_block_document_by_name(name, kind)
    changed = BlockDocumentUpdate(data=data, merge_existing_data=False, block_schema_id=document.block_schema_id)
    client.update_block_document(document.id, changed)


def test_another_token_key_is_a_fault_and_nothing_is_written(examine: Doctor, ready: Stage) -> None:
    known = ready.rows("SELECT id, sentinel FROM token_keys")
    assert known
    TokenKey.generate().save(TOKEN_KEY, overwrite=True)
    found = examine()
    assert verdicts(found) == {"token-key": FAULT}
    assert found["token-key"].text.startswith(f"the block token-key lacks the key '{known[0].id}'")
    assert found["token-key"].mend == "add it from where you keep a copy"
    assert ready.rows("SELECT id, sentinel FROM token_keys") == known


def test_what_differs_from_the_file_and_what_an_operator_switched_off_is_named(examine: Doctor) -> None:
    with connect() as client:
        deployment = client.read_deployment_by_name(NAME)
        schedules = {each.slug: each.id for each in deployment.schedules}
        client.update_deployment_schedule(deployment.id, schedules["hourly"], active=False)
        client.pause_deployment(deployment.id)
        found = examine()
        assert verdicts(found) == {"paused": WARNING}
        assert found["paused"].text == f"switched off, against prefect.yaml: {NAME}, {NAME}/hourly"

        client.update_deployment_schedule(deployment.id, schedules["daily"], schedule=CronSchedule(cron="9 0 29 2 *"))
        client.update_deployment(deployment.id, DeploymentUpdate(tags=["sivera", "mine"], concurrency_limit=2))
        client.delete_deployment(client.read_deployment_by_name("sync-campaigns/google").id)
        client.create_deployment(deployment.flow_id, "old", work_pool_name=WORK_POOL, tags=["sivera"])
    found = examine()
    assert verdicts(found) == {"paused": WARNING, "deployments": FAULT}
    assert found["deployments"].text == (
        f"{NAME} differs in concurrency limit, schedule daily, tags; sync-campaigns/google is not deployed; "
        "sync-campaigns/old is left over"
    )


@pytest.mark.usefixtures("clean_prefect")
def test_each_part_of_a_deployment_is_compared(tmp_path: Path) -> None:
    deploy(timetable_path=write(tmp_path, timetable(ALL)))
    hourly, daily = ALL["schedules"]
    changes: dict[str, dict[str, Any]] = {
        "entrypoint": {"entrypoint": "tests.ops.example_flows.other_example"},
        "description": {"description": "Something else."},
        "parameters": {"parameters": {"options": {"mode": "full"}}},
        "tags": {"tags": ["sivera", "new"]},
        "work pool": {"work_pool": {"name": "sivera", "job_variables": {"env": {"EXAMPLE": "2"}}}},
        "concurrency limit": {"concurrency_limit": ALL["concurrency_limit"] | {"grace_period_seconds": 90}},
        "schedule daily": {"schedules": [hourly, daily | {"timezone": "UTC"}]},
        "schedule hourly": {"schedules": [hourly | {"parameters": {"options": {"mode": "full"}}}, daily]},
        "schedule weekly": {"schedules": [hourly, daily, hourly | {"slug": "weekly"}]},
    }
    with connect() as client:
        deployed = client.read_deployment_by_name("example/all")
    assert list(differences(Deployment.model_validate(ALL), deployed)) == []
    for said, change in changes.items():
        assert list(differences(Deployment.model_validate(ALL | change), deployed)) == [said]
    less = Deployment.model_validate(ALL | {"schedules": [hourly]})
    assert list(differences(less, deployed)) == ["schedule daily"]
    # What an operator switches is no difference, nor is a schedule made in the UI.
    off = [hourly | {"active": False}, daily]
    assert list(differences(Deployment.model_validate(ALL | {"paused": True, "schedules": off}), deployed)) == []


def make_run(client: SyncPrefectClient, name: str, *states: State[Any], deployment: str = NAME) -> UUID:
    """A run of a deployment that went through these states."""
    run = client.create_flow_run_from_deployment(client.read_deployment_by_name(deployment).id, name=name)
    for state in states:
        client.set_flow_run_state(run.id, state)
    return run.id


def test_runs_that_are_late_or_do_not_go_on_are_named(examine: Doctor) -> None:
    with connect() as client:
        deployment = client.read_deployment_by_name(NAME)
        overdue: State[Any] = Scheduled(scheduled_time=utc_now() - timedelta(minutes=5))
        client.create_flow_run_from_deployment(deployment.id, name="nobody-takes-it", state=overdue)
        make_run(client, "never-starts", Pending())
        make_run(client, "never-ends", Pending(), Running(), deployment="sync-campaigns/google")
    found = examine()
    assert verdicts(found) == {"late-runs": WARNING}
    assert re.fullmatch(r"1 runs are late, the first by 5 min( \d\d s)?: nobody-takes-it", found["late-runs"].text)
    assert found["stuck-runs"].text == "2 runs are under way, none of them stuck"
    stuck = examine(now=later)["stuck-runs"]
    assert stuck.verdict is FAULT
    assert "never-starts (Pending for 10 min" in stuck.text
    assert "never-ends (Running for 10 min" in stuck.text


def test_why_a_run_is_stuck() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def why(state: State[Any], minutes: int, limit: timedelta | None = timedelta(minutes=5)) -> str | None:
        state = state.model_copy(update={"timestamp": now - timedelta(minutes=minutes)})
        return why_stuck(FlowRun(flow_id=UUID(int=0), state=state), limit, now)

    assert why(Running(), 5) is None
    assert why(Running(), 7) == "Running for 7 min, with a limit of 5 min"
    assert why(Running(), 600, None) is None
    assert why(Pending(), 4) is None
    assert why(Pending(name="Submitting"), 150) == "Submitting for 2 h 30 min"


def held(client: SyncPrefectClient, limit: str) -> int:
    return client.read_global_concurrency_limit_by_name(limit).active_slots


def leak(client: SyncPrefectClient, limit: str) -> None:
    """Take a slot as a run does whose lease the server has lost."""
    client.increment_concurrency_slots([limit], 1, "concurrency")


def test_slots_that_nobody_holds_are_found_and_released_when_asked(examine: Doctor) -> None:
    with connect() as client:
        limit = f"deployment:{client.read_deployment_by_name(NAME).id}"
        leak(client, limit)
        leak(client, JOB_LOCK)
        # The server cancels it, because the slot is held: it never held one.
        make_run(client, "kept-out", Pending())
        found = examine()
        assert verdicts(found) == {"slots": FAULT}
        assert found["slots"].text == f"held, and no run is alive: 1 of {NAME}, 1 of the lock {JOB_LOCK}"
        assert found["slots"].mend == "run `sivera doctor --fix`"
        assert (held(client, limit), held(client, JOB_LOCK)) == (1, 1)

        fixed = examine(fix=True)
        assert verdicts(fixed) == {}
        assert fixed["slots"].text == f"released: 1 of {NAME}, 1 of the lock {JOB_LOCK}"
        assert (held(client, limit), held(client, JOB_LOCK)) == (0, 0)
        assert examine()["slots"].text == "no slot is held without a run"


def test_a_slot_is_left_alone_while_a_run_may_hold_it_or_a_lease_may_release_it(examine: Doctor) -> None:
    with connect() as client:
        limit = f"deployment:{client.read_deployment_by_name(NAME).id}"
        run = make_run(client, "alive", Pending(), Running())
        leak(client, JOB_LOCK)
        states: list[State[Any]] = [Running(), Paused(), Scheduled(name="AwaitingRetry")]
        for state in states:
            client.set_flow_run_state(run, state, force=True)
            assert examine(server_now=much_later, fix=True)["slots"].text == "no slot is held without a run"
            assert held(client, JOB_LOCK) == 1

        client.set_flow_run_state(run, Crashed(), force=True)
        assert held(client, limit) == 0
        leak(client, limit)
        found = examine(fix=True)["slots"]
        assert found.verdict is WARNING
        assert found.mend.startswith("none yet: Prefect releases them within 7 minutes")
        assert held(client, limit) == 1

        assert examine(now=later, fix=True)["slots"].verdict is WARNING, "it goes by the server's clock"
        assert examine(server_now=much_later, fix=True)["slots"].verdict is OK
        assert (held(client, limit), held(client, JOB_LOCK)) == (0, 0)


def test_the_lock_of_a_run_that_was_deleted_and_works_on_is_left_alone(examine: Doctor) -> None:
    with connect() as client:
        run = client.read_flow_run(make_run(client, "deleted", Pending(), Running()))
        leak(client, JOB_LOCK)
        emit_event(
            "prefect.flow-run.heartbeat",
            resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"},
            related=[{"prefect.resource.id": f"prefect.flow.{run.flow_id}", "prefect.resource.role": "flow"}],
        )
        wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run.id}"]}}
        assert events_where(wanted) == [{}]
        client.delete_flow_run(run.id)
        assert examine(fix=True)["slots"].verdict is WARNING
        assert held(client, JOB_LOCK) == 1
        assert examine(server_now=much_later, fix=True)["slots"].text == f"released: 1 of the lock {JOB_LOCK}"


def test_limits_automations_and_workers_that_are_missing_or_switched_off(examine: Doctor) -> None:
    with connect() as client:
        client.update_global_concurrency_limit(LOCKS[0], GlobalConcurrencyLimitUpdate(active=False))
        client.update_work_pool(WORK_POOL, WorkPoolUpdate(is_paused=True))
        client.pause_automation(automation_ids(client)[0])
        found = examine()
        assert verdicts(found) == {"limits": FAULT, "worker": WARNING, "automations": WARNING}
        assert LOCKS[0] in found["limits"].text

        before = (client.read_global_concurrency_limits(limit=200), client.read_deployments(limit=200))
        assert verdicts(examine(fix=True)) == verdicts(found)
        assert (client.read_global_concurrency_limits(limit=200), client.read_deployments(limit=200)) == before

        client.delete_global_concurrency_limit_by_name(LOCKS[1])
        client.delete_automation(automation_ids(client)[1])
        worker = {"work_pool_name": WORK_POOL, "name": "a-worker"}
        client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=worker)
        found = examine()
        assert (found["limits"].text, found["limits"].mend) == (f"missing: {LOCKS[1]}", "run `sivera deploy`")
        assert found["automations"].text.startswith("missing: sivera: crash")
        assert found["worker"].text == "no worker of the work pool sivera is online"
        client.delete_block_type(client.read_block_type_by_slug("platform-app").id)
        assert examine()["block-types"].text == "not registered: platform-app"
        client.delete_work_pool(WORK_POOL)
        assert examine()["worker"].text == "the work pool sivera does not exist"


def test_a_channel_that_is_set_has_both_its_automations(examine: Doctor) -> None:
    url = SecretStr("https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue")
    setup(channels={Channel.SLACK: url})
    assert verdicts(examine()) == {}
    with connect() as client:
        for name in automation_names(Channel.SLACK):
            (automation,) = client.read_automations_by_name(name)
            client.pause_automation(automation.id)
            found = examine()["automations"]
            assert (found.verdict, found.text.endswith(name)) == (WARNING, True)
            client.delete_automation(automation.id)
            found = examine()["automations"]
            assert (found.verdict, found.text) == (FAULT, f"missing: {name}")
            setup()


def test_a_channel_whose_last_message_was_not_taken_is_said(examine: Doctor) -> None:
    setup(channels={Channel.URL: SecretStr("json://user:s3cretvalue@127.0.0.1:9/hook")})
    with connect() as client:
        (automation,) = client.read_automations_by_name(automation_names(Channel.URL)[0])
    resource = f"prefect.automation.{automation.id}"
    # As the server's own; a test of check-alerts has the server send to a service that refuses.
    emit_event(NOT_TAKEN, resource={"prefect.resource.id": resource})
    events_where({"event": {"name": [NOT_TAKEN]}, "resource": {"id": [resource]}})
    found = examine()["automations"]
    assert found.verdict is WARNING
    assert "the last message was not taken: url (20" in found.text


def automation_ids(client: SyncPrefectClient) -> list[UUID]:
    found = {each.name: each.id for each in client.read_automations(limit=200)}
    return [found[automation.name] for automation in AUTOMATIONS]


def test_grants_accounts_and_events_that_need_a_look_are_counted(examine: Doctor, ready: Stage) -> None:
    broken = """
        UPDATE platform_credentials SET expires_at = now() + interval '23 hours' WHERE platform = 'meta';
        UPDATE platform_credentials SET expires_at = now() - interval '1 hour' WHERE platform IN ('google', 'amazon');
        UPDATE platform_credentials SET status = 'reauthorization_required' WHERE platform = 'tiktok';
        UPDATE platform_credentials SET status_since = now() - interval '1 day';
        UPDATE ad_accounts SET created_at = now() - interval '1 day';
        UPDATE ad_accounts SET last_synced_at = now() - interval '119 minutes' WHERE platform = 'google';
        UPDATE ad_accounts SET last_synced_at = now() - interval '121 minutes' WHERE platform = 'meta';
        UPDATE ad_accounts SET next_attempt_at = now() + interval '1 hour' WHERE platform = 'amazon';
        INSERT INTO outbox_events (name, resource, payload, created_at, published_at) VALUES
            ('old', 'r', '{}', now() - interval '2 hours', NULL), ('new', 'r', '{}', now(), NULL),
            ('done', 'r', '{}', now() - interval '2 hours', now());
    """
    with ready.engine.begin() as connection:
        for statement in filter(str.strip, broken.split(";")):
            connection.execute(text(statement))
    grants = {row.platform: row.id for row in ready.rows("SELECT platform, id FROM platform_credentials")}
    stale = [row.id for row in ready.rows("SELECT id FROM ad_accounts WHERE platform IN ('meta', 'amazon') ORDER BY 1")]
    found = examine()
    assert verdicts(found) == dict.fromkeys(("grants", "accounts", "events"), WARNING)
    assert found["grants"].text == (
        f"1 do not work: {grants['tiktok']}; 1 end within a day and have no refresh token: {grants['meta']}"
    )
    assert found["accounts"].text == (
        f"4 have data older than two hours, 2 of them in the slow lane: {', '.join(map(str, stale))}"
    )
    assert re.fullmatch(r"1 wait since \d{4}-\d\d-\d\d \d\d:\d\d UTC to be published", found["events"].text)


def test_the_last_backup_and_the_age_of_the_last_verified_one_are_looked_at(ready: Stage) -> None:
    deploy()

    def add(outcome: str, ago: str, reason: str | None = None) -> None:
        with ready.engine.begin() as connection:
            connection.execute(
                text(
                    """INSERT INTO backups (run_id, outcome, started_at, reason)
                       VALUES (gen_random_uuid(), :outcome, now() - CAST(:ago AS interval), :reason)"""
                ),
                {"outcome": outcome, "ago": ago, "reason": reason},
            )

    def found(**parts: Any) -> tuple[Verdict, str]:
        check = look(**parts)["backups"]
        return check.verdict, check.text

    nine_days = timedelta(days=9)
    assert found() == (OK, "none yet: the first one is made within a week of the deployment")
    assert found(server_now=lambda _: utc_now() + nine_days) == (WARNING, "none was ever verified")
    add("inconclusive", "20 days", "no room")
    assert found() == (WARNING, "none was ever verified: no room")
    add("verified", "9 days")
    assert found() == (WARNING, "the last verified one is 9 d old")
    add("verified", "2 days")
    add("running", "1 minute")
    assert found() == (OK, "the last verified one is 2 d old")
    add("inconclusive", "1 day", "no room")
    assert (found()[0], found()[1].partition("UTC: ")[2]) == (WARNING, "no room")
    add("mismatch", "1 hour", "it is damaged")
    assert (found()[0], found()[1].partition("will not do: ")[2]) == (FAULT, "it is damaged")


def test_a_wrong_timetable_skips_what_needs_it_and_clocks_that_disagree_are_said(
    examine: Doctor, tmp_path: Path
) -> None:
    path = write(tmp_path, timetable(ALL | {"nme": "x"}, ALL | {"name": "B"}))
    found = examine(timetable_path=path, now=lambda: utc_now() - timedelta(minutes=2))
    needing = dict.fromkeys(("deployments", "paused", "stuck-runs", "slots", "backups"), SKIPPED)
    assert verdicts(found) == {"timetable": FAULT, "server-clock": FAULT, "database-clock": FAULT, **needing}
    assert "key 'nme'" in found["timetable"].text
    assert "deployment 'B'" in found["timetable"].text
    assert re.search(r"differs from the one here by 1[12]\d seconds", found["database-clock"].text)


def test_how_far_clocks_may_differ() -> None:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for seconds, verdict in ((0, OK), (-10, OK), (11, WARNING), (-59, WARNING), (60, FAULT), (-60, FAULT)):
        assert compare_clocks("it", at + timedelta(seconds=seconds), at, at).verdict is verdict
    assert compare_clocks("it", at + timedelta(seconds=20), at, at + timedelta(seconds=30)).verdict is OK


def answer(body: object, status: int = 200, after_seconds: float = 0) -> Endpoint:
    async def endpoint(_: Request) -> JSONResponse:
        await asyncio.sleep(after_seconds)
        return JSONResponse(body, status)

    return endpoint


OPEN_AND_OLD = Starlette(
    routes=[
        Route("/api/hello", answer("hello")),
        Route("/api/admin/version", answer("3.7.0")),
        Route("/api/csrf-token", answer("CSRF protection is disabled.", 422)),
        Route("/api/automations/filter", answer([], after_seconds=60), methods=["POST"]),
        Route("/api/{rest:path}", answer({"unknown": True}), methods=["GET", "POST"]),
    ]
)


def test_an_open_old_or_silent_server_is_said_and_hides_nothing(tmp_path: Path) -> None:
    # Prefect's own server is not started without a password and of another version: that would take half a minute each.
    with serve(OPEN_AND_OLD) as url, temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        began = time.monotonic()
        found = look(folder=tmp_path / "not" / "there")
        assert time.monotonic() - began < 50
    assert found["password"].verdict is WARNING
    assert "PREFECT_SERVER_API_AUTH_STRING" in found["password"].mend
    assert found["versions"].verdict is FAULT
    assert found["versions"].text.startswith("the server is Prefect 3.7.0, and the pin is ")
    assert "does not answer (ReadTimeout)" in found["automations"].text
    assert found["worker"].text == "the check itself failed (ValidationError)"
    assert list(found) == list(CHECKS)
    assert found["disk"].verdict is OK


@pytest.mark.usefixtures("prefect_api")
def test_a_wrong_password_is_said() -> None:
    with temporary_settings({PREFECT_API_AUTH_STRING: "admin:hidden"}):
        found = look()["server"]
    assert "refuses us (HTTP 401)" in found.text
    assert found.mend.startswith("set PREFECT_API_AUTH_STRING")
    assert "hidden" not in str(found)


def test_versions_that_do_not_fit_their_pins_are_said() -> None:
    pins = {"prefect": SpecifierSet(">=3.8.8,<3.9"), "fastapi": SpecifierSet("<0.151")}
    assert list(misfitting("3.8.9", {"prefect": "3.8.8", "fastapi": "0.150.1"}, pins)) == []
    server, here = misfitting("3.9.0", {"prefect": "3.8.8", "fastapi": "0.155"}, pins)
    assert server.startswith("the server is Prefect 3.9.0, and the pin is ")
    assert here == "fastapi 0.155 is installed here, and the pin is <0.151"


@pytest.mark.parametrize(
    ("free_gibibytes", "total_gibibytes", "expected"),
    [(2, 10, False), (0.9, 2, True), (1, 10, False), (1.5, 20, True), (100, 2000, True)],
)
def test_when_a_disk_is_too_full(free_gibibytes: float, total_gibibytes: float, expected: bool) -> None:
    assert is_full(int(free_gibibytes * 2**30), int(total_gibibytes * 2**30)) is expected


def test_the_exit_code_is_that_of_the_worst() -> None:
    assert [exit_code(found) for found in ({OK, SKIPPED}, {OK, WARNING}, {WARNING, FAULT, OK})] == [0, 1, 2]


def test_of_many_ids_a_few_are_shown_and_nothing_breaks_the_line() -> None:
    assert few(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    check = Check(name="server", verdict=FAULT, text="down\x1b[2J\nnow", mend="start it")
    assert line(check).isprintable()
    assert line(check).endswith("now. Mend: start it.")


@pytest.mark.parametrize("language", ["operations.md", "operations.ko.md"])
def test_the_guide_explains_each_check(language: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / language).read_text()
    section = guide.partition('<a id="doctor"></a>')[2].partition('<a id="')[0]
    assert set(CHECKS) <= set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE))
