"""Settings of the machine, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from sivera.errors import ConfigurationError
from sivera.metrics.rules import DAILY_CALLS
from sivera.values import PlatformName

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["text", "json"]


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
    public_url: str = Field(
        default="http://127.0.0.1:3000",
        description="Where browsers reach the HTTP API: links that connect an account lead there.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = Field(
        default="INFO", description="From which level on lines of ours are kept."
    )
    log_format: Annotated[LogFormat, BeforeValidator(str.lower)] = Field(
        default="text", description="How the lines of a flow's process are written to the console."
    )


class QuotaSettings(BaseSettings):
    """Our application's quotas, if they differ from the usual ones. Only the jobs that measure read them."""

    model_config = SettingsConfigDict(env_prefix="SIVERA_")

    daily_calls: dict[PlatformName, PositiveInt] = Field(
        default_factory=lambda: dict(DAILY_CALLS),
        description='How many calls a day a platform grants our application, as JSON: {"google": 2880}.',
    )


PUBLIC_URL = "SIVERA_PUBLIC_URL"
"""The variable of `Settings.public_url`."""

RESTORE_URL = "SIVERA_RESTORE_URL"
"""The variable with the URL of the database into which `sivera restore run` restores."""

UNSAVED_VARIABLES = frozenset(
    f"SIVERA_{name.upper()}" for kind in (Settings, QuotaSettings) for name in kind.model_fields
) | {RESTORE_URL}
"""Variables that only the running process reads: `sivera setup` neither saves nor refuses them."""


def read_daily_calls() -> dict[PlatformName, int]:
    """Return each platform's calls a day for our application; ConfigurationError if the variable is wrong."""
    try:
        return QuotaSettings().daily_calls
    except (SettingsError, ValidationError):
        raise ConfigurationError(
            'SIVERA_DAILY_CALLS does not fit: write it as {"google": 2880}, a platform and its calls a day'
        ) from None


def read_settings() -> Settings:
    """Read the settings; ConfigurationError names one that is invalid."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ConfigurationError(f"SIVERA_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}") from None
