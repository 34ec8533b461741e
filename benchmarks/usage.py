"""What the parts of a stack use while something runs: CPU seconds, and memory at its highest."""

import contextlib
import os
import threading
from typing import Self

import psutil

from ops.stack.stack import Stack

SAMPLE_SECONDS = 0.5


class Usage:
    """Measures each part of a stack with its descendants, and this process alone, within the context.

    `figures` has the CPU seconds of each, and the highest sum of its memory in MiB. Pages that processes share are
    divided among them (PSS).
    """

    def __init__(self, stack: Stack) -> None:
        self._pids = {child.name: child.process.pid for child in stack.folder.children} | {"this process": os.getpid()}
        self._peak = dict.fromkeys(self._pids, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.figures: dict[str, dict[str, float]] = {}

    def __enter__(self) -> Self:
        self._before = {name: _cpu(pid) for name, pid in self._pids.items()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for name, pid in self._pids.items():
            seconds, mib = _cpu(pid) - self._before[name], self._peak[name] / 2**20
            self.figures[name] = {"cpu_seconds": round(seconds, 1), "peak_mib": round(mib, 1)}

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            for name, pid in self._pids.items():
                self._peak[name] = max(self._peak[name], sum(map(_memory, _family(pid))))


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a part until now; those of an ended process count for its parent."""
    seconds = 0.0
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
            seconds += times.children_user + times.children_system if pid != os.getpid() else 0
    return seconds


def _family(pid: int) -> list[psutil.Process]:
    """Return a process with its descendants; without them for this process, because they are the stack."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *(root.children(recursive=True) if pid != os.getpid() else ())]
    return []


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0
