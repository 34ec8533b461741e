"""check-alerts to the end: real PostgreSQL, a real Prefect server, and a receiver that stands for Slack and Discord."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from blocks.alert_messages import find_refusals, last_refused
from ops.commands.alert_actions import list_alerts, remove_channel
from ops.commands.alert_actions import test_channels as send_test
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running
from pydantic import SecretStr
from sivera.alerts.events import CLOSED, OPENED
from sivera.alerts.resending import WAIT, Refusal
from sqlalchemy import text
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.alert_channels import automation_names, automations_of
from blocks.database import DATABASE_BLOCK
from blocks.names import ALERTS_JOB, DATABASE
from blocks.server import connect
from blocks.setup import setup
from flows.check_alerts import check_alerts
from ops.deploy import deploy
from sivera.alerts import resending
from sivera.alerts.checking import SILENCE
from sivera.alerts.options import Channel
from sivera.clock import utc_now
from sivera.occurrences.rules import ANOTHER_INSTANCE
from tasks import resources
from tests.chats import DISCORD, SLACK, Chats, chats
from tests.flows.runs import artifacts, events
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.prefect_server import PrefectServer, run_server
from tests.stage import Stage

CANARY = "CanaryOfWebhook7"
WEBHOOK = "webhook"
SERVICES = {Channel.SLACK: SLACK, Channel.DISCORD: DISCORD, Channel.URL: WEBHOOK}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    """What stands for the services."""
    with chats(tmp_path_factory.mktemp("chats")) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def prefect_server(receiver: Chats, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server for which the receiver is Slack and Discord."""
    home = tmp_path_factory.mktemp("prefect")
    trust = str(receiver.authority)
    with run_server(home, HTTPS_PROXY=receiver.url, REQUESTS_CA_BUNDLE=trust) as server:
        yield server


@pytest.fixture
def told(ready: Stage, receiver: Chats) -> Iterator[Stage]:
    """A stage with all three channels, and a receiver that has had no message."""
    setup(
        channels={
            Channel.SLACK: SecretStr(f"https://hooks.slack.com/services/T0000000A/B0000000B/{CANARY}xxxxxxxx"),
            Channel.DISCORD: SecretStr(f"https://discord.com/api/webhooks/123456789012345678/{CANARY}{'x' * 52}"),
            Channel.URL: SecretStr(f"json://user:{CANARY}@127.0.0.1:{receiver.port}/hook"),
        }
    )
    receiver.messages.clear()
    receiver.status = 200
    receiver.statuses.clear()
    yield ready
    with connect() as client:  # else its automations outlive the test by the wait for silence
        for channel in Channel:
            for name in automation_names(channel):
                for automation in client.read_automations_by_name(name):
                    client.delete_automation(automation.id)


def occurrence(stage: Stage, minutes_ago: int, outcome: str, job: str = "sync-campaigns") -> None:
    with stage.engine.begin() as connection:
        connection.execute(
            text(
                """INSERT INTO job_occurrences
                       (deployment, scheduled_at, job, schedule, outcome, started_at, ended_at, message)
                   VALUES (:job || '/all', now() - :ago, :job, 'hourly', :outcome,
                           now() - :ago, now() - :ago, '47 of 48 accounts synced, 1 failed')"""
            ),
            {"ago": timedelta(minutes=minutes_ago), "outcome": outcome, "job": job},
        )


def run() -> State:
    state: State = check_alerts(return_state=True)
    assert state.is_completed(), state.message
    return state


def shorten_silence(channel: Channel, seconds: int) -> None:
    """Leave the automation as it is, but for the time: 22 minutes are long in a test."""
    with connect() as client:
        (automation,) = client.read_automations_by_name(automation_names(channel)[1])
        (action,) = automation.actions
        shorter = automations_of(channel, action.block_document_id, timedelta(seconds=seconds))[1]  # type: ignore[union-attr]
        client.update_automation(automation.id, shorter)


def break_the_database() -> None:
    """Delete the block that says where it is."""
    with connect() as client:
        document = client.read_block_document_by_name(DATABASE, DATABASE_BLOCK.get_block_type_slug())
        client.delete_block_document(document.id)
    resources.close()


def flush(receiver: Chats) -> None:
    """Wait until what was sent before has come: messages of an automation come in the order of their events."""
    before = len(receiver.of(WEBHOOK, "Test: "))
    for attempt in Retrying(stop=stop_after_delay(150), reraise=True):
        with attempt:  # it looks for a minute, and a busy server may take longer
            assert send_test() == (1 if receiver.statuses else 0)
    receiver.wait_for(WEBHOOK, "Test: ", before + 1)


