"""What a process opens once and its threads share. Other modules add what only some jobs need, with `once`."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from sqlalchemy import Engine

from blocks.database import load_database_url
from sivera.breaker import Breaker
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError

THREADS = 32
"""Accounts that a run syncs at the same time: enough to keep one interpreter busy while most wait for HTTP."""

P = ParamSpec("P")
T = TypeVar("T")
_lock = threading.RLock()
_open: dict[tuple[object, ...], object] = {}


def once(make: Callable[P, T]) -> Callable[P, T]:
    """Call `make` once for each set of arguments until `close`, even if threads ask at the same time."""

    @wraps(make)
    def get(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (make, *args, *kwargs.items())
        with _lock:
            if key not in _open:
                try:
                    _open[key] = make(*args, **kwargs)
                except ConfigurationError as error:
                    # Kept too: ten thousand accounts must not each ask for a block that is missing.
                    _open[key] = error
            opened = _open[key]
        if isinstance(opened, ConfigurationError):
            raise ConfigurationError(*opened.args)
        return cast("T", opened)

    return get


@once
def engine() -> Engine:
    """An engine on the database that the block names. The connection has been checked."""
    opened = open_engine(load_database_url(), pool_size=THREADS)
    check(opened)
    return opened


breaker = once(Breaker)


def close() -> None:
    """Close and forget everything, so that the next use loads the blocks again."""
    with _lock:
        for opened in _open.values():
            # Only engines and clients of platforms hold connections.
            if ends := getattr(opened, "dispose", None) or getattr(opened, "close", None):
                ends()
        _open.clear()
