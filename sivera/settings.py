"""Settings of the machine that a process runs on, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from variables that begin with `SIVERA_`."""

    model_config = SettingsConfigDict(env_prefix="SIVERA_")

    spool_dir: Path = Field(
        default_factory=lambda: Path("~/.local/state/sivera/spool").expanduser(),
        description="Where renewed tokens are kept, encrypted, while the database is away; of this machine alone.",
    )
    storage_dir: Path = Field(
        default_factory=lambda: Path("~/.local/share/sivera").expanduser(),
        description="Where reports and backups are kept until the storage blocks name another place.",
    )
    postgres_bin_dir: Path | None = Field(
        default=None,
        description="The folder of other pg_dump and pg_restore than those that come with this package.",
    )
