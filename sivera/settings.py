"""Settings of the machine, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from sivera.errors import ConfigurationError
from sivera.metrics.rules import DAILY_CALLS
from sivera.values import PlatformName


def _absolute(path: Path) -> Path:
    if path.parts[:1] == ("~",):
        return path.expanduser()
    if not path.is_absolute():
        # A run works in a folder of its own, which is deleted at its end.
        raise ValueError("write it as an absolute path, because each process has another current folder")
    return path


Folder = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """The variables that start with `SIVERA_`, other than those of blocks."""

    model_config = SettingsConfigDict(env_prefix="SIVERA_", env_ignore_empty=True, validate_default=True)

    spool_dir: Folder = Field(
        default=Path("~/.local/state/sivera/spool"),
        description="Where renewed tokens are kept, encrypted, while the database is down. Each machine needs its own.",
    )
    storage_dir: Folder = Field(
        default=Path("~/.local/share/sivera"),
        description="Where reports and backups are kept until the storage blocks name another place.",
    )
    public_url: str = Field(
        default="http://127.0.0.1:3000",
        description="Where browsers reach the HTTP API. Links for connecting an account point there.",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO", description="The lowest level of our log lines that is kept."
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(str.lower)] = Field(
        default="text", description="The format of a flow's log lines on the console."
    )


class QuotaSettings(BaseSettings):
    """Our application's quotas. They are separate because only collect-metrics and `sivera status` need them."""

    model_config = SettingsConfigDict(env_prefix="SIVERA_")

    daily_calls: dict[PlatformName, PositiveInt] = Field(
        default_factory=lambda: dict(DAILY_CALLS),
        description='Calls per day that a platform allows our application, as JSON: {"google": 2880}.',
    )


PUBLIC_URL = "SIVERA_PUBLIC_URL"
"""The variable of `Settings.public_url`."""

RESTORE_URL = "SIVERA_RESTORE_URL"
"""The variable with the URL of the database that `sivera restore run` restores into."""

UNSAVED_VARIABLES = frozenset(
    f"SIVERA_{name.upper()}" for kind in (Settings, QuotaSettings) for name in kind.model_fields
) | {RESTORE_URL}
"""Variables that are read when needed: `sivera setup` neither saves nor refuses them."""


def read_daily_calls() -> dict[PlatformName, int]:
    """Return the calls per day that platforms allow us; ConfigurationError if the variable is invalid."""
    try:
        return QuotaSettings().daily_calls
    except (SettingsError, ValidationError):
        raise ConfigurationError(
            'SIVERA_DAILY_CALLS is invalid: write platforms and their calls per day, such as {"google": 2880}'
        ) from None


def read_settings() -> Settings:
    """Read the settings; ConfigurationError names an invalid one."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name, message = "_".join(map(str, first["loc"])).upper(), first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"SIVERA_{name}: {message}") from None
