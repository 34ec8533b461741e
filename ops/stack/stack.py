"""The local stack: PostgreSQL, a Prefect server, a worker and the sandbox, as children of this process.

May not import prefect at the top; see `ops.stack.prefect_server`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import URL

from blocks.names import WORK_POOL
from ops.commands.tables import say
from ops.stack.folder import (
    CRON_SECRET_FILE,
    FOLDER,
    PUBLIC_URL_FILE,
    Folder,
    keep_database_url,
    own_folder,
    write_private,
)
from ops.stack.postgres import embedded_postgres
from ops.stack.prefect_server import (
    CLIENT,
    PrefectServer,
    check_given_server,
    prefect_server,
    prefect_worker,
    use_server,
)
from ops.stack.processes import Child, answers, free_port
from sivera.database import check_writes, engine_on, parse_url
from sivera.errors import ConfigurationError
from sivera.grants.links import callback_of
from sivera.settings import PUBLIC_URL, read_settings

SERVER_PORT = 4200
SANDBOX_PORT = 4400
SANDBOX_START_SECONDS = 120
API_PORT = 3000
API_START_SECONDS = 180
BUSY_SECONDS = 80
"""How long a Prefect server may be busy after its start."""
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class HttpApi:
    """The HTTP API, which may still be starting."""

    url: str
    child: Child
    secret_file: Path

    def wait(self, say: Callable[[str], None]) -> None:
        """Wait until it answers, and say how to call it."""
        self.child.wait_until(lambda: answers(f"{self.url}/healthz"), API_START_SECONDS)
        say(f"The HTTP API is at {self.url}/api/cron; its secret is in {self.secret_file}. Try:")
        header = f"""printf 'Authorization: Bearer %s' "$(cat {self.secret_file})\""""
        say(f"  {header} | curl -sS -H @- {self.url}/api/cron")


class Stack:
    """The processes that `open_stack` ends, in reverse order. `say` prints a line for a person."""

    def __init__(self, folder: Folder, resources: ExitStack, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self._enter = resources.enter_context

    @property
    def storage_dir(self) -> Path:
        """Where reports and backups are kept unless the storage blocks name another place."""
        return self.folder.path / "storage"

    def start_postgres(self, database: str = "sivera") -> URL:
        """Start PostgreSQL and return the URL of a database there, which is created if missing."""
        return self._enter(embedded_postgres(self.folder, database))

    def start_server(self) -> PrefectServer:
        """Start a Prefect server, which takes seconds until it answers; see `PrefectServer.wait`."""
        return self._enter(prefect_server(self.folder, self._enter(free_port(SERVER_PORT, self._say)), self._say))

    def join_server(self, server: PrefectServer) -> None:
        """Wait for our server, let this process talk to it, and crash runs that an earlier stack left.

        Raises:
            ConfigurationError: The timetable is invalid.
        """
        use_server(server.client)
        # Importing Prefect takes seconds, so it happens while the server starts.
        from blocks.server import connect  # noqa: PLC0415
        from ops.stack.runs import crash_orphaned_runs  # noqa: PLC0415
        from ops.timetable import read_timetable  # noqa: PLC0415

        read_timetable()  # before anything is set up
        server.wait()
        with connect() as client:
            crash_orphaned_runs(client)

    def start_worker(self, server: PrefectServer | None) -> None:
        """Start a worker of our work pool for our server, or for the one that the environment names (None)."""
        self._enter(prefect_worker(self.folder, WORK_POOL, server.client if server else None))

    def start_http_api(self) -> HttpApi | None:
        """Start the HTTP API for the Prefect server of this process; return None if its secret is invalid.

        It takes seconds until it answers; see `HttpApi.wait`.
        """
        from blocks.cron_secret import load_cron_secret  # noqa: PLC0415 - imports prefect

        try:
            secret = load_cron_secret(BUSY_SECONDS)
        except ConfigurationError as error:
            # The jobs run without it.
            self._say(f"The HTTP API does not start: {error}")
            return None
        secret_file = self.folder.path / CRON_SECRET_FILE
        write_private(secret_file, secret.current.get_secret_value())
        port = self._enter(free_port(API_PORT, self._say))
        url = f"http://127.0.0.1:{port}"
        public_url = os.environ.get(PUBLIC_URL, url)
        try:
            callback_of(public_url)
        except ConfigurationError as error:
            self._say(f"Teams cannot connect accounts through the HTTP API: {error}")
        write_private(self.folder.path / PUBLIC_URL_FILE, public_url)
        command = ["-m", "ops.cli", "api", "--port", str(port)]
        environment = {**os.environ, **CLIENT, PUBLIC_URL: public_url}
        child = self._start("the HTTP API", "api", command, environment=environment, directory=self.folder.path)
        return HttpApi(url, child, Path(os.path.relpath(secret_file)))

    def start_sandbox(self) -> str:
        """Start a sandbox without grants and return its base URL."""
        port = self._enter(free_port(SANDBOX_PORT, self._say))
        child = self._start("the sandbox", "sandbox", ["-m", "sandbox", str(port)])
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: answers(f"{url}/control/calls", method="POST"), SANDBOX_START_SECONDS)
        return url

    def _start(self, name: str, log: str, arguments: Sequence[str], **more: Any) -> Child:
        return self._enter(self.folder.run(name, log, [sys.executable, "-P", *arguments], **more))

    def check(self) -> None:
        """Raise StackError if a part of the stack has ended."""
        for child in self.folder.children:
            child.check()

    def watch(self) -> NoReturn:
        """Wait until interrupted; raise StackError if a part of the stack ends."""
        while True:
            self.check()
            time.sleep(WATCH_SECONDS)


@contextmanager
def open_stack(path: Path, say: Callable[[str], None]) -> Iterator[Stack]:
    """Yield a stack in a folder. Its processes end with the context, even if this process is killed."""
    with own_folder(path) as folder, ExitStack() as resources:
        yield Stack(folder, resources, say)


def up() -> NoReturn:
    """Run the stack for real credentials until interrupted, and save the environment's secrets as blocks."""
    read_settings()  # an invalid one would fail every run
    given_database, given_server = os.environ.get("SIVERA_DATABASE_URL"), os.environ.get("PREFECT_API_URL")
    if given_server:
        check_given_server(given_server)
    url = parse_url(given_database) if given_database else None
    if url:
        prepare_database(url)
    with open_stack(FOLDER, say) as stack:
        server = None if given_server else stack.start_server()
        if not url:
            url = stack.start_postgres()
            prepare_database(url)
        if server:
            stack.join_server(server)
        from blocks.setup import setup  # noqa: PLC0415 - imports prefect
        from ops.commands.setup import save_environment  # noqa: PLC0415
        from ops.deploy import deploy  # noqa: PLC0415

        save_environment(None)
        keep_database_url(stack.folder.path, url)
        deployed = deploy(done=setup(url, storage_dir=stack.storage_dir))
        for block in deployed.missing:
            say(f"the block {block} is missing: save it with `sivera apps set {block.partition('/')[2]}`")
        stack.start_worker(server)
        if http_api := stack.start_http_api():
            http_api.wait(say)
        if server:
            say(f"The Prefect UI is at {server.url}.")
        say("The jobs are deployed. Ctrl-C ends the stack.")
        stack.watch()


def prepare_database(url: URL) -> None:
    """Migrate a database; ConfigurationError if it is read-only, because the jobs and the HTTP API need to write."""
    from sivera.migrating import migrate  # noqa: PLC0415 - Alembic

    with engine_on(url) as engine:
        check_writes(engine)
        migrate(engine)
