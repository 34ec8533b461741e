"""File systems at a URL. Import this module only where it is used: fsspec is slow, and most runs keep no files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem


class PrivateFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Local files. A folder is created with its first file, and only we can enter it."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "auto_mkdir": True})

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Create a folder and its parents; existing ones keep their permissions."""
        folder = Path(self._strip_protocol(path))
        if exist_ok and folder.is_dir():
            return
        for above in reversed(folder.parents):
            above.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=exist_ok)


def open_place(url: str, options: Mapping[str, Any]) -> DirFileSystem:
    """Return a file system at a URL; ImportError, TypeError or ValueError if fsspec cannot open it."""
    filesystem, root = url_to_fs(url, **options)
    if isinstance(filesystem, LocalFileSystem):
        filesystem = PrivateFileSystem(**options)
    return DirFileSystem(path=root, fs=filesystem)
