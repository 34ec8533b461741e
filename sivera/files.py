"""Write files that are either whole or not there, and that only we can read, on any file system of fsspec."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

DRAFT = ".part"
"""The ending of a file that is not whole yet."""


class PrivateFileSystem(LocalFileSystem):  # type: ignore[misc]
    """The files of this machine. A folder is created with its first file, and only we can enter it."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "auto_mkdir": True})

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Create a folder and those above it; existing ones keep their permissions."""
        folder = Path(self._strip_protocol(path))
        if exist_ok and folder.is_dir():
            return
        for above in reversed(folder.parents):
            above.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=exist_ok)


@contextmanager
def whole_file(files: AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
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
