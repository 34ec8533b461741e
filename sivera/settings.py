"""Settings of the machine that a process runs on, from the environment."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from sivera.errors import ConfigurationError


class LogFormat(StrEnum):
    """How lines of a log are written to the console."""

    TEXT = "text"
    JSON = "json"


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


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
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = Field(
        default="INFO", description="From which level on lines of ours are kept."
    )
    log_format: Annotated[LogFormat, BeforeValidator(str.lower)] = Field(
        default=LogFormat.TEXT, description="How the lines of a flow's process are written to the console."
    )


def read_settings() -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: One of them will not do.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ConfigurationError(f"SIVERA_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}") from None
