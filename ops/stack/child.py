"""Runs one command so that neither it nor anything it starts outlives the process that started us.

Run by path: `python -P child.py --signal TERM --grace 10 [--user NAME] COMMAND...`. The starter keeps our standard
input open. When that closes, by the starter's will or by its death (`kill -9` too), the command gets the signal; what
is left of it and of its descendants after the grace is killed. Descendants are found even where they made sessions of
their own, as Prefect's flow runs do.
"""

import argparse
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
"""prctl(2): orphaned descendants become our children, not init's, so that they can still be found."""


def main() -> int:
    """Run the command to its end and return its exit code; 128 + n where signal n ended it, as a shell does."""
    parser = argparse.ArgumentParser(prog="child.py", description=__doc__)
    parser.add_argument("--signal", default="TERM", help="what tells the command to stop")
    parser.add_argument("--grace", type=float, default=10, help="seconds between the signal and the kill")
    parser.add_argument("--user", help="run the command as this user")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A shell starts background jobs with SIGINT ignored, and commands that stop by it would inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    stop_signal = signal.Signals[f"SIG{options.signal}"]
    child = subprocess.Popen(options.command, stdin=subprocess.DEVNULL, **identity(options.user))
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(stop_signal))
    stopper = threading.Thread(target=_stop_at_end_of_input, args=(child, stop_signal, options.grace), daemon=True)
    stopper.start()
    code = child.wait()
    _kill_descendants()
    return code if code >= 0 else 128 - code


def identity(user: str | None) -> dict[str, Any]:
    """Return the arguments with which `subprocess` runs a command as another user, with none of our groups."""
    if user is None:
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
