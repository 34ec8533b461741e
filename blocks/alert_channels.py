"""The channels of alerts: notification blocks, which hold the secrets, and the watchdog on check-alerts."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture, SendNotification
from prefect.blocks.abstract import NotificationError
from prefect.blocks.notifications import AbstractAppriseNotificationBlock, DiscordWebhook, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr, ValidationError

from blocks.apprise_url import AppriseUrl
from blocks.names import ALERTS_JOB, SUCCESS
from blocks.server import BlockError, connect, explain, find
from sivera.alerts.conditions import REMEDIES, Kind
from sivera.alerts.job_rules import SILENCE
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError

CHANNEL_TYPES: Mapping[Channel, type[AbstractAppriseNotificationBlock]] = {
    Channel.SLACK: SlackWebhook,
    Channel.DISCORD: DiscordWebhook,
    Channel.URL: AppriseUrl,
}

SLACK = re.compile(r"https://hooks\.slack(-gov)?\.com/services/\w+/\w+/\w+", re.ASCII)
DISCORD = re.compile(r"https://discord(?:app)?\.com/api/webhooks/(?P<id>\d+)/(?P<token>[\w-]+)", re.ASCII)

WATCHDOG = "sivera: watchdog on check-alerts"
"""The automation that sends a message if check-alerts is silent."""


def document_name(channel: Channel) -> str:
    """Return the name of a channel's block."""
    return f"alerts-{channel.value}"


def to_block(channel: Channel, url: SecretStr) -> AbstractAppriseNotificationBlock:
    """Return the block of a channel; ConfigurationError, without the URL, if that is of another service."""
    text = url.get_secret_value()
    match channel:
        case Channel.SLACK:
            if not SLACK.fullmatch(text):
                raise ConfigurationError(
                    "this is not a webhook of Slack: one looks like https://hooks.slack.com/services/T.../B.../..., "
                    "from the page 'Incoming Webhooks' of your Slack app"
                )
            return SlackWebhook(url=url)
        case Channel.DISCORD:
            parts = DISCORD.fullmatch(text)
            if not parts:
                raise ConfigurationError(
                    "this is not a webhook of Discord: one looks like https://discord.com/api/webhooks/ID/TOKEN, "
                    "from 'Integrations' in the settings of the Discord channel"
                )
            return DiscordWebhook(webhook_id=SecretStr(parts["id"]), webhook_token=SecretStr(parts["token"]))
        case Channel.URL:
            try:
                return AppriseUrl(url=url)
            except ValidationError as error:
                raise ConfigurationError(f"the URL does not fit ({explain(error)})") from None


def find_channels(client: SyncPrefectClient) -> Iterator[tuple[Channel, BlockDocument]]:
    """Yield the channels that are set, with their block documents."""
    for channel, kind in CHANNEL_TYPES.items():
        try:
            yield channel, client.read_block_document_by_name(document_name(channel), kind.get_block_type_slug())
        except ObjectNotFound:
            continue


def load_channels() -> dict[Channel, Callable[[str, str], bool]]:
    """Return a function for each channel that sends a title and a body, and returns whether they were accepted."""
    with connect() as client:
        channels = [channel for channel, _ in find_channels(client)]
    return {channel: _sender(channel) for channel in channels}


def find_channel(channel: Channel) -> AbstractAppriseNotificationBlock | None:
    """Load the block of a channel, or None if it is not set; see `blocks.server.find`."""
    remedy = f"set it again with `sivera alerts set {channel.value}`"
    return find(CHANNEL_TYPES[channel], document_name(channel), remedy)


def _sender(channel: Channel) -> Callable[[str, str], bool]:
    try:
        block = find_channel(channel)
    except BlockError:
        block = None
    if block is None:
        return lambda _title, _body: False

    def send(title: str, body: str) -> bool:
        try:
            with block.raise_on_failure():
                block.notify(body, title)
        except NotificationError:  # its text may hold the URL
            return False
        return True

    return send


def watchdog(block_ids: list[UUID], silence: timedelta = SILENCE) -> AutomationCore:
    """Return the automation that sends a message to each channel when no check has succeeded for a while.

    It refers to channels by block id, so it holds no secret.
    """
    finished = f"sivera.{ALERTS_JOB}.finished"
    minutes = round(silence / timedelta(minutes=1))
    return AutomationCore(
        name=WATCHDOG,
        description=f"Sends a message when {ALERTS_JOB} has not succeeded for {minutes} minutes.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={finished},
            expect={finished},
            match={"prefect.resource.id": f"sivera.job.{ALERTS_JOB}", SUCCESS: "true"},
            # Without this, the message would be repeated until a check succeeds.
            for_each={"prefect.resource.id"},
            threshold=1,
            within=silence,
        ),
        actions=[
            SendNotification(
                block_document_id=block_id,
                subject=f"Alert: {ALERTS_JOB} does not do its work",
                body=f"It has not succeeded for {minutes} minutes, so people are not notified of everything. "
                + REMEDIES[Kind.ALERTS_SILENT],
            )
            for block_id in block_ids
        ],
    )