def everything_said(stage: Stage) -> str:
    """All events, automations, states, logs and rows."""
    with connect() as client:
        seen = [
            client.request("POST", "/events/filter", json={}).text,
            client.request("POST", "/automations/filter", json={}).text,
            client.request("POST", "/flow_runs/filter", json={}).text,
            client.request("POST", "/logs/filter", json={}).text,
            client.request("POST", "/artifacts/filter", json={}).text,
            client.request("POST", "/block_documents/filter", json={}).text,
        ]
    rows = [[*map(str, stage.rows(f"SELECT * FROM {table}"))] for table in ("alerts", "outbox_events")]  # noqa: S608
    return json.dumps([seen, rows])


def test_a_condition_is_told_of_once_by_each_channel_and_once_more_when_it_is_over(
    told: Stage, receiver: Chats
) -> None:
    occurrence(told, 60, "failed")
    state = run()
    assert state.message == "1 open, 1 of them new, 0 over"
    for service in SERVICES.values():
        (alert,) = receiver.wait_for(service, "Alert: ")
        assert alert.startswith("Alert: sync-campaigns/all failed")
        assert "47 of 48 accounts synced, 1 failed. See docs/operations.md" in alert
        assert "Since 20" in alert
        assert "/runs" in alert
    assert "sync-campaigns/all failed" in str(artifacts(state)["check-alerts-open"])
    (finished,) = events("sivera.check-alerts.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (True, 1, 0)

    assert run().message == "1 open, 0 of them new, 0 over"
    occurrence(told, 0, "ran")
    assert run().message == "0 open, 0 of them new, 1 over"
    for service in SERVICES.values():
        (over,) = receiver.wait_for(service, "Over: ")
        assert over.startswith("Over: sync-campaigns/all failed")
        assert "and is over." in over
    run()
    flush(receiver)
    for service in SERVICES.values():
        assert len(receiver.of(service, "Alert: ")) == len(receiver.of(service, "Over: ")) == 1
    assert {(one.host, one.path) for one in receiver.messages} == {
        (SLACK, f"/services/T0000000A/B0000000B/{CANARY}xxxxxxxx"),
        (DISCORD, f"/api/webhooks/123456789012345678/{CANARY}{'x' * 52}"),
        (WEBHOOK, "/hook"),
    }
    assert CANARY not in everything_said(told)


def start_by_hand(deployment: str, *states: State) -> FlowRun:
    """Start a run as `prefect deployment run`, the UI and the door do, and let it go through these states."""
    with connect() as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name(deployment).id)
        for state in (Pending(), Running(), *states):
            client.set_flow_run_state(run.id, state, force=True)
    return run


def test_a_run_by_hand_that_fails_is_told_of_once_and_once_more_when_one_ends_well(
    told: Stage, receiver: Chats, tmp_path: Path
) -> None:
    deploy(timetable_path=write(tmp_path, timetable(ALL, SPLIT)))
    crashed = start_by_hand("example/all", Crashed(message="No heartbeat for 150 seconds: the process is gone."))
    start_by_hand("example/all", Failed(message="so it was"))
    timed_out = start_by_hand("example/split", Failed(name="TimedOut", message="over 300 seconds"))
    start_by_hand("example/split", Cancelled(message=ANOTHER_INSTANCE))
    assert run().message == "2 open, 2 of them new, 0 over"
    for service in SERVICES.values():
        first, second = sorted(receiver.wait_for(service, "Alert: ", 2))
        assert first.splitlines()[0] == "Alert: example/all failed"
        assert "Crashed: No heartbeat for 150 seconds: the process is gone." in first
        assert "No schedule started it" in first
        assert f"/runs/flow-run/{crashed.id}" in first
        assert second.splitlines()[0] == "Alert: example/split failed"
        assert "TimedOut: over 300 seconds." in second
        assert f"/runs/flow-run/{timed_out.id}" in second
    start_by_hand("example/all", Failed(message="again"))
    assert run().message == "2 open, 0 of them new, 0 over"
    start_by_hand("example/all", Completed())
    assert run().message == "1 open, 0 of them new, 1 over"
    for service in SERVICES.values():
        (over,) = receiver.wait_for(service, "Over: ")
        assert over.startswith("Over: example/all failed")
    flush(receiver)
    assert {len(receiver.of(service, "Alert: ")) for service in SERVICES.values()} == {2}
    kept_out = told.rows("SELECT schedule FROM job_occurrences WHERE message = :said", said=ANOTHER_INSTANCE)
    assert [row.schedule for row in kept_out] == [None]


