"""The channels of alerts: each a notification block that holds its secret, and the automations that send by it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture, SendNotification
from prefect.blocks.core import Block
from prefect.blocks.notifications import DiscordWebhook, SlackWebhook
from pydantic import SecretStr, ValidationError

from blocks.apprise_url import AppriseUrl
from blocks.names import ALERTS_JOB, SUCCESS
from blocks.server import explain
from sivera.alerts.checking import SILENCE, SILENT
from sivera.alerts.events import CLOSED, OPENED, by_one_channel
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError

TEST = "sivera.alert.test"
"""The event of `sivera alerts test`; its payload is like that of an alert's."""

CHANNEL_TYPES: Mapping[Channel, type[Block]] = {
    Channel.SLACK: SlackWebhook,
    Channel.DISCORD: DiscordWebhook,
    Channel.URL: AppriseUrl,
}

SLACK = re.compile(r"https://hooks\.slack(-gov)?\.com/services/\w+/\w+/\w+", re.ASCII)
DISCORD = re.compile(r"https://discord(?:app)?\.com/api/webhooks/(?P<id>\d+)/(?P<token>[\w-]+)", re.ASCII)

IS_OVER = f"{{% if event.event.startswith('{CLOSED}') %}}"
BEGINNING = f"{IS_OVER}Over{{% elif event.event == '{TEST}' %}}Test{{% else %}}Alert{{% endif %}}"
SUBJECT = BEGINNING + ": {{ event.payload.title }}"
BODY = (
    f"{IS_OVER}It began at {{{{ event.payload.since }}}}, and is over."
    "{% else %}{{ event.payload.message }}\nSince {{ event.payload.since }}.{% endif %}"
    "{% if event.payload.link %}\n{{ event.payload.link }}{% endif %}"
)


def document_name(channel: Channel) -> str:
    """Return the name of a channel's block."""
    return f"alerts-{channel.value}"


def to_block(channel: Channel, url: SecretStr) -> Block:
    """Return the block of a channel.

    Raises:
        ConfigurationError: The URL is not one of the channel's; the message does not show it.
    """
    text = url.get_secret_value()
    match channel:
        case Channel.SLACK:
            if not SLACK.fullmatch(text):
                raise ConfigurationError(
                    "this is not a webhook of Slack: it looks like https://hooks.slack.com/services/T.../B.../..., "
                    "from the page 'Incoming Webhooks' of your Slack app"
                )
            return SlackWebhook(url=url)
        case Channel.DISCORD:
            parts = DISCORD.fullmatch(text)
            if not parts:
                raise ConfigurationError(
                    "this is not a webhook of Discord: it looks like https://discord.com/api/webhooks/ID/TOKEN, "
                    "from 'Integrations' in the settings of the Discord channel"
                )
            return DiscordWebhook(webhook_id=SecretStr(parts["id"]), webhook_token=SecretStr(parts["token"]))
        case Channel.URL:
            try:
                return AppriseUrl(url=url)
            except ValidationError as error:
                raise ConfigurationError(f"the URL will not do ({explain(error)})") from None


def automation_names(channel: Channel) -> tuple[str, str]:
    """Return the names of a channel's automations: of what is told, and of the silence of who tells it."""
    return f"sivera: alert {channel.value}", f"sivera: alert {channel.value} of silence"


def automations_of(channel: Channel, block_id: UUID, silence: timedelta = SILENCE) -> tuple[AutomationCore, ...]:
    """Return the automations that send by a channel.

    Args:
        channel: The channel.
        block_id: The id of its block; nothing secret is in an automation.
        silence: So long after the last check that ended well its absence is told of.
    """
    told, silent = automation_names(channel)
    finished = f"sivera.{ALERTS_JOB}.finished"
    minutes = round(silence / timedelta(minutes=1))
    again = {by_one_channel(name, channel) for name in (OPENED, CLOSED)}
    return (
        AutomationCore(
            name=told,
            description="Sends a message for each alert that begins or is over.",
            trigger=EventTrigger(
                posture=Posture.Reactive, expect={OPENED, CLOSED, TEST, *again}, threshold=1, within=timedelta(0)
            ),
            actions=[SendNotification(block_document_id=block_id, subject=SUBJECT, body=BODY)],
        ),
        AutomationCore(
            name=silent,
            description=f"Sends a message when {ALERTS_JOB} has not ended well for {minutes} minutes.",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                after={finished},
                expect={finished},
                match={"prefect.resource.id": f"sivera.job.{ALERTS_JOB}", SUCCESS: "true"},
                # Or it would be told again after each such time, until a check ends well.
                for_each={"prefect.resource.id"},
                threshold=1,
                within=silence,
            ),
            actions=[
                SendNotification(
                    block_document_id=block_id,
                    subject=f"Alert: {SILENT}",
                    body=f"It has not ended well for {minutes} minutes, so people are not told of everything. "
                    "Run `sivera doctor`: it says whether a worker runs, and what is switched off. If one does, its "
                    "last run says why.",
                )
            ],
        ),
    )
