"""Files that are kept for long, on whatever file system fsspec reaches: whole or not there, and only ours to read."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

DRAFT = ".part"
"""What the name of a file ends in that is not whole yet."""


class PrivateFileSystem(LocalFileSystem):  # type: ignore[misc]
    """The files of the machine. A folder is made with its first file, as on an object store, and only ours to enter."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "auto_mkdir": True})

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it; those that are there keep their rights."""
        folder = Path(self._strip_protocol(path))
        if exist_ok and folder.is_dir():
            return
        for above in reversed(folder.parents):
            above.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=exist_ok)


@contextmanager
def whole_file(files: AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
    """Yield a file to write to; it takes the place of what `path` held once the body has ended well, else it goes.

    Raises:
        Exception: Whatever the kind of file system raises; its text may hold keys.
    """
    draft = f"{path}{DRAFT}"
    try:
        with files.open(draft, "wb") as file:
            # Of a file of the machine: nobody else may read it, and it is on the disk. An object store has neither.
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fsync(file.fileno())
        # A rename within a folder; on an object store a copy and a deletion. Either takes the place of the old at once.
        files.mv(draft, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(draft)
        raise
