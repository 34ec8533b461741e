"""`sivera monitor`: the monitors outside of Prefect that are notified when runs end.

URLs come from standard input, because whoever knows one can use it. May not import prefect at its top; see `ops.cli`.
"""

import sys
from typing import Annotated
from uuid import uuid4

from cyclopts import App, Parameter
from pydantic import ValidationError

from ops.commands.session import read_secret
from ops.commands.tables import print_table
from ops.stack.prefect_server import use_running_stack
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, SiveraError

monitor = App(name="monitor", help="The monitors outside of Prefect that are notified when runs end.")


@monitor.command(name="set-webhook")
def set_webhook(*, new_secret: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> None:
    """Post the result of every run to a URL, read from standard input; print the secret if a new one is made.

    Args:
        new_secret: Sign with a new secret from now on; otherwise an existing one stays.
    """
    use_running_stack()
    from blocks.monitoring import ResultWebhook, find_webhook  # noqa: PLC0415
    from blocks.names import RESULT_WEBHOOK  # noqa: PLC0415
    from blocks.server import BlockError, connect, explain  # noqa: PLC0415
    from sivera.monitoring import generate_secret  # noqa: PLC0415

    with connect():
        pass  # Find out that the server is away before a person pastes a secret.
    url = read_secret("the URL of the webhook")
    try:
        saved = find_webhook()
    except BlockError:
        saved = None  # It is broken, so it is replaced.
    kept = None if new_secret or not saved else saved.secret
    try:
        webhook = ResultWebhook(url=url, secret=kept or generate_secret())
    except ValidationError as error:
        raise ConfigurationError(f"the webhook does not fit ({explain(error)})") from None
    webhook.save(RESULT_WEBHOOK, overwrite=True)
    _say(f"Saved. From the next run on, results are posted to {webhook.host}, signed with the secret of the block.")
    if not kept:
        _say("The secret is new; give it to the receiver:")
        sys.stdout.write(f"{webhook.secret.get_secret_value()}\n")


@monitor.command(name="set-ping")
def set_ping(job: str, /) -> None:
    """Let the runs of a job ping a URL, read from standard input, when they start, succeed and fail.

    Args:
        job: The job, such as sync-campaigns, or one of its deployments, such as sync-campaigns/google.
    """
    use_running_stack()
    from blocks.secrets import nearest  # noqa: PLC0415
    from ops.commands.setup import job_names  # noqa: PLC0415

    names = job_names()
    if job not in names:
        like = nearest(job, names)
        hint = f"; is it {like}?" if like else f": they are {', '.join(sorted(names))}"
        raise ConfigurationError(f"there is no job or deployment '{job}'{hint}")
    saved = _saved_pings()
    _save_pings(saved | {job: read_secret(f"the URL that {job} is to ping").get_secret_value()})
    _say(f"Saved. From its next run on, {job} pings it.")


@monitor.command(name="remove-ping")
def remove_ping(job: str, /) -> None:
    """Stop the pings of a job.

    Args:
        job: The job or deployment, as `sivera monitor list` shows it.
    """
    use_running_stack()
    saved = _saved_pings()
    if job not in saved:
        raise ConfigurationError(f"'{job}' pings nothing: `sivera monitor list` shows what does")
    _save_pings({other: url for other, url in saved.items() if other != job})
    _say(f"{job} pings nothing any more.")


@monitor.command(name="list")
def list_monitors() -> None:
    """List the monitors; only the host of each URL is shown."""
    use_running_stack()
    from blocks.monitoring import find_pings, find_webhook  # noqa: PLC0415

    webhook, pings = find_webhook(), find_pings()
    rows = [("webhook", "every run", webhook.host)] if webhook else []
    rows += [("ping", job, host) for job, host in sorted(pings.hosts.items())] if pings else []
    print_table(
        ("monitor", "notified of", "host"),
        rows,
        notes=[],
        empty="There is no monitor. Set one: sivera monitor set-webhook, or sivera monitor set-ping JOB",
    )


@monitor.command(name="test")
def send_test() -> None:
    """Post a signed test message to the webhook, and print what came back."""
    use_running_stack()
    from blocks.monitoring import find_webhook  # noqa: PLC0415

    webhook = find_webhook()
    if webhook is None:
        raise ConfigurationError("there is no webhook: set one with `sivera monitor set-webhook`")
    message = {"type": "sivera.test", "message": "A test of Sivera Jobs.", "ended_at": utc_now().isoformat()}
    outcome = webhook.deliver(str(uuid4()), message)
    if not outcome.is_delivered:
        raise SiveraError(f"the webhook at {webhook.host} did not take the test message: {outcome.sentence}")
    sys.stdout.write(f"The webhook at {webhook.host} took the test message: {outcome.sentence}.\n")


def _saved_pings() -> dict[str, str]:
    from blocks.monitoring import find_pings  # noqa: PLC0415
    from blocks.server import BlockError  # noqa: PLC0415

    try:
        saved = find_pings()
    except BlockError:
        saved = None  # It is broken, so it is replaced.
    return {job: str(url) for job, url in saved.urls.get_secret_value().items()} if saved else {}


def _save_pings(urls: dict[str, str]) -> None:
    from prefect.types import SecretDict  # noqa: PLC0415

    from blocks.monitoring import DeadMansPing  # noqa: PLC0415
    from blocks.names import DEAD_MANS_PING  # noqa: PLC0415
    from blocks.server import connect, explain  # noqa: PLC0415

    try:
        block = DeadMansPing(urls=SecretDict(urls))
    except ValidationError as error:
        raise ConfigurationError(f"the ping does not fit ({explain(error)})") from None
    with connect():
        block.save(DEAD_MANS_PING, overwrite=True)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
