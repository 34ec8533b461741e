"""Runs one command, and ends it and all its descendants when the process that started us ends.

Run by path: `python -P child.py SIGTERM GRACE_SECONDS USER COMMAND...`; an empty USER is ours. The parent keeps our
standard input open. When that closes, because the parent closed it or died (even by `kill -9`), the command gets the
signal. What is left of it and its descendants after the grace is killed, even if it has a session of its own, as flow
runs have.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become our children, not those of init, so we can still find them."""


def main() -> int:
    """Run the command and return its exit code, or 128 + n if signal n ended it, as shells do."""
    signal_name, grace, user, *command = sys.argv[1:]
    stop_signal = signal.Signals[signal_name]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Shells start background jobs with SIGINT ignored, and the command would inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **identity(user))
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(stop_signal))
    stopper = threading.Thread(target=_stop_at_end_of_input, args=(child, stop_signal, float(grace)), daemon=True)
    stopper.start()
    code = child.wait()
    _kill_descendants()
    return code if code >= 0 else 128 - code


def identity(user: str | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a command as another user, without our groups."""
    if not user:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _stop_at_end_of_input(child: subprocess.Popen[bytes], stop_signal: int, grace: float) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    child.send_signal(stop_signal)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()


def _kill_descendants() -> None:
    while family := psutil.Process().children(recursive=True):
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=5)


if __name__ == "__main__":
    sys.exit(main())
