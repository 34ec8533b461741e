"""What the parts of a stack use while something runs: CPU seconds, and memory at its highest."""

import contextlib
import os
import threading
from typing import Self

import psutil

from ops.stack.stack import Stack
from sivera.values import Value

SAMPLE_SECONDS = 0.5


class Usage(Value):
    """CPU seconds, and the highest sum of memory in MiB; pages that processes share are shared out among them (PSS)."""

    cpu_seconds: float
    peak_mib: float


class UsageOf:
    """Measures what each part of a stack, with its descendants, and this process alone use within the context."""

    def __init__(self, stack: Stack) -> None:
        self._pids = {child.name: child.process.pid for child in stack.folder.children} | {"this process": os.getpid()}
        self._peak = dict.fromkeys(self._pids, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.used: dict[str, Usage] = {}

    def __enter__(self) -> Self:
        self._before = {name: self._cpu(pid) for name, pid in self._pids.items()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.used = {
            name: Usage(
                cpu_seconds=round(self._cpu(pid) - self._before[name], 1),
                peak_mib=round(self._peak[name] / 2**20, 1),
            )
            for name, pid in self._pids.items()
        }

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the figures of each part."""
        return {name: usage.model_dump() for name, usage in self.used.items()}

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            for name, pid in self._pids.items():
                self._peak[name] = max(self._peak[name], sum(map(_memory, _family(pid))))

    def _cpu(self, pid: int) -> float:
        """Return the seconds of a part until now; those of a process that ended are its parent's."""
        seconds = 0.0
        for process in _family(pid):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
                seconds += times.children_user + times.children_system if pid != os.getpid() else 0
        return seconds


def _family(pid: int) -> list[psutil.Process]:
    """Return a process with its descendants; those of this process are the stack, and left out."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *(root.children(recursive=True) if pid != os.getpid() else ())]
    return []


def _memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0
