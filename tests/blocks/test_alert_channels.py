"""The channels of alerts: URLs, blocks, and the watchdog on a real Prefect server."""

import re
from datetime import UTC, datetime

import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import Automation
from pydantic import SecretStr

from blocks.alert_channels import WATCHDOG, find_channels, to_block
from blocks.server import connect
from blocks.setup import SetupSummary, setup
from sivera.alerts.conditions import BadGrant, plain
from sivera.alerts.data_rules import data_conditions
from sivera.alerts.options import Channel
from sivera.alerts.sending import message_of
from sivera.errors import ConfigurationError
from sivera.links import Links
from sivera.models import Alert
from sivera.values import PlatformName
from tests.chats import Chats

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
        (Channel.URL, "s3cretvalue", "Apprise does not know it"),
    ],
)
def test_a_url_of_something_else_is_refused_without_showing_it(channel: Channel, url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as error:
        to_block(channel, SecretStr(url))
    assert "s3cretvalue" not in str(error.value)


MARKUP = re.compile(
    r"""[*~`<>@\\]|]\(|://|\|\||\b_|_\b|&\w+;|\bevil\.(example|md)|:\w+:|^[#+-]|[\x00-\x09\x0b-\x1f]""", re.MULTILINE
)
"""What some service does not show as it is."""


@pytest.mark.parametrize(
    "name",
    [
        "[Reconnect here](https://evil.example)",
        "![x](http://evil.example/a.png)",
        "*b* **b** ~s~ ~~s~~ _e_ __e__ a_ `c` ```c``` ||s||",
        "<!channel> <!here|x> !channel> <@U123> <#C1> <https://evil.example|text> <script>",
        "@everyone @here @channel a@evil.example",
        "&lt;!channel&gt; &amp;lt; &#60;",
        "two\nlines\r\n# heading",
        "evil.md www.evil.example discord.evil.example/x evil.example HTTPS://evil.example",
        ":fire: \\*x\\*",
        "\x1b[2J",
    ],
)
def test_a_name_is_plain_text_in_every_chat(name: str, chats: Chats) -> None:
    since = datetime(2026, 11, 24, tzinfo=UTC)
    grant = BadGrant(7, name, PlatformName.GOOGLE, name, name, since, [name])
    (one,) = data_conditions([grant], [], set(), 3, Links(ui_url="http://ui"))
    columns = one.model_dump(include={"kind", "title", "link", "since"})
    message = message_of(Alert(id=1, message=one.text, open_receipts={}, **columns), Channel.URL, since)
    assert message
    hooks = [f"json://127.0.0.1:{chats.port}/hook?format={way}" for way in ("text", "markdown", "html")]
    urls = [(Channel.SLACK, SLACK), (Channel.DISCORD, DISCORD), *((Channel.URL, hook) for hook in hooks)]
    for channel, url in urls:
        to_block(channel, SecretStr(url)).notify(message.body, message.title)
    assert len(chats.messages) == len(urls)
    for sent in chats.messages:
        text, _, link = sent.text.replace("\r", "").rpartition("\n")
        assert text.count("\n") == 2
        assert link == "http://ui/artifacts/key/refresh-tokens-failures"
        assert not MARKUP.findall(text)
        assert "must be connected again" in text
        assert "A user of the team must log in again: 'sivera credentials list' says how." in text


def test_an_ordinary_name_stays_as_it_is() -> None:
    name = "[KR] Brand_Search - Q4 | A&B #1 (new), v1.2 30:70"
    assert plain(name) == name


@pytest.mark.parametrize(
    "url", ["mailto://u:p@example.com", "tgram://123456789:abcdefg_hijklmnop/lead2gold/?format=html"]
)
def test_other_services_get_plain_text_too(url: str) -> None:
    assert [one.notify_format for one in to_block(Channel.URL, SecretStr(url))._apprise_client] == ["text"]


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

    # A new URL changes only its block, and a watchdog that an operator switched off stays off.
    assert setup(channels={Channel.SLACK: SecretStr(f"{SLACK}2")}).updated == ("slack-webhook/alerts-slack",)
    saved = SlackWebhook.load("alerts-slack")
    assert isinstance(saved, SlackWebhook)
    assert saved.url.get_secret_value() == f"{SLACK}2"
    # The watchdog leaves out a deleted block, and sends to one that was made again.
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
