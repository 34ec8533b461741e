"""`sivera monitor`: the monitors outside of Prefect that are told how runs end.

URLs come from standard input, since whoever knows one can use it. May not import prefect at its top; see `ops.cli`.
"""

from typing import Annotated

from cyclopts import App, Parameter

from ops.commands.session import read_secret
from ops.stack.prefect_server import use_running_stack

monitor = App(name="monitor", help="The monitors outside of Prefect that are told how runs end.")


@monitor.command(name="set-webhook")
def set_webhook(*, new_secret: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> None:
    """Post the result of every run to a URL, read from standard input, and print the secret where a new one is made.

    Args:
        new_secret: Sign with a new secret from now on; else one that is there stays.
    """
    use_running_stack()
    from ops.commands import monitor_actions  # noqa: PLC0415

    monitor_actions.set_webhook(read_secret, new_secret=new_secret)


@monitor.command(name="set-ping")
def set_ping(job: str, /) -> None:
    """Let the runs of a job ping a URL, read from standard input: at their start, their success and their failure.

    Args:
        job: The job, such as sync-campaigns, or one of its deployments, such as sync-campaigns/google.
    """
    use_running_stack()
    from ops.commands import monitor_actions  # noqa: PLC0415

    monitor_actions.set_ping(job, read_secret)


@monitor.command(name="remove-ping")
def remove_ping(job: str, /) -> None:
    """Let the runs of a job ping nothing any more.

    Args:
        job: The job or deployment, as `sivera monitor list` shows it.
    """
    use_running_stack()
    from ops.commands import monitor_actions  # noqa: PLC0415

    monitor_actions.remove_ping(job)


@monitor.command(name="list")
def list_monitors() -> None:
    """List who is told of which runs; of their URLs only the host."""
    use_running_stack()
    from ops.commands import monitor_actions  # noqa: PLC0415

    monitor_actions.list_monitors()


@monitor.command(name="test")
def send_test() -> None:
    """Post a signed test message to the webhook, and say what came back."""
    use_running_stack()
    from ops.commands import monitor_actions  # noqa: PLC0415

    monitor_actions.send_test()
