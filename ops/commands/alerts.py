"""`sivera alerts`: the open alerts, and the channels by which people are notified.

May not import prefect at its top; see `ops.cli`.
"""

import sys
from pathlib import Path

from cyclopts import App

from ops.commands.session import read_secret
from ops.commands.tables import print_table, say, to_minute
from ops.stack.prefect_server import use_running_stack
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.secret_files import read_secret_file

alerts = App(name="alerts", help="The open alerts, and the channels by which people are notified.")


@alerts.command(name="set")
def set_channel(channel: Channel, /, *, file: Path | None = None) -> None:
    """Save a channel: read the URL of its webhook from standard input, and send messages there from then on.

    Slack: the URL of an incoming webhook. Discord: that of a channel's webhook. Any other service: its Apprise URL.

    Args:
        channel: The kind of channel; there is one of each.
        file: A file that holds the URL, in place of standard input.
    """
    use_running_stack()
    from blocks.server import connect  # noqa: PLC0415
    from blocks.setup import setup  # noqa: PLC0415

    with connect():
        pass  # before a person pastes a secret
    name = f"the URL of the {channel.value} channel"
    setup(channels={channel: read_secret_file(file, "--file") if file else read_secret(name)})
    say(f"Saved. Alerts come by {channel.value} from now on. To see one: sivera alerts test")


@alerts.command
def remove(channel: Channel, /) -> None:
    """Delete a channel.

    Args:
        channel: The kind of channel.
    """
    use_running_stack()
    from blocks.alert_channels import find_channels  # noqa: PLC0415
    from blocks.server import connect  # noqa: PLC0415
    from blocks.setup import setup  # noqa: PLC0415

    with connect() as client:
        document = dict(find_channels(client)).get(channel)
        if document is None:
            raise ConfigurationError(f"there is no channel {channel.value}: see `sivera alerts list`")
        client.delete_block_document(document.id)
    setup()
    say(f"Removed. No alert comes by {channel.value} any more.")


@alerts.command(name="list")
def list_alerts() -> None:
    """List the channels with the messages that they have not taken yet, and the open alerts."""
    use_running_stack()
    from sqlalchemy.orm import Session  # noqa: PLC0415

    from blocks.alert_channels import WATCHDOG, find_channels  # noqa: PLC0415
    from blocks.server import connect  # noqa: PLC0415
    from ops.commands.session import open_database  # noqa: PLC0415
    from sivera.alerts.queries import list_open  # noqa: PLC0415
    from sivera.alerts.sending import messages_of  # noqa: PLC0415

    with connect() as client:
        channels = dict(find_channels(client))
        watchdogs = client.read_automations_by_name(WATCHDOG)
    with open_database() as engine, Session(engine) as session:
        found = list_open(session)
        waiting = {channel: len(messages_of(session, channel)) for channel in channels}
    states = {channel.value: _state(waiting.get(channel)) for channel in Channel}
    if not watchdogs:
        states["watchdog"] = "missing: run `sivera deploy`" if channels else "not set"
    else:
        states["watchdog"] = "on" if watchdogs[0].enabled else "switched off in the UI"
    print_table(("channel", "state"), list(states.items()), [], empty="")
    sys.stdout.write("\n")
    print_table(
        ("since (UTC)", "kind", "what"),
        [(to_minute(alert.since), alert.kind, alert.title) for alert in found],
        notes=[f"{alert.title}: {alert.message}" for alert in found],
        empty="No alert is open.",
    )


def _state(waiting: int | None) -> str:
    if waiting is None:
        return "not set"
    return f"on, but it has not taken {waiting} messages yet" if waiting else "on"


@alerts.command
def test() -> int:
    """Send a message by each channel, and say whether the services took it.

    The exit code is 0 if all did.
    """
    use_running_stack()
    from blocks.alert_channels import load_channels  # noqa: PLC0415

    channels = load_channels()
    if not channels:
        raise ConfigurationError("there is no channel: set one with `sivera alerts set slack`, discord or url")
    code = 0
    for channel, send in channels.items():
        if send("Test: a message of `sivera alerts test`", "Alerts come by this channel."):
            say(f"{channel.value}: the message was taken.")
        else:
            code = 1
            say(
                f"{channel.value}: the message was not taken: is the webhook still there? "
                "Set it again with `sivera alerts set`."
            )
    return code
