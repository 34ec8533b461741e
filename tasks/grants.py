"""The platforms and their tokens, for the jobs and commands that call a platform."""

from uuid import UUID

from prefect.runtime import flow_run

from blocks.platform_app import load_platform_app
from blocks.token_key import load_keyring
from sivera.crypto import Keyring
from sivera.grants.keys import check_keyring
from sivera.grants.renewal import RenewalDependencies, take_up_spool
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import Spool
from sivera.platforms.base import PlatformClient
from sivera.settings import read_settings
from sivera.values import PlatformName
from tasks.events import notify
from tasks.resources import breaker, engine, once


@once
def client(platform: PlatformName) -> PlatformClient:
    """The client of a platform."""
    return load_platform_app(platform).get_client(platform, breaker())


@once
def keyring() -> Keyring:
    """The keys of the stored tokens, checked against the database."""
    return _load_keyring()


def _load_keyring() -> Keyring:
    loaded = load_keyring(reload=_load_keyring)
    check_keyring(engine(), loaded)
    return loaded


@once
def renewal_dependencies() -> RenewalDependencies:
    """What a renewal needs. This machine's spool is written to the database first."""
    deps = RenewalDependencies(engine(), keyring(), Spool(read_settings().spool_dir), _run_id, notify)
    take_up_spool(deps)
    return deps


def _run_id() -> UUID | None:
    return UUID(flow_run.id) if flow_run.id else None


@once
def tokens(platform: PlatformName, credential_id: int) -> GrantTokenSource:
    """The tokens of a grant."""
    return GrantTokenSource(renewal_dependencies(), client(platform), credential_id)
