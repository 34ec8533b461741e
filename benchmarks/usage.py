"""What processes use while something runs: CPU seconds, and memory at its highest."""

import contextlib
import threading
from collections.abc import Callable, Iterable

import psutil

from sivera.values import Value

SAMPLE_SECONDS = 0.5


class Usage(Value):
    """CPU seconds, and the highest sum of memory in MiB; pages that processes share are shared out among them (PSS)."""

    cpu_seconds: float
    peak_mib: float


class UsageMeter:
    """Watches groups of processes, each with their descendants, until told to stop.

    Args:
        groups: A name, and what gives the group's roots now; a process that ended keeps what it had used.
    """

    def __init__(self, groups: dict[str, Callable[[], Iterable[psutil.Process]]]) -> None:
        self._groups = groups
        self._first: dict[tuple[str, psutil.Process], float] = {}
        self._last: dict[tuple[str, psutil.Process], float] = {}
        self._peak = dict.fromkeys(groups, 0)
        self._stop = threading.Event()
        self._sample(first=True)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Usage]:
        """Stop, and return what each group has used since the beginning."""
        self._stop.set()
        self._thread.join()
        return {
            name: Usage(
                cpu_seconds=round(
                    sum(last - self._first[key] for key, last in self._last.items() if key[0] == name), 1
                ),
                peak_mib=round(self._peak[name] / 2**20, 1),
            )
            for name in self._groups
        }

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()
        self._sample()

    def _sample(self, *, first: bool = False) -> None:
        for name, roots in self._groups.items():
            resident = 0
            for process in _families(roots()):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    key = (name, process)
                    # What came later counts from its beginning.
                    self._first.setdefault(key, times.user + times.system if first else 0.0)
                    self._last[key] = times.user + times.system
                    resident += _own_memory(process)
            self._peak[name] = max(self._peak[name], resident)


def _families(roots: Iterable[psutil.Process]) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for root in roots:
        with contextlib.suppress(psutil.Error):
            found |= {root, *root.children(recursive=True)}
    return found


def _own_memory(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
