"""`sivera alerts`: the open alerts, and the channels that deliver them."""

from pathlib import Path

from cyclopts import App
from sqlalchemy.orm import Session

from blocks.alert_channels import WATCHDOG, find_channels, load_channels
from blocks.server import connect
from blocks.setup import setup
from ops.commands.session import open_resources, read_block_secret
from ops.commands.tables import print_table, say
from sivera.alerts.options import Channel
from sivera.alerts.queries import list_open
from sivera.alerts.sending import messages_of
from sivera.errors import ConfigurationError
from sivera.files import read_secret_file
from sivera.units import counted

alerts = App(name="alerts")


@alerts.command(name="set")
def set_channel(channel: Channel, /, *, file: Path | None = None) -> None:
    """Save a channel: read the URL of its webhook from standard input, and send alerts there from now on.

    Slack: the URL of an incoming webhook. Discord: the URL of a channel's webhook. Any other service: its Apprise URL.

    Args:
        channel: The kind of channel. You can have one of each.
        file: A file with the URL, instead of standard input.
    """
    name = f"the URL of the {channel.value} channel"
    setup(channels={channel: read_secret_file(file, "--file") if file else read_block_secret(name)})
    say(f"Saved. Alerts now go to {channel.value}. To see one: sivera alerts test")


@alerts.command
def remove(channel: Channel, /) -> None:
    """Delete a channel.

    Args:
        channel: The kind of channel.
    """
    with connect() as client:
        document = dict(find_channels(client)).get(channel)
        if document is None:
            raise ConfigurationError(f"there is no channel {channel.value}: see `sivera alerts list`")
        client.delete_block_document(document.id)
    setup()
    say(f"Removed. Alerts no longer go to {channel.value}.")


@alerts.command(name="list")
def list_alerts() -> None:
    """List the channels with the number of messages that each has not accepted yet, and the open alerts."""
    with connect() as client:
        channels = dict(find_channels(client))
        watchdogs = client.read_automations_by_name(WATCHDOG)
    with open_resources() as engine, Session(engine) as session:
        found = list_open(session)
        waiting = {channel: len(messages_of(session, channel)) for channel in channels}
    states = dict.fromkeys((channel.value for channel in Channel), "not set")
    for channel, count in waiting.items():
        states[channel.value] = f"on, but it has not accepted {counted(count, 'message')} yet" if count else "on"
    if watchdogs:
        states["watchdog"] = "on" if watchdogs[0].enabled else "switched off in the UI"
    else:
        states["watchdog"] = "missing: run `sivera deploy`" if channels else "not set"
    print_table(("channel", "state"), list(states.items()))
    say("")
    print_table(
        ("since (UTC)", "kind", "what"),
        [(alert.since, alert.kind, alert.title) for alert in found],
        "No alerts are open.",
        [f"{alert.title}: {alert.message}" for alert in found],
    )


@alerts.command
def test() -> int:
    """Send a test message to each channel, and say whether it was accepted.

    The exit code is 0 if all channels accepted it.
    """
    channels = load_channels()
    if not channels:
        raise ConfigurationError("there is no channel: set one with `sivera alerts set` and slack, discord or url")
    refused = [
        channel.value
        for channel, send in channels.items()
        if not send("Test: a message of `sivera alerts test`", "Alerts go to this channel.")
    ]
    for channel in channels:
        remedy = "not accepted: does the webhook still exist? Set it again with `sivera alerts set`."
        say(f"{channel.value}: the message was {remedy if channel.value in refused else 'accepted.'}")
    return 1 if refused else 0
