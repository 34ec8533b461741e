"""The idempotent setup of a Prefect server: block types, blocks, concurrency limits, work pool and automations."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import cast

from prefect.automations import AutomationCore
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import SecretStr
from sqlalchemy import URL

from blocks.alert_channels import WATCHDOG, document_name, find_channels, to_block, watchdog
from blocks.apprise_url import AppriseUrl
from blocks.automations import AUTOMATIONS
from blocks.cron_secret import CronSecret, generate_secret
from blocks.database import DATABASE_BLOCK, to_connector
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import CRON_SECRET, DATABASE, LOCKS, TOKEN_KEY, WORK_POOL
from blocks.platform_app import PlatformApp
from blocks.server import connect
from blocks.storage import STORAGES, Storage
from blocks.token_key import TokenKey
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.settings import read_settings
from sivera.values import PlatformName, Value

BLOCK_TYPES: tuple[type[Block], ...] = (
    PlatformApp,
    TokenKey,
    CronSecret,
    Storage,
    ResultWebhook,
    DeadMansPing,
    AppriseUrl,
    DATABASE_BLOCK,
)
WORK_POOL_TYPE = "process"


class Change(StrEnum):
    """What a step of the setup did."""

    CREATED = "created"
    UPDATED = "updated"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class SetupSummary(Value):
    """What a setup changed, and which block documents are still missing, each by kind and name."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    missing: tuple[str, ...]
    removed: tuple[str, ...] = ()


def setup(
    database_url: URL | str | None = None,
    apps: Mapping[PlatformName, AppCredentials] | None = None,
    storage_dir: Path | None = None,
    channels: Mapping[Channel, SecretStr] | None = None,
) -> SetupSummary:
    """Prepare the Prefect server for our deployments. Running it again changes nothing.

    Blocks that are not given stay as they are. The token key, the cron secret and the storages (in `storage_dir`, or
    that of `Settings`) are made if they are missing, and never replaced. Work pool and automations stay paused if an
    operator has paused them. The watchdog on check-alerts exists only if there is a channel for alerts.
    ConfigurationError if a value does not fit, before anything is changed, or if the server does not answer.
    """
    blocks: dict[str, Block] = {DATABASE: to_connector(database_url)} if database_url else {}
    blocks |= {document_name(channel): to_block(channel, url) for channel, url in (channels or {}).items()}
    blocks |= {platform.value: PlatformApp.of(app) for platform, app in (apps or {}).items()}
    with connect() as client:
        changes = dict(_apply(client, blocks, storage_dir or read_settings().storage_dir))
        missing = tuple(_missing(client))
    kinds = (Change.CREATED, Change.UPDATED, Change.REMOVED)
    done = {kind.value: tuple(name for name, change in changes.items() if change is kind) for kind in kinds}
    return SetupSummary(missing=missing, **done)


def save_secrets(given: Mapping[str, Block]) -> dict[str, Change]:
    """Save blocks of secrets, by document name, and return what changed. Saving them again changes nothing.

    Token keys are only added, and the current one stays current: only `sivera keys rotate` changes it. If the cron
    secret has not changed, the previous one stays valid for as long as it was. A developer token that is not given
    stays, because it may have been entered in the UI. ConfigurationError if a saved token key has the same id and
    another value, before anything is changed, or if the server does not answer.
    """
    with connect() as client:
        blocks = {name: _beside_saved(client, name, block) for name, block in given.items()}
        changes = dict(_save(client, name, block) for name, block in blocks.items())
        if any(document_name(channel) in given for channel in Channel):
            changes |= dict(_make_watchdog(client))
    return changes


def _beside_saved(client: SyncPrefectClient, name: str, given: Block) -> Block:
    match given, _load(type(given), name):
        case TokenKey(), TokenKey() as saved:
            return saved.with_keys_of(given)
        case CronSecret(), CronSecret() as saved if saved.current == given.current:
            return saved
        case PlatformApp(developer_token=None), _ if document := _find(client, PlatformApp, name):
            # Read without its class: another field may be invalid.
            return PlatformApp(**dict(given) | {"developer_token": document.data.get("developer_token")})
        case _:
            return given


