"""What `ops.commands.monitor` does once the way to the Prefect server is set: it imports prefect."""

import sys
from collections.abc import Callable
from uuid import uuid4

from prefect.types import SecretDict
from pydantic import SecretStr, ValidationError

from blocks.monitoring import DeadMansPing, ResultWebhook, find_pings, find_webhook
from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.secrets import nearest
from blocks.server import BlockError, connect, explain
from ops.commands.setup import job_names
from ops.commands.tables import print_table
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, SiveraError
from sivera.monitoring.webhook import generate_secret

ReadSecret = Callable[[str], SecretStr]


def set_webhook(read_secret: ReadSecret, *, new_secret: bool) -> None:
    """Save where results are posted; nothing but a new secret goes to the standard output.

    Raises:
        ConfigurationError: The URL will not do, or the Prefect server does not answer; nothing was saved.
    """
    with connect():
        pass  # before a person pastes a secret
    url = read_secret("the URL of the webhook")
    try:
        saved = find_webhook()
    except BlockError:
        saved = None  # not worth keeping
    kept = None if new_secret or not saved else saved.secret
    try:
        webhook = ResultWebhook(url=url, secret=kept or generate_secret())
    except ValidationError as error:
        raise ConfigurationError(f"the webhook will not do ({explain(error)})") from None
    webhook.save(RESULT_WEBHOOK, overwrite=True)
    _say(f"Saved. From the next run on, results are posted to {webhook.host}, signed with the secret of the block.")
    if not kept:
        _say("It is new; give it to the receiver:")
        sys.stdout.write(f"{webhook.secret.get_secret_value()}\n")


def set_ping(job: str, read_secret: ReadSecret) -> None:
    """Save what the runs of a job ping.

    Raises:
        ConfigurationError: There is no such job, the URL will not do, or the Prefect server does not answer; nothing
            was saved.
    """
    names = job_names()
    if job not in names:
        said = f"; is it {like}?" if (like := nearest(job, names)) else f": they are {', '.join(sorted(names))}"
        raise ConfigurationError(f"there is no job or deployment '{job}'{said}")
    saved = _saved_pings()
    _save_pings(saved | {job: read_secret(f"the URL that {job} is to ping").get_secret_value()})
    _say(f"Saved. From its next run on, {job} pings it.")


def remove_ping(job: str) -> None:
    """Forget what the runs of a job ping.

    Raises:
        ConfigurationError: Nothing is known for it, or the Prefect server does not answer.
    """
    saved = _saved_pings()
    if job not in saved:
        raise ConfigurationError(f"'{job}' pings nothing: `sivera monitor list` shows what does")
    _save_pings({other: url for other, url in saved.items() if other != job})
    _say(f"{job} pings nothing any more.")


def list_monitors() -> None:
    """Print who is told, and of what."""
    webhook, pings = find_webhook(), find_pings()
    rows = [("webhook", "every run", webhook.host)] if webhook else []
    rows += [("ping", job, host) for job, host in sorted(pings.hosts.items())] if pings else []
    print_table(
        ("monitor", "told of", "host"),
        rows,
        notes=[],
        empty="No monitor is told. Set one: sivera monitor set-webhook, or sivera monitor set-ping JOB",
    )


def send_test() -> None:
    """Post a test message.

    Raises:
        SiveraError: There is no webhook, or it did not take the message.
    """
    webhook = find_webhook()
    if webhook is None:
        raise ConfigurationError("there is no webhook: set one with `sivera monitor set-webhook`")
    message = {"type": "sivera.test", "message": "A test of Sivera Jobs.", "ended_at": utc_now().isoformat()}
    outcome = webhook.deliver(str(uuid4()), message)
    if not outcome.is_delivered:
        raise SiveraError(f"the webhook at {webhook.host} did not take the test message: {outcome.sentence}")
    sys.stdout.write(f"The webhook at {webhook.host} took the test message: {outcome.sentence}.\n")


def _saved_pings() -> dict[str, str]:
    try:
        saved = find_pings()
    except BlockError:
        saved = None  # not worth keeping
    return {job: str(url) for job, url in saved.urls.get_secret_value().items()} if saved else {}


def _save_pings(urls: dict[str, str]) -> None:
    try:
        block = DeadMansPing(urls=SecretDict(urls))
    except ValidationError as error:
        raise ConfigurationError(f"the ping will not do ({explain(error)})") from None
    with connect():
        block.save(DEAD_MANS_PING, overwrite=True)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
