"""The backups in a storage: of each `<name>.dump` and, once that is whole, `<name>.json`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from uuid import UUID

from fsspec import AbstractFileSystem

from sivera.backups.manifest import Manifest, UnreadableManifest, parse, render
from sivera.errors import ConfigurationError
from sivera.files import DRAFT, whole_file


def name_of(run_id: UUID, stamp: str) -> str:
    """Return the name of the backup that a run makes."""
    return f"{stamp}-{run_id.hex[:8]}"


def path_of(name: str) -> str:
    """Return where the dump of a backup lies within the storage."""
    return f"{name}.dump"


class Catalog:
    """The backups in a place for files.

    Args:
        filesystem: Its root is the place.
    """

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self._files = filesystem

    def list(self) -> tuple[list[Manifest], list[str]]:
        """Return the backups, the oldest first, and a sentence for each manifest that cannot be read."""
        self._files.invalidate_cache()
        found, unreadable = [], []
        for path in self._files.glob("*.json"):
            name = path.rpartition("/")[2].removesuffix(".json")
            try:
                found.append(parse(name, self._files.cat_file(f"{name}.json")))
            except UnreadableManifest as error:
                unreadable.append(str(error))
        return sorted(found, key=lambda each: each.started_at), unreadable

    def read(self, name: str) -> Manifest:
        """Return a backup; 'latest' is the newest that was verified.

        Raises:
            ConfigurationError: There is none of that name.
            UnreadableManifest: Its manifest cannot be read.
        """
        if name == "latest":
            verified = [each for each in self.list()[0] if each.outcome == "verified"]
            if not verified:
                raise ConfigurationError("no verified backup is kept there: see `sivera restore list`, and name one")
            return verified[-1]
        if found := self.find(name):
            return found
        raise ConfigurationError(f"there is no backup {name}: see `sivera restore list`")

    def find(self, name: str) -> Manifest | None:
        """Return a backup, or None where there is none of that name.

        Raises:
            UnreadableManifest: Its manifest cannot be read.
        """
        try:
            return parse(name, self._files.cat_file(f"{name}.json"))
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        """Say whether the dump of a backup is there."""
        return bool(self._files.exists(path_of(name)))

    def write(self, manifest: Manifest) -> None:
        """Write a manifest, whole or not at all."""
        path = f"{manifest.name}.json"
        with whole_file(self._files, path) as file:
            file.write(render(manifest))

    @contextmanager
    def new_dump(self, name: str) -> Iterator[BinaryIO]:
        """Yield a file to write the dump to; it gets its own name once the body has ended well, else it goes."""
        with whole_file(self._files, path_of(name)) as file:
            yield file

    def open_dump(self, name: str) -> BinaryIO:
        """Open a dump to read it from its beginning to its end."""
        file: BinaryIO = self._files.open(path_of(name), "rb")
        return file

    def remove(self, name: str) -> None:
        """Remove a backup; the manifest goes last, so that what is removed by halves is removed again."""
        for path in (path_of(name), f"{name}.json"):
            with suppress(FileNotFoundError):
                self._files.rm_file(path)

    def remove_drafts(self) -> None:
        """Remove what writers that were killed have left."""
        for path in self._files.glob(f"*{DRAFT}"):
            with suppress(FileNotFoundError):
                self._files.rm_file(path)