def _load(kind: type[Block], name: str) -> Block | None:
    try:
        return cast("Block", kind.load(name))
    except (RuntimeError, ValueError):  # it is missing or invalid
        return None


def _apply(client: SyncPrefectClient, blocks: Mapping[str, Block], storage_dir: Path) -> Iterator[tuple[str, Change]]:
    yield f"work-pool/{WORK_POOL}", _make_work_pool(client)
    for kind in BLOCK_TYPES:
        kind.register_type_and_schema()
    for name, block in blocks.items():
        yield _save(client, name, block)
    defaults: dict[str, Block] = {
        TOKEN_KEY: TokenKey.generate(),
        CRON_SECRET: CronSecret(current=generate_secret()),
        **{name: Storage(url=f"file://{(storage_dir / name).absolute()}") for name in STORAGES},
    }
    for name, block in defaults.items():
        yield _save(client, name, block, replace=False)
    for lock in LOCKS:
        yield f"concurrency-limit/{lock}", _make_lock(client, lock)
    for automation in AUTOMATIONS:
        yield f"automation/{automation.name}", _make_automation(client, automation)
    yield from _make_watchdog(client)


def _make_watchdog(client: SyncPrefectClient) -> Iterator[tuple[str, Change]]:
    """Make the automation that watches check-alerts, or delete it if there is no channel."""
    channels = [document.id for _, document in find_channels(client)]
    if channels:
        yield f"automation/{WATCHDOG}", _make_automation(client, watchdog(channels))
        return
    for left in client.read_automations_by_name(WATCHDOG):
        client.delete_automation(left.id)
        yield f"automation/{WATCHDOG}", Change.REMOVED


def _make_work_pool(client: SyncPrefectClient) -> Change:
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=WORK_POOL,
                type=WORK_POOL_TYPE,
                description="Runs the jobs of Sivera, each in a process on the worker's machine.",
                base_job_template=ProcessWorker.get_default_base_job_template(),
            )
        )
        return Change.CREATED
    if pool.type != WORK_POOL_TYPE:
        raise ConfigurationError(
            f"the work pool '{WORK_POOL}' is of type '{pool.type}', and our jobs run in a '{WORK_POOL_TYPE}' pool: "
            "delete it there, or use another Prefect server"
        )
    return Change.UNCHANGED


def _save(client: SyncPrefectClient, name: str, block: Block, *, replace: bool = True) -> tuple[str, Change]:
    exists, change = _find(client, type(block), name) is not None, Change.UNCHANGED
    if not exists or (replace and not _is_saved(name, block)):
        # Without overwrite, the server accepts only the first of two that are saved at the same time.
        block.save(name, overwrite=replace)
        change = Change.UPDATED if exists else Change.CREATED
    return f"{block.get_block_type_slug()}/{name}", change


def _is_saved(name: str, block: Block) -> bool:
    saved = _load(type(block), name)
    return saved is not None and all(
        getattr(saved, field) == getattr(block, field) for field in type(block).model_fields
    )


def _make_lock(client: SyncPrefectClient, name: str) -> Change:
    try:
        lock = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        return Change.CREATED
    if lock.limit == 1:
        return Change.UNCHANGED
    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=1))
    return Change.UPDATED


def _make_automation(client: SyncPrefectClient, wanted: AutomationCore) -> Change:
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return Change.CREATED
    kept = wanted.model_copy(update={"enabled": found[0].enabled})
    if kept == AutomationCore.model_validate(found[0].model_dump()):
        return Change.UNCHANGED
    client.update_automation(found[0].id, kept)
    return Change.UPDATED


def _missing(client: SyncPrefectClient) -> Iterator[str]:
    kinds: dict[str, type[Block]] = {DATABASE: DATABASE_BLOCK, **dict.fromkeys(PlatformName, PlatformApp)}
    for name, kind in kinds.items():
        if not _find(client, kind, name):
            yield f"{kind.get_block_type_slug()}/{name}"


def _find(client: SyncPrefectClient, kind: type[Block], name: str) -> BlockDocument | None:
    try:
        return client.read_block_document_by_name(name, kind.get_block_type_slug())
    except ObjectNotFound:
        return None
