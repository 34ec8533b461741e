"""Write files atomically and privately on any fsspec file system, and read secrets from files."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import SecretStr

from sivera.errors import ConfigurationError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

DRAFT = ".part"
"""The ending of an incomplete file."""


@contextmanager
def whole_file(files: "AbstractFileSystem", path: str) -> Iterator[BinaryIO]:
    """Yield a file to write to. It replaces `path` when the body ends, and is removed if the body fails.

    Each kind of file system raises its own errors, whose text may hold keys.
    """
    draft = f"{path}{DRAFT}"
    try:
        with files.open(draft, "wb") as file:
            # Local files get private permissions and are flushed to the disk; object stores support neither.
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            with suppress(io.UnsupportedOperation, AttributeError):
                os.fsync(file.fileno())
        # A rename or, on an object store, a copy and a deletion: both replace the old file atomically.
        files.mv(draft, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(draft)
        raise


def read_secret_file(path: Path, named: str) -> SecretStr:
    """Read a file that holds one secret; ConfigurationError, which calls it `named`, if it is unreadable or empty.

    Messages do not show the path, because somebody may have entered the secret itself instead.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigurationError(f"{named}: the file cannot be read ({reason}): check that it is there") from None
    if not secret:
        raise ConfigurationError(f"{named}: the file is empty: write only the secret into it")
    return SecretStr(secret)
