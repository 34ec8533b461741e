"""The channels of alerts: their URLs, their blocks, and the watchdog on a real Prefect server."""

import pytest
from prefect.blocks.notifications import DiscordWebhook, SlackWebhook
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import Automation
from pydantic import SecretStr

from blocks.alert_channels import WATCHDOG, find_channels, to_block
from blocks.apprise_url import AppriseUrl
from blocks.server import connect
from blocks.setup import SetupSummary, setup
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError

SLACK = "https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue"
DISCORD = "https://discord.com/api/webhooks/123456789012345678/s3cretvalue"
URL = "json://user:s3cretvalue@127.0.0.1:9/hook"
CHANNELS = {Channel.SLACK: SecretStr(SLACK), Channel.DISCORD: SecretStr(DISCORD), Channel.URL: SecretStr(URL)}
CHANGE = f"automation/{WATCHDOG}"


@pytest.mark.parametrize(
    ("channel", "url", "sentence"),
    [
        (Channel.SLACK, "https://hooks.slack.com/s3cretvalue", "not a webhook of Slack"),
        (Channel.SLACK, "https://hooks.slack.com.example.com/services/A/B/s3cretvalue", "not a webhook of Slack"),
        (Channel.SLACK, DISCORD, "not a webhook of Slack"),
        (Channel.DISCORD, SLACK, "not a webhook of Discord"),
        (Channel.DISCORD, "https://discord.com/api/webhooks/s3cretvalue", "not a webhook of Discord"),
        (Channel.URL, "nosuchservice://s3cretvalue", "Apprise does not know it"),
        (Channel.URL, "s3cretvalue", "Apprise does not know it"),
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


def watchdogs() -> list[Automation]:
    with connect() as client:
        return client.read_automations_by_name(WATCHDOG)


def documents() -> dict[Channel, BlockDocument]:
    with connect() as client:
        return dict(find_channels(client))


def delete(channel: Channel) -> None:
    with connect() as client:
        client.delete_block_document(documents()[channel].id)


@pytest.mark.usefixtures("clean_prefect")
def test_the_watchdog_sends_by_the_channels_that_are_set() -> None:
    none = setup()
    assert CHANGE not in none.created
    assert (watchdogs(), documents()) == ([], {})

    assert CHANGE in setup(channels=CHANNELS).created
    assert setup(channels=CHANNELS) == SetupSummary(created=(), updated=(), missing=none.missing)
    (made,) = watchdogs()
    assert {action.block_document_id for action in made.actions} == {one.id for one in documents().values()}  # type: ignore[union-attr]
    with connect() as client:
        shown = client.request("POST", "/automations/filter", json={}).text
        shown += client.request("POST", "/block_documents/filter", json={}).text
        client.pause_automation(made.id)
    assert "s3cretvalue" not in shown

    # A new URL changes its block alone, and what an operator switched off stays off.
    assert setup(channels={Channel.SLACK: SecretStr(f"{SLACK}2")}).updated == ("slack-webhook/alerts-slack",)
    saved = SlackWebhook.load("alerts-slack")
    assert isinstance(saved, SlackWebhook)
    assert saved.url.get_secret_value() == f"{SLACK}2"
    # A block that was deleted is left out, and one that was made again is sent to.
    delete(Channel.DISCORD)
    delete(Channel.URL)
    assert setup(channels={Channel.URL: CHANNELS[Channel.URL]}).updated == (CHANGE,)
    (now,) = watchdogs()
    assert (now.id, now.enabled) == (made.id, False)
    assert {action.block_document_id for action in now.actions} == {one.id for one in documents().values()}  # type: ignore[union-attr]
    assert documents().keys() == {Channel.SLACK, Channel.URL}

    for channel in documents():
        delete(channel)
    assert setup().removed == (CHANGE,)
    assert watchdogs() == []
