"""The parts of the local stack that start fast; tests/system/test_end_to_end.py has the whole."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.responses import SetStateStatus
from prefect.settings import Settings
from prefect.states import Crashed, Pending, Running

from blocks.server import connect
from ops.stack.folder import is_running, own_folder
from ops.stack.postgres import LONGEST_SOCKET_PATH, embedded_postgres
from ops.stack.prefect_server import CLIENT, OF_ANOTHER_SERVER, TUNING, WORKER, prefect_server
from ops.stack.processes import StackError, child_process, free_port
from ops.stack.runs import crash_orphaned_runs
from tests.children import ignore_interrupts, processes_of, still_alive, take_interrupts

END_SECONDS = 60
FREE_PORTS = 5210 + os.getpid() % 20_000
"""The first port to try, below those that the system assigns to clients."""


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@contextmanager
def owner(path: Path, part: str, *, ignores_interrupts: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that runs part of a stack."""
    before = ignore_interrupts if ignores_interrupts else take_interrupts
    program = Path(__file__).with_name("owner.py")
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, program, path, part],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=before,  # noqa: PLW1509 - it calls nothing that takes a lock
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("how", "in_background"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGTERM, True)],
)
def test_no_descendant_outlives_its_owner(tmp_path: Path, how: signal.Signals, in_background: bool) -> None:
    with owner(tmp_path / ".sivera", "tree", ignores_interrupts=in_background) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 3  # the shim, the child, and a grandchild in its own session that ignores SIGTERM
        process.send_signal(how)
        assert still_alive(family, END_SECONDS) == []
    with own_folder(tmp_path / ".sivera"):
        pass


def test_postgres_ends_with_its_killed_owner_and_loses_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("d" * LONGEST_SOCKET_PATH) / ".sivera"  # too long for a socket, which is then elsewhere
    with owner(path, "postgres") as process:
        host = (path / "host").read_text()
        with psycopg.connect(host=host, user="postgres", dbname="sivera") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        assert still_alive(processes_of(path), END_SECONDS) == []
    for name, value in (("PGSERVICE", "another"), ("PGPORT", "9"), ("PGCHANNELBINDING", "require")):
        monkeypatch.setenv(name, value)  # meant for another server
    with own_folder(path) as folder, embedded_postgres(folder) as url:
        if os.geteuid() == 0:  # PostgreSQL runs as another user, who may enter the folder but not list it
            assert (mode(path), mode(path / "postgres")) == ("0o701", "0o700")
        socket_folder = str(url.query["host"])
        with psycopg.connect(host=socket_folder, user="postgres", dbname=url.database) as connection:
            assert connection.execute("SELECT answer, lower('Ä') FROM kept").fetchone() == (42, "ä")
    assert processes_of(path) == []
    assert not Path(socket_folder).exists()


def test_the_folder_is_private_and_for_one_stack(tmp_path: Path) -> None:
    path = tmp_path / "a" / ".sivera"
    assert not is_running(path)
    with own_folder(path) as folder:
        assert {mode(path), mode(path / "logs"), mode(path / "prefect")} == {"0o700"}
        assert folder.secret("key", lambda: "first") == ("first", True)
        assert folder.secret("key", lambda: "second") == ("first", False)
        assert {mode(path / "lock"), mode(path / "key")} == {"0o600"}
        assert is_running(path)
        with pytest.raises(StackError, match=rf"already running in {path} \(process {os.getpid()}\)"), own_folder(path):
            pass
    assert not is_running(path)
    (tmp_path / ".sivera").write_text("a file")
    with pytest.raises(StackError, match=r"cannot be made .*run this in a folder that you can write to"):
        own_folder(tmp_path / ".sivera").__enter__()


def test_a_taken_port_is_named_and_replaced() -> None:
    said: list[str] = []
    with free_port(FREE_PORTS, said.append) as first, free_port(FREE_PORTS, said.append) as second:
        assert first != second
        assert said[-1] == f"port {FREE_PORTS} is taken, using {second}"
        listener = socket.create_server(("127.0.0.1", second))
    said.clear()
    with listener, free_port(second, said.append) as third:
        assert said == [f"port {second} is taken, using {third}"]
        with socket.create_server(("127.0.0.1", third)):
            pass
    said.clear()
    with free_port(third, said.append) as again:
        assert (again, said) == (third, [])


