"""Write files that are either whole or not there, and that only we can read, on any file system of fsspec."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

DRAFT = ".part"
"""The ending of a file that is not whole yet."""


@contextmanager
def whole_file(files: "AbstractFileSystem", path: str) -> Iterator[BinaryIO]:
    """Yield a file to write to. It replaces `path` when the body ends, and is removed if the body fails.

    Raises:
        Exception: Each kind of file system raises its own; the text may hold keys.
    """
    draft = f"{path}{DRAFT}"
    try:
        with files.open(draft, "wb") as file:
            # Local files are private and flushed to the disk. An object store has neither.
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fsync(file.fileno())
        # A rename within a folder; on an object store a copy and a deletion. Either replaces the old file at once.
        files.mv(draft, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(draft)
        raise
