"""Settings of the machine that a process runs on, from the environment."""

from pathlib import Path

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from sivera.errors import ConfigurationError
from sivera.metrics.quotas import DAILY_CALLS
from sivera.values import PlatformName


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


class QuotaSettings(BaseSettings):
    """The quotas that our application has, where they are not the usual ones; read apart, only by who measures."""

    model_config = SettingsConfigDict(env_prefix="SIVERA_")

    daily_calls: dict[PlatformName, PositiveInt] = Field(
        default_factory=lambda: dict(DAILY_CALLS),
        description='How many calls a day a platform grants our application, as JSON: {"google": 2880}.',
    )


def read_daily_calls() -> dict[PlatformName, int]:
    """Return how many calls a day each platform with such a quota grants our application.

    Raises:
        ConfigurationError: The variable does not fit.
    """
    try:
        return QuotaSettings().daily_calls
    except (SettingsError, ValidationError):
        raise ConfigurationError(
            'SIVERA_DAILY_CALLS does not fit: write it as {"google": 2880}, a platform and its calls a day'
        ) from None
