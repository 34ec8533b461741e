"""Where reports are kept: on whatever file system fsspec reaches."""

from fsspec import AbstractFileSystem

from sivera.errors import SiveraError
from sivera.files import whole_file


class NotKeptError(SiveraError):
    """A file could not be written to the place for reports."""


def put_whole(files: AbstractFileSystem, path: str, content: bytes) -> None:
    """Write a file so that its path holds either all of it or what it held before.

    Raises:
        NotKeptError: It could not be written.
    """
    try:
        with whole_file(files, path) as file:
            file.write(content)
    except Exception as error:  # noqa: BLE001 - each kind of file system raises its own, and their texts may hold keys
        raise NotKeptError(
            f"the report could not be kept as {path} ({type(error).__name__}): see that the place which the block "
            "storage/reports names is there and has room"
        ) from None
