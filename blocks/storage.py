"""Places for files, as blocks."""

from typing import TYPE_CHECKING

from prefect.types import SecretDict
from pydantic import Field, field_validator

from blocks.names import BACKUPS, REPORTS
from blocks.server import StrictBlock, load
from sivera.errors import ConfigurationError

if TYPE_CHECKING:
    from fsspec.implementations.dirfs import DirFileSystem


class Storage(StrictBlock):
    """A place for files: a local folder, or anything that fsspec reaches, such as S3."""

    url: str = Field(description="As file:///var/lib/sivera/reports or s3://bucket/reports. No credentials in it.")
    options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="Options of fsspec's file system for the URL, such as key, secret and endpoint_url for S3.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        scheme, found, place = url.partition("://")
        if not (scheme and found and place.strip("/")):
            raise ValueError("it does not name a place: write it as file:///folder or s3://bucket/folder")
        if "@" in place.partition("/")[0]:
            raise ValueError("it holds credentials, which the UI would show: put them into options")
        if scheme in ("file", "local") and not place.startswith(("/", "~")):
            # A run works in a folder of its own, which is deleted at its end.
            raise ValueError("it depends on the folder of the process: write it as file:///folder")
        return url

    def get_filesystem(self) -> "DirFileSystem":
        """Return a file system whose root is the place; ConfigurationError if fsspec cannot open it."""
        from sivera.private_files import open_place  # noqa: PLC0415 - most runs keep no files

        options = self.options.get_secret_value()
        try:
            return open_place(self.url, options)
        except (ImportError, ValueError, TypeError) as error:
            # The error's text may quote the options.
            kind = self.url.partition("://")[0]
            raise ConfigurationError(
                f"files at '{self.url}' cannot be reached ({type(error).__name__}): is the fsspec package for "
                f"'{kind}' installed, such as s3fs for s3, and do the block's options fit it?"
            ) from None


def load_storage(name: str) -> Storage:
    """Load one of `STORAGES`; see `blocks.server.load`."""
    return load(Storage, name, "run `sivera deploy`, which makes one in a local folder")


STORAGES = (REPORTS, BACKUPS)
