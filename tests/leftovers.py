"""The processes of a folder: those that work in it, or have it in their command line or environment."""

from pathlib import Path

import psutil


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes of a folder, without this one."""
    own = psutil.Process().pid
    return [process for process in psutil.process_iter() if process.pid != own and _is_of(process, folder)]


def still_alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """The processes that have not ended after this time."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        marks = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except psutil.Error:
        return False  # it has just ended, or belongs to another user
    return any(str(folder) in mark for mark in marks)
