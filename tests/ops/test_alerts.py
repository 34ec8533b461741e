"""`sivera alerts` against a real Prefect server."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocks.alert_channels import WATCHDOG
from blocks.server import connect
from tests.ops.commands import Sivera
from tests.stage import Stage
from tests.unit.tables import Tables

SLACK = "https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue"


def test_a_channel_is_set_listed_and_removed(sivera: Sivera, ready: Stage) -> None:
    assert sivera("alerts", "list").out.count("not set") == 4
    assert sivera("alerts", "set", "slack", stdin=f"{SLACK}\n").out == (
        "Saved. Alerts now go to slack. To see one: sivera alerts test\n"
    )
    listed = sivera("alerts", "list").out
    assert listed.count("not set") == 2
    assert "No alerts are open." in listed
    assert "s3cretvalue" not in listed
    tables, since = Tables(ready.engine), datetime(2026, 11, 24, 12, tzinfo=UTC)
    tables.add_alert("a", title="a failed", message="It did so.", since=since)
    tables.add_alert("b", "budget", title="Budget of b", open_receipts={"slack": "2100-01-01T00:00:00Z"})
    tables.add_alert("c", title="c failed", closed_at=since)
    listed = sivera("alerts", "list").out
    assert "on, but it has not accepted 1 message yet" in listed
    assert "2026-11-24 12:00" in listed
    assert "a failed: It did so." in listed
    assert "Budget of b" in listed
    assert "c failed" not in listed
    with connect() as client:
        (watchdog,) = client.read_automations_by_name(WATCHDOG)
        client.delete_automation(watchdog.id)
    assert "missing: run `sivera deploy`" in sivera("alerts", "list").out
    assert sivera("alerts", "remove", "slack").out == "Removed. Alerts no longer go to slack.\n"
    assert "there is no channel slack" in sivera("alerts", "remove", "slack").refusal
    assert "there is no channel: set one" in sivera("alerts", "test").refusal


@pytest.mark.usefixtures("ready")
def test_a_wrong_url_of_a_channel_is_refused_and_not_shown(sivera: Sivera, tmp_path: Path) -> None:
    assert "not a webhook of Discord" in sivera("alerts", "set", "discord", stdin=SLACK).refusal
    missing = sivera("alerts", "set", "slack", "--file", SLACK).refusal
    assert missing == "--file: the file cannot be read (No such file or directory): check that it is there"
    (tmp_path / "two").write_text(f"{SLACK} {SLACK}")
    assert "not a webhook of Slack" in sivera("alerts", "set", "slack", "--file", "two").refusal
    assert sivera("alerts", "list").out.count("not set") == 4
