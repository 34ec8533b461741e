"""Child processes of the local stack. Each has a log file and a readiness check, and ends when we do."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from sivera.errors import SiveraError

GRACE_SECONDS = 10
POLL_SECONDS = 0.1
ANSWER_SECONDS = 4.0
TAIL_LINES = 12
REMEDY = "correct what its log names, and start it again"


class StackError(SiveraError):
    """A part of the local stack did not start, or has ended. The message includes the end of its log."""


@dataclass(frozen=True)
class Child:
    """A running child process and its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise StackError if the child has ended."""
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.name} ended with exit code {code}: {REMEDY}. {self._tail()}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()` is true; StackError if the child ends first or takes too long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            if ready():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_SECONDS)
        raise StackError(f"{self.name} is not ready after {seconds:.0f} seconds: {REMEDY}. {self._tail()}")

    def _tail(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:]
        shown = "".join(f"\n  {line}" for line in lines)
        return f"The end of {self.log}:{shown}" if shown else f"{self.log} is empty."


UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}
"""Children read and write UTF-8, whatever our terminal uses."""


@contextmanager
def child_process(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    held: Sequence[int] = (),
    directory: Path | None = None,
) -> Iterator[Child]:
    """Run a command until the context or this process ends; see `ops.stack.child`. It must not contain secrets.

    Its output goes to `log`, and the previous log is kept with the suffix `.1`. `environment` is ours by default. Only
    root can choose another `user`. `stop_signal` shuts the command down cleanly. File descriptors in `held`, such as
    a lock, stay open until the last descendant has ended.
    """
    shim = Path(__file__).with_name("child.py")
    with _open_log(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-P", shim, stop_signal.name, str(GRACE_SECONDS), user or "", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**(os.environ if environment is None else environment), **UTF8},
            cwd=directory,
            start_new_session=True,  # Ctrl-C must reach only us: we end the children in their order
            pass_fds=held,
        )
    try:
        yield Child(name, process, log)
    finally:
        process.communicate()  # closes its input, which ends it, and waits


def answers(url: str, auth: tuple[str, str] | None = None, method: str = "GET") -> bool:
    """Whether a server on this machine answers a request with 200, asked without a proxy."""
    try:
        # Plain HTTP needs no certificates, and loading them takes a fifth of the time between two polls.
        with httpx.Client(auth=auth, timeout=ANSWER_SECONDS, trust_env=False, verify=False) as client:  # noqa: S501
            return client.request(method, url).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@contextmanager
def free_port(preferred: int, say: Callable[[str], None]) -> Iterator[int]:
    """Yield the first free port of the loopback, from `preferred` upwards; say so if it is another one.

    Until the context ends, no other caller of this function, in any process, gets that port. A Prefect server takes
    seconds until it listens, and two stacks that start at the same time would choose the same port.
    """
    for port in range(preferred, preferred + 100):
        # The UDP port of the same number is the claim. The system frees it however the process ends.
        with socket.socket(type=socket.SOCK_DGRAM) as claim, socket.socket() as probe:
            # As servers do: a port with lingering connections is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            probe.close()
            if port != preferred:
                say(f"port {preferred} is taken, using {port}")
            yield port
            return
    raise StackError(f"ports {preferred} to {preferred + 99} are all taken: end what listens on one of them")


def _open_log(log: Path) -> BinaryIO:
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
