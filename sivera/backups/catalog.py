"""The backups in a storage: each is `<name>.dump` and, once that is complete, `<name>.json`."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from sivera.backups.manifest import Manifest, Outcome
from sivera.errors import ConfigurationError, SiveraError
from sivera.files import DRAFT, whole_file

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

OURS = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
"""The names of backups. All other files are left alone."""


class UnreadableManifest(SiveraError):
    """A manifest is damaged, of another version, or another backup's."""


class Catalog:
    """The backups in the root of a file system."""

    def __init__(self, filesystem: "AbstractFileSystem") -> None:
        self._files = filesystem

    def list(self) -> tuple[list[Manifest], list[str]]:
        """Return the backups, oldest first, and a sentence for each manifest that cannot be read."""
        found, unreadable = [], []
        for name in self._names(".json"):
            try:
                found.append(self.read(name))
            except UnreadableManifest as error:
                unreadable.append(str(error))
            except ConfigurationError:
                continue  # another run has dropped it since
        return sorted(found, key=lambda each: each.started_at), unreadable

    def last_verified(self, by: datetime | None = None) -> Manifest | None:
        """Return the newest verified backup, without those that were made after a time."""
        verified = (each for each in reversed(self.list()[0]) if each.outcome is Outcome.VERIFIED)
        return next((each for each in verified if by is None or each.finished_at <= by), None)

    def read(self, name: str) -> Manifest:
        """Return a backup; 'latest' is the newest verified one.

        Raises:
            ConfigurationError: There is no such backup.
            UnreadableManifest: Its manifest cannot be read.
        """
        if name == "latest":
            if latest := self.last_verified():
                return latest
            raise ConfigurationError("the storage has no verified backup: name one from `sivera restore list`")
        subject = f"the manifest of backup {name}"
        try:
            found = Manifest.model_validate_json(self._files.cat_file(f"{name}.json"))
        except ValidationError:
            raise UnreadableManifest(
                f"{subject} cannot be read (damaged, or of another version): restore another backup"
            ) from None
        except (FileNotFoundError, ValueError):  # no file, or a path that leads out of the storage
            raise ConfigurationError(f"there is no backup {name}: see `sivera restore list`") from None
        if found.name != name:
            raise UnreadableManifest(f"{subject} is that of {found.name} (the file was renamed): rename it back")
        return found

    def has_dump(self, manifest: Manifest) -> bool:
        """Return whether a backup's dump is still there."""
        try:
            self._files.info(manifest.path)  # `exists` also returns False if the storage fails
        except FileNotFoundError:
            return False
        return True

    def write(self, manifest: Manifest) -> None:
        """Write a manifest atomically."""
        with whole_file(self._files, f"{manifest.name}.json") as file:
            file.write(manifest.model_dump_json(indent=2).encode() + b"\n")

    def new_dump(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Yield a file for the dump; see `whole_file`."""
        return whole_file(self._files, f"{name}.dump")

    def open_dump(self, manifest: Manifest) -> BinaryIO:
        """Open a dump for reading; FileNotFoundError if it is gone."""
        file: BinaryIO = self._files.open(manifest.path, "rb")
        return file

    def remove(self, name: str) -> None:
        """Remove a backup. The manifest goes last, so the next run finishes an interrupted removal."""
        self._remove(f"{name}.dump", f"{name}.json")

    def remove_halves(self) -> None:
        """Remove what killed runs have left behind: drafts, and dumps without a manifest."""
        drafts = [f"{name}{ending}{DRAFT}" for ending in (".dump", ".json") for name in self._names(f"{ending}{DRAFT}")]
        halves = set(self._names(".dump")) - set(self._names(".json"))
        self._remove(*drafts, *(f"{name}.dump" for name in halves))

    def _names(self, ending: str) -> Iterator[str]:
        self._files.invalidate_cache()
        for path in self._files.glob(f"*{ending}"):
            name = path.rpartition("/")[2].removesuffix(ending)
            if OURS.fullmatch(name):
                yield name

    def _remove(self, *paths: str) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self._files.rm_file(path)
