"""`sivera alerts`, and the channels that `sivera deploy` finds in the environment, against a real Prefect server."""

from pathlib import Path

import pytest
from sqlalchemy import text

from blocks.alert_channels import automation_names
from blocks.server import connect
from sivera.alerts.options import Channel
from tests.ops.commands import Sivera
from tests.stage import Stage

SLACK = "https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue"
DISCORD = "https://discord.com/api/webhooks/123456789012345678/s3cretvalue"


def counts() -> dict[str, int]:
    """How many automations there are of each name that a channel may have; those that have none are left out."""
    with connect() as client:
        names = [name for channel in Channel for name in automation_names(channel)]
        return {name: count for name in names if (count := len(client.read_automations_by_name(name)))}


@pytest.mark.usefixtures("ready")
def test_a_channel_is_set_listed_and_removed(sivera: Sivera) -> None:
    assert sivera("alerts", "list").out.count("not set") == 3
    assert sivera("alerts", "set", "slack", stdin=f"{SLACK}\n").out == (
        "Saved. Alerts come by slack from now on. To see one: sivera alerts test\n"
    )
    assert counts() == dict.fromkeys(automation_names(Channel.SLACK), 1)
    listed = sivera("alerts", "list").out
    assert listed.count("not set") == 2
    assert "No alert is open." in listed
    assert "s3cretvalue" not in listed
    with connect() as client:
        (silence,) = client.read_automations_by_name(automation_names(Channel.SLACK)[1])
        client.delete_automation(silence.id)
    assert "an automation is missing: run `sivera deploy`" in sivera("alerts", "list").out
    assert sivera("alerts", "remove", "slack").out == "Removed. No alert comes by slack any more.\n"
    assert counts() == {}
    assert "there is no channel slack" in sivera("alerts", "remove", "slack").refusal
    assert "there is no channel: set one" in sivera("alerts", "test").refusal


@pytest.mark.usefixtures("ready")
def test_what_is_no_url_of_the_channel_is_refused_and_not_shown(sivera: Sivera, tmp_path: Path) -> None:
    assert "not a webhook of Discord" in sivera("alerts", "set", "discord", stdin=SLACK).refusal
    assert "standard input is empty" in sivera("alerts", "set", "discord", stdin="").refusal
    missing = sivera("alerts", "set", "slack", "--file", SLACK).refusal
    assert missing == "--file: the file cannot be read (No such file or directory): see that it is there"
    (tmp_path / "none").write_text("\n")
    assert "--file: the file is empty" in sivera("alerts", "set", "slack", "--file", "none").refusal
    (tmp_path / "two").write_text(f"{SLACK} {SLACK}")
    assert "not a webhook of Slack" in sivera("alerts", "set", "slack", "--file", "two").refusal
    assert "it is none of Apprise's URLs" in sivera("alerts", "set", "url", "--file", "two").refusal
    assert counts() == {}


def test_the_alerts_that_are_open_are_listed(sivera: Sivera, ready: Stage) -> None:
    with ready.engine.begin() as connection:
        connection.execute(
            text(
                """INSERT INTO alerts (kind, subject, title, message, since, link, closed_at) VALUES
                   ('job-failed', 'a', 'a failed', 'It did so.', '2026-11-24T12:00:00Z', '', NULL),
                   ('job-failed', 'b', 'b failed', 'It did.', '2026-11-24T12:00:00Z', '', now())"""
            )
        )
    listed = sivera("alerts", "list").out
    assert "2026-11-24 12:00" in listed
    assert "a failed: It did so." in listed
    assert "b failed" not in listed


def test_the_alerts_on_budgets_that_are_open_are_listed_too(sivera: Sivera, ready: Stage) -> None:
    with ready.engine.begin() as connection:
        connection.execute(text("INSERT INTO teams (name) VALUES ('Hanok')"))
        connection.execute(
            text(
                """INSERT INTO budget_alerts (kind, subject, title, team_id, threshold, opened_at, closed_at)
                   SELECT 'budget', subject, 'Budget of ' || subject, teams.id, 100, '2026-11-24T12:00:00Z', closed_at
                   FROM teams, (VALUES ('a', NULL), ('b', now())) AS alert (subject, closed_at)"""
            )
        )
    listed = sivera("alerts", "list").out
    assert "2026-11-24 12:00" in listed
    assert "Budget of a" in listed
    assert "Budget of b" not in listed


@pytest.mark.usefixtures("ready")
def test_deploy_takes_channels_from_the_environment_and_files_and_twice_makes_nothing_new(
    sivera: Sivera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "discord").write_text(f"{DISCORD}\n")
    monkeypatch.setenv("SIVERA_ALERTS_SLACK", SLACK)
    monkeypatch.setenv("SIVERA_ALERTS_DISCORD_FILE", str(tmp_path / "discord"))
    made = sivera("deploy")
    assert (made.code, made.err) == (0, "")
    assert "slack-webhook/alerts-slack" in made.out
    assert "s3cretvalue" not in made.out
    wanted = dict.fromkeys((*automation_names(Channel.SLACK), *automation_names(Channel.DISCORD)), 1)
    assert counts() == wanted
    again = sivera("deploy").out
    assert not [line for line in again.splitlines() if line.startswith(("created", "updated", "removed"))]
    # What is saved stays where the environment no longer names it.
    monkeypatch.delenv("SIVERA_ALERTS_SLACK")
    sivera("deploy")
    assert counts() == wanted