def test_an_event_of_another_job_is_told_of_too(told: Stage, receiver: Chats) -> None:
    payload = {
        "kind": "budget",
        "subject": "7",
        "title": "Budget of Hanok is spent",
        "message": "It is.",
        "since": "2026-11-24T12:00:00+00:00",
        "link": "",
    }
    with told.engine.begin() as connection:
        for name in (OPENED, CLOSED):
            connection.execute(
                text(
                    "INSERT INTO outbox_events (name, resource, payload) VALUES (:name, 'sivera.alert.budget.7', :of)"
                ),
                {"name": name, "of": json.dumps(payload)},
            )
    run()
    # By each: what comes after this test would be taken for the next one's.
    for service in SERVICES.values():
        (alert,) = receiver.wait_for(service, "Alert: ")
        (over,) = receiver.wait_for(service, "Over: ")
        assert alert.startswith("Alert: Budget of Hanok is spent")
        assert alert.endswith("It is.\nSince 2026-11-24T12:00:00+00:00.")
        assert over.startswith("Over: Budget of Hanok is spent")
        assert over.endswith("It began at 2026-11-24T12:00:00+00:00, and is over.")


def test_where_no_check_ends_the_server_says_so_and_the_next_check_that_it_is_over(
    told: Stage, receiver: Chats
) -> None:
    shorten_silence(Channel.SLACK, seconds=10)
    run()
    (alert,) = receiver.wait_for(SLACK, "Alert: ", seconds=100)
    assert alert.startswith("Alert: check-alerts does not do its work")
    assert "It has not ended well for" in alert
    with told.engine.begin() as connection:
        connection.execute(text("UPDATE alert_checks SET checked_at = now() - :ago"), {"ago": SILENCE * 2})
    assert run().message == "0 open, 0 of them new, 1 over"
    (over,) = receiver.wait_for(SLACK, "Over: ")
    assert over.startswith("Over: check-alerts does not do its work")


@pytest.mark.usefixtures("told")
def test_where_checks_fail_the_server_says_so_once_for_all_that_time(receiver: Chats) -> None:
    shorten_silence(Channel.SLACK, seconds=10)
    # After four times as long the other channel is told, so that the test knows when that is.
    shorten_silence(Channel.DISCORD, seconds=40)
    run()
    break_the_database()
    for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(150)):
        with attempt:
            assert check_alerts(return_state=True).is_failed()
            assert receiver.of(DISCORD, "Alert: ")
    flush(receiver)
    assert [text.partition("\n")[0] for text in receiver.of(SLACK, "Alert: ")] == [
        "Alert: check-alerts does not do its work"
    ]


def test_a_test_says_which_channel_does_not_take_its_message_and_shows_no_secret(
    told: Stage, receiver: Chats, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send_test() == 0
    assert capsys.readouterr().out == "".join(f"{channel.value}: the message was taken.\n" for channel in Channel)
    receiver.status = 404
    with connect() as client:
        (automation,) = client.read_automations_by_name(automation_names(Channel.DISCORD)[0])
        client.pause_automation(automation.id)
    assert send_test() == 1
    out = capsys.readouterr().out
    assert "slack: the message was not taken: is the webhook still there?" in out
    assert "discord: its automation is switched off in the UI." in out
    assert "url: the message was not taken" in out
    assert CANARY not in out + everything_said(told)


def refusals(count: int) -> list[Refusal]:
    """The messages that were not taken, once the server says that there are so many; it does so a moment later."""
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True):
        with attempt, connect() as client:
            found = find_refusals(client, utc_now() - timedelta(hours=1))
            assert len(found) >= count
    return found


