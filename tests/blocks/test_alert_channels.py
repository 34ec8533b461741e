"""The channels of alerts: their URLs, their blocks, and their automations on a real Prefect server."""

from typing import Any

import pytest
from prefect.blocks.notifications import DiscordWebhook, SlackWebhook
from pydantic import SecretStr, ValidationError

from blocks.alert_channels import CHANNEL_TYPES, automation_names, automations_of, document_name, to_block
from blocks.apprise_url import AppriseUrl
from blocks.server import connect
from blocks.setup import SetupSummary, setup
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError

SLACK = "https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue"
DISCORD = "https://discord.com/api/webhooks/123456789012345678/s3cretvalue"
URL = "json://user:s3cretvalue@127.0.0.1:9/hook"
CHANNELS = {Channel.SLACK: SecretStr(SLACK), Channel.DISCORD: SecretStr(DISCORD), Channel.URL: SecretStr(URL)}


@pytest.mark.parametrize(
    ("channel", "url", "sentence"),
    [
        (Channel.SLACK, "https://hooks.slack.com/s3cretvalue", "not a webhook of Slack"),
        (Channel.SLACK, "https://hooks.slack.com.example.com/services/A/B/s3cretvalue", "not a webhook of Slack"),
        (Channel.SLACK, DISCORD, "not a webhook of Slack"),
        (Channel.DISCORD, SLACK, "not a webhook of Discord"),
        (Channel.DISCORD, "https://discord.com/api/webhooks/s3cretvalue", "not a webhook of Discord"),
        (Channel.URL, "nosuchservice://s3cretvalue", "none of Apprise's URLs"),
        (Channel.URL, "s3cretvalue", "none of Apprise's URLs"),
    ],
)
def test_a_url_of_something_else_is_refused_without_showing_it(channel: Channel, url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as error:
        to_block(channel, SecretStr(url))
    assert "s3cretvalue" not in str(error.value)


def test_the_blocks_are_prefect_s_own_where_it_has_one() -> None:
    slack, discord, other = (to_block(channel, url) for channel, url in CHANNELS.items())
    assert isinstance(slack, SlackWebhook)
    assert isinstance(discord, DiscordWebhook)
    assert discord.webhook_id.get_secret_value() == "123456789012345678"
    assert isinstance(other, AppriseUrl)
    assert not any("s3cretvalue" in repr(block) for block in (slack, discord, other))
    with pytest.raises(ValidationError):
        AppriseUrl(url=SecretStr(URL), uri="misspelt")  # type: ignore[call-arg]


def automations() -> dict[str, list[Any]]:
    with connect() as client:
        return {
            name: client.read_automations_by_name(name) for channel in Channel for name in automation_names(channel)
        }


@pytest.mark.usefixtures("clean_prefect")
def test_each_channel_has_its_two_automations_once_however_often_it_is_set_up() -> None:
    first = setup(channels=CHANNELS)
    names = {f"automation/{name}" for name in automations()}
    assert names < set(first.created)
    before = automations()
    again = setup(channels=CHANNELS)
    assert (again.created, again.updated, again.removed) == ((), (), ())
    assert automations() == before
    assert [len(each) for each in before.values()] == [1] * 6
    with connect() as client:
        shown = client.request("POST", "/automations/filter", json={}).text
        shown += client.request("POST", "/block_documents/filter", json={}).text
    assert "s3cretvalue" not in shown


@pytest.mark.usefixtures("clean_prefect")
def test_a_channel_that_was_never_set_has_nothing() -> None:
    summary = setup()
    assert not [name for name in (*summary.created, *summary.missing) if "alert" in name.replace("check-alerts", "")]
    assert not any(automations().values())


@pytest.mark.usefixtures("clean_prefect")
def test_a_new_url_keeps_the_automations_and_what_an_operator_switched_off() -> None:
    setup(channels=CHANNELS)
    (kept,) = automations()["sivera: alert slack"]
    with connect() as client:
        client.pause_automation(kept.id)
    assert setup(channels={Channel.SLACK: SecretStr(f"{SLACK}2")}).updated == ("slack-webhook/alerts-slack",)
    (now,) = automations()["sivera: alert slack"]
    assert (now.id, now.enabled) == (kept.id, False)
    saved = SlackWebhook.load("alerts-slack")
    assert isinstance(saved, SlackWebhook)
    assert saved.url.get_secret_value() == f"{SLACK}2"


@pytest.mark.usefixtures("clean_prefect")
def test_a_channel_whose_block_was_deleted_loses_its_automations() -> None:
    setup(channels=CHANNELS)
    with connect() as client:
        kind = CHANNEL_TYPES[Channel.DISCORD]
        document = client.read_block_document_by_name(document_name(Channel.DISCORD), kind.get_block_type_slug())
        client.delete_block_document(document.id)
    summary = setup()
    assert set(summary.removed) == {f"automation/{name}" for name in automation_names(Channel.DISCORD)}
    assert {name for name, each in automations().items() if not each} == set(automation_names(Channel.DISCORD))
    assert setup() == SetupSummary(created=(), updated=(), missing=summary.missing)


@pytest.mark.usefixtures("clean_prefect")
def test_a_block_that_was_made_anew_is_the_one_that_sends() -> None:
    setup(channels=CHANNELS)
    with connect() as client:
        for _ in range(2):
            kind = CHANNEL_TYPES[Channel.SLACK]
            document = client.read_block_document_by_name(document_name(Channel.SLACK), kind.get_block_type_slug())
            (told,) = client.read_automations_by_name("sivera: alert slack")
            assert told.actions == automations_of(Channel.SLACK, document.id)[0].actions
            client.delete_block_document(document.id)
            setup(channels={Channel.SLACK: CHANNELS[Channel.SLACK]})
