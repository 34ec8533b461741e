"""Checks of the Prefect server: its worker, limits, automations, blocks, deployments and runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import requires

import httpx
from packaging.requirements import Requirement
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    temporary_settings,
)
from sqlalchemy.exc import SQLAlchemyError

from blocks.alert_channels import find_channel
from blocks.automations import AUTOMATIONS
from blocks.cron_secret import load_cron_secret
from blocks.deployments import PAGE
from blocks.monitoring import find_pings, find_webhook
from blocks.names import CRON_SECRET, DEAD_MANS_PING, LOCKS, RESULT_WEBHOOK, TOKEN_KEY, WORK_POOL
from blocks.platform_app import load_platform_app
from blocks.server import BlockMissingError, connect
from blocks.storage import STORAGES, load_storage
from blocks.token_key import load_keyring
from ops.deploy import differences, switched_off
from ops.doctor.findings import Finding, Installation, Skipped, explain, fault, few, judge, ok, warning
from ops.timetable import full_names, read_timetable
from sivera.alerts.job_rules import LOOK_BACK, job_conditions
from sivera.alerts.options import Channel
from sivera.alerts.sending import messages_of
from sivera.crypto import Keyring
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.grants.keys import require_keys
from sivera.grants.queries import platforms_in_use
from sivera.links import without_credentials
from sivera.units import counted
from sivera.values import PlatformName
from tasks.history import read_history

OURS = "sivera: "
"""The prefix of the names of our automations."""


def check_server(installation: Installation) -> Finding:
    """Connect to the server, and compare its version with the one that we need."""
    installation.opened_client = installation.resources.enter_context(connect())
    found = installation.client.api_version()
    needed = [each.specifier for each in map(Requirement, requires("sivera-jobs") or ()) if each.name == "prefect"]
    if any(found not in specifier for specifier in needed):
        return fault(
            f"the server is Prefect {found}, and this version needs {needed[0]}", "install that version on the server"
        )
    return ok(f"Prefect {found} answers at {without_credentials(str(installation.client.api_url))}")


def check_password(installation: Installation) -> Finding:
    """Check that a protected request without the password is refused."""
    anonymous = {PREFECT_API_URL: without_credentials(str(installation.client.api_url))}
    credentials = {PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_CLIENT_CUSTOM_HEADERS}
    with temporary_settings(anonymous, restore_defaults=credentials), get_client(sync_client=True) as client:
        try:
            client.api_version()
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (401, 403):
                raise
            return ok("a caller without the password is refused")
    return warning(
        "the server answers callers without a password, who can read every block and the secrets in it",
        "start it with PREFECT_SERVER_API_AUTH_STRING, and set PREFECT_API_AUTH_STRING for workers and shells",
    )


def check_worker(installation: Installation) -> Finding:
    """Check that a worker is online and nothing is paused."""
    try:
        pool = installation.client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        return fault(f"the work pool {WORK_POOL} does not exist", "run `sivera deploy`")
    workers = installation.client.read_workers_for_work_pool(WORK_POOL)
    online = [worker.name for worker in workers if worker.status is WorkerStatus.ONLINE]
    if not online:
        return fault(f"no worker of the work pool {WORK_POOL} is online", "start one with `sivera up`")
    queues = installation.client.read_work_queues(work_pool_name=WORK_POOL)
    paused = [f"the work pool {WORK_POOL}"] if pool.is_paused else []
    paused += [f"its queue {queue.name}" for queue in queues if queue.is_paused]
    if paused:
        return warning(f"paused, so runs do not start: {few(paused)}", "resume it in the UI")
    return ok(f"online: {few(online)}")


def check_limits(installation: Installation) -> Finding:
    """Check the limits that keep a job from running twice."""
    limits = {each.name: each for each in installation.client.read_global_concurrency_limits(limit=PAGE)}
    if missing := [name for name in LOCKS if name not in limits]:
        return fault(f"missing: {few(missing)}", "run `sivera deploy`")
    if wrong := [name for name in LOCKS if not (limits[name].active and limits[name].limit == 1)]:
        return fault(f"switched off, or not 1: {few(wrong)}", "switch them on in the UI, and run `sivera deploy`")
    return ok(f"all {len(LOCKS)} limits exist")


def check_automations(installation: Installation) -> Finding:
    """Check that the automations that end dead runs exist, and that none of ours is switched off."""
    found = {each.name: each.enabled for each in installation.client.read_automations(limit=PAGE)}
    if missing := [each.name for each in AUTOMATIONS if each.name not in found]:
        return fault(f"missing: {few(missing)}", "run `sivera deploy`")
    if off := [name for name, is_on in found.items() if name.startswith(OURS) and not is_on]:
        return warning(f"switched off: {few(off)}", "switch them on in the UI")
    return ok("all are on")


def check_blocks(installation: Installation) -> Finding:
    """Load every block, check the token keys against the database, and find messages that a channel did not accept.

    Monitors, channels and the keys of platforms that nobody uses may be missing.
    """
    _ = installation.client
    in_use: set[str] = set()
    waiting = {}
    errors: list[ConfigurationError] = []
    with suppress(Skipped), _collecting(errors), installation.session() as session:
        in_use = platforms_in_use(session)
        waiting = {channel.value: len(messages_of(session, channel)) for channel in Channel}
    # Each returns None if the block is optional and not set.
    loads: dict[str, Callable[[], object]] = {RESULT_WEBHOOK: find_webhook, DEAD_MANS_PING: find_pings}
    loads |= {channel.value: partial(find_channel, channel) for channel in Channel}
    loads |= {platform.value: partial(load_platform_app, platform) for platform in PlatformName}
    loads |= {CRON_SECRET: load_cron_secret, TOKEN_KEY: partial(_load_keys, installation)}
    loads |= {name: partial(_open_storage, name) for name in STORAGES}
    idle = {platform.value for platform in PlatformName} - in_use
    loaded: list[str] = []
    for name, load in loads.items():
        with _collecting(errors), suppress(*[BlockMissingError] if name in idle else []):
            if load() is not None:
                loaded.append(name)
    if errors:
        return explain(errors)
    if late := {name: counted(waiting[name], "message") for name in loaded if waiting.get(name)}:
        said = "; ".join(f"{name} has not accepted {messages} yet" for name, messages in late.items())
        return warning(said, "check that the webhook still exists, and set it with `sivera alerts set`")
    mute = "" if set(Channel) & set(loaded) else "; no channel for alerts is set"
    return ok(f"{', '.join(loaded)} load{mute}")


@contextmanager
def _collecting(errors: list[ConfigurationError]) -> Iterator[None]:
    """Add an exception of the body to the errors."""
    try:
        yield
    except SQLAlchemyError as error:
        errors.append(ConfigurationError(sentence(error)))
    except ConfigurationError as error:
        errors.append(error)


def _load_keys(installation: Installation) -> Keyring:
    keyring = load_keyring()
    with suppress(Skipped), installation.session() as session:
        require_keys(session, keyring)
    return keyring


def _open_storage(name: str) -> object:
    return load_storage(name).get_filesystem()


def check_deployments(installation: Installation) -> Finding:
    """Compare the deployments with prefect.yaml, and name what an operator switched off."""
    timetable, flows = read_timetable(installation.timetable_path)
    listed = full_names(timetable, flows)
    deployed = installation.deployed
    both = {name: each for name, each in listed.items() if name in deployed}
    wrong = [f"{name} is not deployed" for name in listed if name not in deployed]
    wrong += [f"{name} is not in prefect.yaml" for name in deployed if name not in listed]
    for name, each in both.items():
        if drift := differences(flows[each.entrypoint], each, deployed[name]):
            wrong.append(f"{name} differs in {', '.join(drift)}")
    off = [part for name, each in both.items() for part in switched_off(name, each, deployed[name])]
    said = f"switched off: {few(off)}"
    if wrong:
        return fault("; ".join(wrong + [said] * bool(off)), "run `sivera deploy`")
    if off:
        return warning(said, "in the UI, switch on what should run")
    return ok(f"all {len(deployed)} are as prefect.yaml says")


def check_runs(installation: Installation) -> Finding:
    """Find deployments that are worth an alert: their last run failed, was skipped or is missing."""
    now = installation.now()
    _ = installation.client
    occurrences = read_history(now - LOOK_BACK, now, for_alerts=True)
    return judge(
        job_conditions(occurrences, now, installation.alert_options), "none is late, and every last run ended well"
    )
