"""The checks of the Prefect server itself: that it answers, its version, its password, its clock, its worker."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import requires, version

import httpx
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
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

from blocks.alert_channels import CHANNEL_TYPES, automation_names, document_name
from blocks.alert_messages import last_refused
from blocks.automations import AUTOMATIONS
from blocks.names import LOCKS, WORK_POOL
from blocks.server import connect, without_credentials
from blocks.setup import BLOCK_TYPES
from ops.commands.tables import to_minute
from ops.doctor.findings import Finding, fault, few, ok, warning
from ops.doctor.installation import Installation
from ops.stack.runs import PAGE
from ops.timetable import find_timetable, read_timetable
from sivera.alerts.options import Channel

PINNED = ("prefect", "fastapi", "sqlalchemy")
SKEW_WARNING = timedelta(seconds=10)
"""A server under load tells a time that is some seconds old."""

SKEW_FAULT = timedelta(seconds=60)
"""The shortest lease of a lock, and a fifth of the time in which a token is renewed before it ends."""


def check_timetable(installation: Installation) -> Finding:
    """Read prefect.yaml."""
    path = installation.timetable_path or find_timetable()
    timetable, flows = read_timetable(path)
    named = ((flows[each.entrypoint], each) for each in timetable.deployments)
    installation.timetable = {f"{flow.name}/{each.name}": (each, flow) for flow, each in named}
    return ok(f"{path.name} lists {len(timetable.deployments)} deployments")


def check_server(installation: Installation) -> Finding:
    """Open the way to the server."""
    installation.opened_client = installation.resources.enter_context(connect())
    return ok(f"answers at {without_credentials(str(installation.client.api_url))}")


def check_version(installation: Installation) -> Finding:
    """Compare the versions of the server and of what is installed here with the pins."""
    server = installation.client.api_version()
    pins = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, requires("sivera-jobs") or ())
        if requirement.name in PINNED
    }
    misfits = list(misfitting(server, {name: version(name) for name in pins}, pins))
    if misfits:
        return fault("; ".join(misfits), "install what the pins allow, on the server and here: `uv sync --locked`")
    return ok(f"the server is Prefect {server}, as pinned")


def misfitting(server: str, installed: dict[str, str], pins: dict[str, SpecifierSet]) -> Iterator[str]:
    """Yield a sentence for each version that its pin does not allow."""
    if server not in pins["prefect"]:
        yield f"the server is Prefect {server}, and the pin is {pins['prefect']}"
    for name, pin in pins.items():
        if installed[name] not in pin:
            yield f"{name} {installed[name]} is installed here, and the pin is {pin}"


def check_password(installation: Installation) -> Finding:
    """Ask for something protected without credentials."""
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
        "the server answers callers without a password, who can read every block, its secrets included",
        "start it with PREFECT_SERVER_API_AUTH_STRING, and set PREFECT_API_AUTH_STRING for workers and shells",
    )


def check_server_clock(installation: Installation) -> Finding:
    """Compare this machine's clock with the server's, which it tells with each answer."""
    before = installation.now()
    answered = installation.client.hello().headers.get("date")
    if not answered:
        return ok("the server does not tell its time")
    return compare_clocks("the Prefect server", parsedate_to_datetime(answered), before, installation.now())


def compare_clocks(whose: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """Say how far a clock that was read between two looks at ours is away from it."""
    skew = max(before - theirs, theirs - after, timedelta())
    if skew <= SKEW_WARNING:
        return ok(f"the clocks here and of {whose} agree to {SKEW_WARNING.seconds} seconds")
    finding = fault if skew >= SKEW_FAULT else warning
    return finding(
        f"the clock of {whose} differs from the one here by {skew.total_seconds():.0f} seconds",
        "let NTP set the clocks of all machines",
    )


def check_worker(installation: Installation) -> Finding:
    """Look for a worker that takes the runs."""
    try:
        pool = installation.client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        return fault(f"the work pool {WORK_POOL} does not exist", "run `sivera deploy`")
    workers = installation.client.read_workers_for_work_pool(WORK_POOL)
    online = [worker.name for worker in workers if worker.status is WorkerStatus.ONLINE]
    if not online:
        return fault(
            f"no worker of the work pool {WORK_POOL} is online", "start one with `sivera up`; see its log if it ended"
        )
    if pool.is_paused:
        return warning(f"the work pool {WORK_POOL} is paused, and no run starts", "resume it in the UI")
    return ok(f"online: {few(online)}")


def check_block_types(installation: Installation) -> Finding:
    """Look for the types of our blocks."""
    missing = []
    for kind in BLOCK_TYPES:
        try:
            installation.client.read_block_type_by_slug(kind.get_block_type_slug())
        except ObjectNotFound:
            missing.append(kind.get_block_type_slug())
    if missing:
        return fault(f"not registered: {few(missing)}", "run `sivera deploy`")
    return ok(f"all {len(BLOCK_TYPES)} are registered")


def check_limits(installation: Installation) -> Finding:
    """Look for the locks of the jobs."""
    limits = {each.name: each for each in installation.client.read_global_concurrency_limits(limit=PAGE)}
    missing = [name for name in LOCKS if name not in limits]
    wrong = [name for name in LOCKS if name in limits and not (limits[name].active and limits[name].limit == 1)]
    if missing:
        return fault(f"missing: {few(missing)}", "run `sivera deploy`")
    if wrong:
        return fault(
            f"switched off, or not 1: {few(wrong)}", "switch them on in the UI, and run `sivera deploy` for the number"
        )
    return ok(f"all {len(LOCKS)} locks are there")


def check_automations(installation: Installation) -> Finding:
    """Look for the automations that end runs whose process is gone, and for those of each channel that is set."""
    found = {each.name: each.enabled for each in installation.client.read_automations(limit=PAGE)}
    channels = [name for channel in _channels(installation) for name in automation_names(channel)]
    wanted = [*(automation.name for automation in AUTOMATIONS), *channels]
    if missing := [name for name in wanted if name not in found]:
        return fault(f"missing: {few(missing)}", "run `sivera deploy`")
    if off := [name for name in wanted if not found[name]]:
        return warning(
            f"switched off, so that slots of runs that died stay held, or no alert is sent: {few(off)}",
            "switch them on in the UI",
        )
    if refused := last_refused(installation.client):
        said = few([f"{channel.value} ({to_minute(at)} UTC)" for channel, at in refused.items()])
        return warning(f"all are on, but the last message was not taken: {said}", "see `sivera alerts test`")
    return ok(f"all {len(wanted)} are on")


def _channels(installation: Installation) -> Iterator[Channel]:
    """Yield the channels of alerts that have a block."""
    for channel, kind in CHANNEL_TYPES.items():
        try:
            installation.client.read_block_document_by_name(document_name(channel), kind.get_block_type_slug())
        except ObjectNotFound:
            continue
        yield channel
