"""`sivera monitor`: external monitors that are notified when runs end.

URLs are read from standard input, because anyone who knows one can use it.
"""

from uuid import uuid4

from cyclopts import App
from prefect.types import SecretDict
from pydantic import SecretStr

from blocks.monitoring import DeadMansPing, ResultWebhook, find_pings, find_webhook
from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.secrets import nearest
from blocks.server import connect
from ops.commands.session import Flag, load_replaceable, read_block_secret, read_secret, validating
from ops.commands.setup import job_names
from ops.commands.tables import print_table, say, say_aside
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, SiveraError
from sivera.monitoring import generate_secret, host_of

monitor = App(name="monitor")


@monitor.command(name="set-webhook")
def set_webhook(*, new_secret: Flag = False) -> None:
    """Post the result of every run to a URL, read from standard input. A new signing secret is printed.

    Args:
        new_secret: Create a new signing secret even if there is one.
    """
    url = read_block_secret("the URL of the webhook")
    saved = load_replaceable(find_webhook)
    kept = None if new_secret or not saved else saved.secret
    with validating("the webhook"):
        webhook = ResultWebhook(url=url, secret=kept or generate_secret())
    webhook.save(RESULT_WEBHOOK, overwrite=True)
    say_aside(f"Saved. Results of new runs are posted to {webhook.host}, signed with the secret of the block.")
    if not kept:
        say_aside("The secret is new. Give it to the receiver:")
        say(webhook.secret.get_secret_value())


@monitor.command(name="set-ping")
def set_ping(job: str, /) -> None:
    """Ping a URL, read from standard input, when a run of a job starts, succeeds or fails.

    Args:
        job: The job, such as sync-campaigns, or one of its deployments, such as sync-campaigns/google.
    """
    names = job_names()
    if job not in names:
        like = nearest(job, names)
        hint = f"; did you mean {like}?" if like else f": they are {', '.join(sorted(names))}"
        raise ConfigurationError(f"there is no job or deployment '{job}'{hint}")
    saved = _saved_pings()
    _save_pings(saved | {job: read_secret(f"the ping URL of {job}")})
    say_aside(f"Saved. New runs of {job} ping it.")


@monitor.command(name="remove-ping")
def remove_ping(job: str, /) -> None:
    """Stop the pings of a job.

    Args:
        job: The job or deployment, as `sivera monitor list` shows it.
    """
    saved = _saved_pings()
    if job not in saved:
        raise ConfigurationError(f"'{job}' has no ping URL: `sivera monitor list` shows what has one")
    _save_pings({other: url for other, url in saved.items() if other != job})
    say_aside(f"Removed. Runs of {job} no longer ping.")


@monitor.command(name="list")
def list_monitors() -> None:
    """List the monitors, with only the host of each URL."""
    webhook, pings = find_webhook(), find_pings()
    rows = [("webhook", "every run", webhook.host)] if webhook else []
    rows += [("ping", job, host_of(url)) for job, url in sorted(pings.by_job.items())] if pings else []
    print_table(
        ("monitor", "notified of", "host"),
        rows,
        "There are no monitors. Set one: sivera monitor set-webhook, or sivera monitor set-ping JOB",
    )


@monitor.command(name="test")
def send_test() -> None:
    """Post a signed test message to the webhook, and print its answer."""
    webhook = find_webhook()
    if webhook is None:
        raise ConfigurationError("there is no webhook: set one with `sivera monitor set-webhook`")
    message = {"type": "sivera.test", "message": "A test of Sivera Jobs.", "ended_at": utc_now().isoformat()}
    outcome = webhook.deliver(str(uuid4()), message)
    if not outcome.is_delivered:
        raise SiveraError(
            f"the webhook at {webhook.host} did not accept the test message: {outcome.sentence}: check that its "
            "receiver runs, or set its URL again with `sivera monitor set-webhook`"
        )
    say(f"The webhook at {webhook.host} accepted the test message: {outcome.sentence}.")


def _saved_pings() -> dict[str, SecretStr]:
    saved = load_replaceable(find_pings)
    return saved.by_job if saved else {}


def _save_pings(urls: dict[str, SecretStr]) -> None:
    with validating("the ping"):
        block = DeadMansPing(urls=SecretDict({job: url.get_secret_value() for job, url in urls.items()}))
    with connect():
        block.save(DEAD_MANS_PING, overwrite=True)
