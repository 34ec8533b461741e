"""`sivera alerts`: what people are told of, and by which channels.

May not import prefect at its top; see `ops.cli`.
"""

from pathlib import Path

from cyclopts import App

from ops.commands.session import read_secret
from ops.stack.prefect_server import use_running_stack
from sivera.alerts.options import Channel
from sivera.secret_files import read_secret_file

alerts = App(name="alerts", help="The alerts, and the channels by which people are told of them.")


@alerts.command(name="set")
def set_channel(channel: Channel, /, *, file: Path | None = None) -> None:
    """Save a channel: the URL of its webhook is read from standard input, and messages come by it from then on.

    Slack: the URL of an incoming webhook. Discord: that of a channel's webhook. Any other service: its Apprise URL.

    Args:
        channel: The kind of channel; there is one of each.
        file: A file that holds the URL, in place of standard input.
    """
    use_running_stack()
    from ops.commands import alert_actions  # noqa: PLC0415

    alert_actions.set_channel(channel, (lambda _: read_secret_file(file, "--file")) if file else read_secret)


@alerts.command
def remove(channel: Channel, /) -> None:
    """Delete a channel and its automations.

    Args:
        channel: The kind of channel.
    """
    use_running_stack()
    from ops.commands import alert_actions  # noqa: PLC0415

    alert_actions.remove_channel(channel)


@alerts.command(name="list")
def list_alerts() -> None:
    """List the channels, and the alerts that are open."""
    use_running_stack()
    from ops.commands import alert_actions  # noqa: PLC0415

    alert_actions.list_alerts()


@alerts.command
def test() -> int:
    """Have the Prefect server send a message by each channel, and say whether the services took it.

    The exit code is 0 if all did.
    """
    use_running_stack()
    from ops.commands import alert_actions  # noqa: PLC0415

    return alert_actions.test_channels()
