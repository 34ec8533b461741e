"""Child processes of the local stack: each with a log file, a readiness check, and an end no later than ours."""

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
    """A part of the local stack did not start, or ended; the message holds the end of its log."""


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
        """Return once `ready()` is true; StackError if the child ends before, or is not ready in time."""
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
        return f"The end of {self.log}:{shown}" if shown else f"It wrote nothing to {self.log}."


UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}
"""What a child writes and reads is UTF-8, also if our terminal is not."""


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
    """Run a command until the context ends, or we do; see `ops.stack.child` for how. It may hold no secrets.

    Its output goes to `log`; the log of the time before is kept beside it, ending in `.1`. Without an `environment` it
    has ours. Only root can ask for another `user`. `stop_signal` makes it end in good order. The file descriptors
    `held`, such as of a lock, stay open until the last descendant has ended.
    """
    shim = Path(__file__).with_name("child.py")
    arguments = ["--signal", stop_signal.name.removeprefix("SIG"), "--grace", str(GRACE_SECONDS)]
    arguments += ["--user", user] if user else []
    with _open_log(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-P", shim, *arguments, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**(os.environ if environment is None else environment), **UTF8},
            cwd=directory,
            start_new_session=True,  # Ctrl-C at a terminal must reach us alone: the order of the end is ours
            pass_fds=held,
        )
    try:
        yield Child(name, process, log)
    finally:
        process.communicate()  # closes its input, which tells it to end, and waits until it has


def answers(url: str, auth: tuple[str, str] | None = None, method: str = "GET") -> bool:
    """Whether a server on this machine answers a request with 200. No proxy is used."""
    try:
        # Plain HTTP needs no certificates, and to load them takes a fifth of the time between two questions.
        with httpx.Client(auth=auth, timeout=ANSWER_SECONDS, trust_env=False, verify=False) as client:  # noqa: S501
            return client.request(method, url).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@contextmanager
def free_port(preferred: int, say: Callable[[str], None]) -> Iterator[int]:
    """Yield the first port of the loopback from `preferred` on that nobody listens on; say so where it is another.

    Until the context ends no other caller of this, in any process, gets that port: a Prefect server takes seconds
    until it listens, and two stacks that start at once would both choose it.
    """
    for port in range(preferred, preferred + 100):
        # UDP has ports of its own, and the system frees them when their process ends, however it does.
        with socket.socket(type=socket.SOCK_DGRAM) as claim, socket.socket() as probe:
            # As servers do: a port whose last connections still linger is free.
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