def test_what_a_service_refuses_is_sent_again_to_it_alone_until_it_takes_it(
    told: Stage, receiver: Chats, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = {SLACK: 500}
    occurrence(told, 60, "failed")
    run()
    for service in SERVICES.values():
        receiver.wait_for(service, "Alert: sync-campaigns/all failed")
    (refusal,) = refusals(1)
    assert refusal.channel is Channel.SLACK
    with connect() as client:
        assert last_refused(client).keys() == {Channel.SLACK}
    list_alerts()
    assert capsys.readouterr().out.count("on, but its last message was not taken (") == 1
    # It is sent again, and refused again.
    run()
    assert len(receiver.wait_for(SLACK, "Alert: ", 2)) == 2
    refusals(2)
    # Nothing before its time, and nothing twice.
    run()
    flush(receiver)
    refused_tests = 1
    assert len(receiver.of(SLACK, "Alert: ")) == 2
    # Five minutes later the service takes it.
    receiver.statuses.clear()
    later = [one.model_copy(update={"at": one.at - WAIT}) for one in refusals(2 + refused_tests)]
    assert resending.send_again(told.engine, later) == 1
    run()
    assert len(receiver.wait_for(SLACK, "Alert: ", 3)) == 3
    flush(receiver)
    with connect() as client:
        assert last_refused(client) == {}
    assert resending.send_again(told.engine, later) == 0
    run()
    flush(receiver)
    assert len(receiver.of(SLACK, "Alert: ")) == 3
    for service in (DISCORD, WEBHOOK):
        assert len(receiver.of(service, "Alert: ")) == 1
    occurrence(told, 0, "ran")
    run()
    for service in SERVICES.values():
        assert len(receiver.wait_for(service, "Over: ")) == 1


def test_an_alert_that_is_over_is_not_sent_again(told: Stage, receiver: Chats) -> None:
    receiver.statuses = {DISCORD: 429}
    occurrence(told, 60, "failed")
    run()
    refusals(1)
    receiver.statuses.clear()
    before = len(receiver.of(DISCORD, "Alert: "))
    occurrence(told, 0, "ran")
    run()
    receiver.wait_for(DISCORD, "Over: ")
    run()
    flush(receiver)
    assert len(receiver.of(DISCORD, "Alert: ")) == before
    assert len(receiver.of(DISCORD, "Over: ")) == 1


@pytest.mark.usefixtures("told")
def test_a_channel_that_is_removed_is_silent(receiver: Chats) -> None:
    remove_channel(Channel.DISCORD)
    flush(receiver)
    receiver.wait_for(SLACK, "Test: ")
    assert receiver.of(DISCORD) == []


@contextmanager
def refusing(stage: Stage, what: str) -> Iterator[Stage]:
    """A stage whose database refuses something."""
    with stage.engine.begin() as connection:
        connection.execute(
            text("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not today'; END$$")
        )
        connection.execute(text(f"CREATE TRIGGER refuse BEFORE {what} EXECUTE FUNCTION refuse()"))
    yield stage
    with stage.engine.begin() as connection:
        connection.execute(text("DROP FUNCTION refuse CASCADE"))


@pytest.fixture
def unaccountable(told: Stage) -> Iterator[Stage]:
    """A stage in which the accounting for scheduled times fails, and nothing else."""
    with refusing(told, "DELETE ON job_occurrences FOR EACH STATEMENT") as stage:
        yield stage


def test_where_the_accounting_fails_all_else_is_checked_and_told(unaccountable: Stage, receiver: Chats) -> None:
    occurrence(unaccountable, 60, "failed")
    state: State = check_alerts(return_state=True)
    assert state.is_failed()
    assert state.message
    assert state.message.startswith("1 open, 1 of them new, 0 over; the scheduled times were not accounted for: ")
    assert "not today" in state.message
    for service in SERVICES.values():
        receiver.wait_for(service, "Alert: sync-campaigns/all failed")
    (finished,) = events("sivera.check-alerts.finished", state)
    assert (finished["success"], finished["totalProcessed"]) == (False, 1)
    # It is no check that ended well: the server tells after a while, and the next that does says that it is over.
    assert unaccountable.rows("SELECT checked_at FROM alert_checks") == []


@pytest.fixture
def unrepeatable(told: Stage) -> Iterator[Stage]:
    """A stage in which no message can be sent again."""
    with refusing(told, "INSERT ON outbox_events FOR EACH ROW WHEN (NEW.payload ? 'attempts')") as stage:
        yield stage


def test_where_refused_messages_cannot_be_sent_again_what_is_new_is_told(unrepeatable: Stage, receiver: Chats) -> None:
    receiver.statuses = {SLACK: 500}
    occurrence(unrepeatable, 60, "failed")
    run()
    refusals(1)
    occurrence(unrepeatable, 60, "failed", "collect-metrics")
    state: State = check_alerts(return_state=True)
    assert state.is_failed()
    assert state.message
    assert "2 open, 1 of them new, 0 over; the messages that were not taken were not sent again: " in state.message
    assert "not today" in state.message
    for service in SERVICES.values():
        receiver.wait_for(service, "Alert: collect-metrics/all failed")


@pytest.mark.usefixtures("told")
def test_a_second_instance_ends_cancelled() -> None:
    with concurrency(ALERTS_JOB, strict=True, max_retries=0):
        state: State = check_alerts(return_state=True)
    assert (state.name, state.message) == ("Cancelled", "Another instance is already running")


def test_a_check_that_hangs_in_the_accounting_ends_as_a_whole(ready: Stage) -> None:
    with ready.engine.begin() as connection:
        connection.execute(text("LOCK TABLE job_occurrences"))
        # A step whose state is asked for, and not its result, must not swallow the timeout and go on without one.
        state: State = check_alerts.with_options(timeout_seconds=8)(return_state=True)
    assert state.name == "TimedOut"
    (finished,) = events("sivera.check-alerts.finished", state)
    assert (finished["success"], finished["state"]) == (False, "TimedOut")
    assert ready.rows("SELECT checked_at FROM alert_checks") == []
    run()