def test_an_early_end_of_a_child_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    for _ in range(2):
        command = [sys.executable, "-c", "print('a reason'); raise SystemExit(3)"]
        with child_process("the child", command, log) as child, pytest.raises(StackError) as error:
            child.wait_until(lambda: False, END_SECONDS)
        remedy = "correct what its log names, and start it again"
        assert str(error.value) == f"the child ended with exit code 3: {remedy}. The end of {log}:\n  a reason"
    assert mode(log) == "0o600"
    assert log.with_name("child.log.1").read_text() == "a reason\n"


def test_the_wait_for_a_child_counts_seconds_and_not_polls(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    asked = []

    def ask() -> bool:
        asked.append(threading.Event().wait(0.4))
        return False

    with child_process("the child", ["sleep", "600"], log) as child, pytest.raises(StackError) as error:
        child.wait_until(ask, 0.3)
    assert len(asked) == 1
    said = str(error.value)
    assert said.startswith("the child is not ready after 0 seconds: correct what its log names, and start it again. ")
    assert said.endswith(f" {log} is empty.")
    assert child.process.returncode == 128 + signal.SIGTERM


def test_prefect_knows_and_accepts_every_setting(clean_environment: pytest.MonkeyPatch) -> None:
    given = TUNING | CLIENT | WORKER
    for name, value in given.items():
        clean_environment.setenv(name, value)
    known = Settings().to_environment_variables(exclude_unset=True)
    assert given.keys() - {"DO_NOT_TRACK"} <= known.keys()


def test_the_server_gets_its_secrets_only_from_files_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OF_ANOTHER_SERVER:
        monkeypatch.setenv(f"{name}X", "of another server")
    said: list[str] = []
    with (
        own_folder(tmp_path / ".sivera") as folder,
        free_port(FREE_PORTS, said.append) as port,
        prefect_server(folder, port, said.append) as server,
    ):
        password = (folder.path / "prefect-password").read_text()
        key = (folder.path / "prefect-encryption-key").read_text()
        assert [line for line in said if password in line] == [said[-1]]
        shim = psutil.Process(server.child.process.pid)
        # Right after its start, a process shows neither its environment nor its arguments.
        server.child.wait_until(lambda: bool(shim.environ() and shim.children()), END_SECONDS)
        words = [word for each in (shim, *shim.children()) for word in each.cmdline()]
        assert not [word for word in (*words, repr(server)) if password in word or key in word]
        environment = shim.environ()
        secrets = {
            "PREFECT_SERVER_API_AUTH_STRING": f"admin:{password}",
            "PREFECT_SERVER_ENCRYPTION_KEY": key,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(folder.path / "prefect"),
        }
        assert (secrets | TUNING | CLIENT).items() <= environment.items()
        assert "of another server" not in environment.values()
        profile = folder.path / "prefect" / "profiles.toml"
        settings = tomllib.loads(profile.read_text())["profiles"]["sivera"]
        assert settings["PREFECT_API_AUTH_STRING"] == f"admin:{password}"
        assert settings["PREFECT_API_URL"] == f"{server.url}/api"
        private = profile, folder.path / "prefect-password", folder.path / "prefect-encryption-key"
        assert {mode(path) for path in private} == {"0o600"}


@pytest.mark.usefixtures("prefect_api")
def test_interrupted_runs_block_no_others() -> None:
    with connect() as client:
        flow_id = client.create_flow_from_name("interrupted")
        deployment_id = client.create_deployment(flow_id, "interrupted", concurrency_limit=1)
        first, second = (client.create_flow_run_from_deployment(deployment_id) for _ in range(2))
        client.set_flow_run_state(first.id, Pending())
        client.set_flow_run_state(first.id, Running())
        client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name="interrupted-lock", limit=1, active_slots=1)
        )

        crash_orphaned_runs(client)

        assert client.read_flow_run(first.id).state_name == "Crashed"
        assert client.read_global_concurrency_limit_by_name("interrupted-lock").active_slots == 0
        assert client.set_flow_run_state(second.id, Pending()).status is SetStateStatus.ACCEPT
        client.set_flow_run_state(second.id, Crashed(), force=True)
