"""check-alerts to the end: real PostgreSQL, a real Prefect server, and a receiver that stands for Slack and Discord."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Pending, Running
from pydantic import SecretStr
from sqlalchemy import text

from blocks.alert_channels import find_channels, watchdog
from blocks.server import connect
from blocks.setup import setup
from flows.check_alerts import check_alerts
from ops.commands.alerts import list_alerts
from ops.commands.alerts import test as send_test
from ops.deploy import deploy
from sivera.alerts.options import AlertOptions, Channel
from sivera.history.rules import SEE
from sivera.values import PlatformName
from tasks import resources
from tasks.alerts import check
from tests.chats import DISCORD, SLACK, WEBHOOK, Chats
from tests.flows.runs import announced, artifacts, events_where, run
from tests.ops.timetables import ALL, timetable, write
from tests.prefect_server import ask
from tests.stage import Stage
from tests.unit.tables import Tables

CANARY = "CanaryOfWebhook7"
SERVICES = (SLACK, DISCORD, WEBHOOK)


@pytest.fixture
def receiver(ready: Stage, chats: Chats) -> Chats:
    """The services, with a channel for each."""
    assert ready
    setup(
        channels={
            Channel.SLACK: SecretStr(f"https://hooks.slack.com/services/T0000000A/B0000000B/{CANARY}xxxxxxxx"),
            Channel.DISCORD: SecretStr(f"https://discord.com/api/webhooks/123456789012345678/{CANARY}{'x' * 52}"),
            Channel.URL: SecretStr(f"json://user:{CANARY}@127.0.0.1:{chats.port}/hook"),
        }
    )
    return chats


def start_by_hand(deployment: str, *states: State) -> FlowRun:
    """Start a run by hand, and let it go through these states."""
    with connect() as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name(deployment).id)
        for state in (Pending(), Running(), *states):
            client.set_flow_run_state(run.id, state, force=True)
    return run


def everything_said(stage: Stage) -> str:
    """Everything that the server shows, and all alerts."""
    kinds = ("events", "automations", "flow_runs", "logs", "artifacts", "block_documents")
    return json.dumps([*map(ask, kinds), *map(str, stage.rows("SELECT * FROM alerts"))])


def test_each_channel_gets_one_message_when_a_job_fails_and_one_when_it_is_over(
    ready: Stage, receiver: Chats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With an invalid setting the messages only lack a link.
    monkeypatch.setenv("SIVERA_PUBLIC_URL", "https://[jobs.example.com")
    deploy(timetable_path=write(tmp_path, timetable(ALL)))
    crashed = start_by_hand("example/all", Crashed(message="No heartbeat for 150 seconds: the process is gone."))
    start_by_hand("example/all", Failed(message="again"))
    state = run(check_alerts)
    assert (state.name, state.message) == ("Completed", "1 open, 1 of them new, 0 over")
    for service in SERVICES:
        (alert,) = receiver.of(service)
        title, *lines = alert.splitlines()
        assert title == "Alert: example/all failed"
        assert "Crashed: No heartbeat for 150 seconds: the process is gone. No schedule started it" in alert
        assert lines[-2].startswith("Since 20")
        assert lines[-1].endswith(f"/runs/flow-run/{crashed.id}")
    assert {(one.host, one.path) for one in receiver.messages} == {
        (SLACK, f"/services/T0000000A/B0000000B/{CANARY}xxxxxxxx"),
        (DISCORD, f"/api/webhooks/123456789012345678/{CANARY}{'x' * 52}"),
        (WEBHOOK, "/hook"),
    }
    assert "example/all failed" in str(artifacts(state)["check-alerts-open"])
    assert announced(check_alerts, state, "opened", "closed") == [True, 1, 0, 1, 0]
    (opened,) = events_where(resource={"id": ["sivera.alert.job-failed.example/all"]})
    assert (opened["kind"], opened["subject"]) == ("job-failed", "example/all")

    assert run(check_alerts).message == "1 open, 0 of them new, 0 over"
    start_by_hand("example/all", Completed())
    assert run(check_alerts).message == "0 open, 0 of them new, 1 over"
    assert run(check_alerts).message == "0 open, 0 of them new, 0 over"
    for service in SERVICES:
        alert, over = receiver.of(service)
        assert over.startswith("Over: example/all failed")
        assert "and is over." in over
    assert CANARY not in everything_said(ready)


def test_the_next_check_sends_a_refused_message_again_but_only_to_that_channel(
    ready: Stage, receiver: Chats, capsys: pytest.CaptureFixture[str]
) -> None:
    Tables(ready.engine).add_alert("x", "budget", title="It is spent")
    receiver.statuses = {SLACK: 500, DISCORD: 404}
    state = run(check_alerts)
    assert (state.name, state.message) == (
        "Failed",
        f"1 open, 0 of them new, 0 over; slack refused 1 message; discord refused 1 message{SEE}check-alerts",
    )
    capsys.readouterr()
    list_alerts()
    assert capsys.readouterr().out.count("on, but it has not accepted 1 message yet") == 2
    assert send_test() == 1
    out = capsys.readouterr().out
    assert "slack: the message was not accepted: does the webhook still exist?" in out
    assert "url: the message was accepted." in out
    receiver.statuses.clear()
    for _ in range(2):
        assert run(check_alerts).is_completed()
    for service, count in ((SLACK, 2), (DISCORD, 2), (WEBHOOK, 1)):
        assert len(receiver.of(service, "Alert: It is spent")) == count
    assert CANARY not in out + everything_said(ready)


def test_if_the_history_cannot_be_read_the_rest_is_checked(ready: Stage, caplog: pytest.LogCaptureFixture) -> None:
    Tables(ready.engine).add_alert("x")
    ready.connect(ready.world.add_grant(PlatformName.META))
    with ready.engine.begin() as connection:
        connection.execute(text("UPDATE platform_credentials SET status = 'revoked', status_since = now()"))
    resources.engine()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        summary = check.fn(AlertOptions())
    said = "2 open, 1 of them new, 0 over; the jobs were not checked: the Prefect server at http://127.0.0.1:9/api does"
    assert summary.sentence.startswith(said)
    assert not summary.success
    assert "did not accept the event sivera.alert.opened" in caplog.text


def test_the_watchdog_sends_a_message_when_no_check_succeeds(receiver: Chats) -> None:
    with connect() as client:
        document = dict(find_channels(client))[Channel.URL]
        (made,) = client.read_automations_by_name(watchdog([]).name)
        # The same automation, but faster, and only for the channel that the server reaches without a proxy.
        client.update_automation(made.id, watchdog([document.id], timedelta(seconds=10)))
    run(check_alerts)
    (alert,) = receiver.wait_for(WEBHOOK, "Alert: ")
    assert alert.startswith("Alert: check-alerts does not do its work")
    assert "so people are not notified of everything" in alert
