"""The secrets of an installation as an operator writes them down, and the blocks that they become."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from blocks.alert_channels import document_name, to_block
from blocks.cron_secret import CronSecret
from blocks.database import to_connector
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import BACKUPS, CRON_SECRET, DATABASE, DEAD_MANS_PING, REPORTS, RESULT_WEBHOOK, TOKEN_KEY
from blocks.platform_app import PlatformApp
from blocks.storage import Storage
from blocks.token_key import TokenKey
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.values import PlatformName, Value

PREFIX = "SIVERA_"
T = TypeVar("T")


class StoragePlace(Value):
    """A place for files; see `Storage`."""

    url: str
    options: dict[str, Any] = Field(default_factory=dict)

    def to_block(self) -> Block:
        """Return the block that keeps it."""
        return Storage(url=self.url, options=SecretDict(self.options))


class TokenKeys(Value):
    """The keys of the tokens; see `TokenKey`."""

    keys: dict[str, SecretStr]
    current: str

    def to_block(self) -> TokenKey:
        """Return the block that keeps them."""
        keys = {key_id: key.get_secret_value() for key_id, key in self.keys.items()}
        return TokenKey(keys=SecretDict(keys), current=self.current)


class Webhook(Value):
    """Where results are posted; see `ResultWebhook`."""

    url: SecretStr
    secret: SecretStr

    def to_block(self) -> Block:
        """Return the block that keeps it."""
        return ResultWebhook(url=self.url, secret=self.secret)


def _to_pings(urls: dict[str, SecretStr]) -> Block:
    return DeadMansPing(urls=SecretDict({job: url.get_secret_value() for job, url in urls.items()}))


def _to_channels(urls: dict[Channel, SecretStr]) -> dict[str, Block]:
    return {document_name(channel): to_block(channel, url) for channel, url in urls.items()}


def _fits(make: Callable[[T], Block | Mapping[str, Block]]) -> AfterValidator:
    """Check a value by making its block: what that says of its fields, pydantic says of ours."""

    def check(value: T) -> T:
        try:
            make(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(check)


App = Annotated[AppCredentials, _fits(PlatformApp.of)]
Place = Annotated[StoragePlace, _fits(StoragePlace.to_block)]


def _to_database(url: SecretStr) -> Block:
    return to_connector(url.get_secret_value())


def _to_cron_secret(secret: SecretStr) -> Block:
    return CronSecret(current=secret)


def _with_dashes(urls: object) -> object:
    # No variable can have the dashes of a job's name.
    return {str(job).replace("_", "-"): url for job, url in urls.items()} if isinstance(urls, dict) else urls


_Apps = create_model("_Apps", __base__=BaseSettings, **{name.value: (App | None, None) for name in PlatformName})  # type: ignore[call-overload]


class Secrets(_Apps):
    """What an operator may write down, the keys of our application by platform among it; the rest stays as it is."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    database_url: Annotated[SecretStr, _fits(_to_database)] | None = None
    token_key: Annotated[TokenKeys, _fits(TokenKeys.to_block)] | None = None
    cron_secret: Annotated[SecretStr, _fits(_to_cron_secret)] | None = None
    reports: Place | None = None
    backups: Place | None = None
    result_webhook: Annotated[Webhook, _fits(Webhook.to_block)] | None = None
    pings: Annotated[dict[str, SecretStr], BeforeValidator(_with_dashes), _fits(_to_pings)] | None = None
    alerts: Annotated[dict[Channel, SecretStr], _fits(_to_channels)] | None = None

    @classmethod
    def settings_customise_sources(  # noqa: D102 - of pydantic-settings
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What is given, and nothing beside it.
        return (init_settings,)

    def to_blocks(self) -> dict[str, Block]:
        """Return the blocks that keep what is given, by their names."""
        apps = {
            platform.value: cast("AppCredentials | None", getattr(self, platform.value)) for platform in PlatformName
        }
        blocks = {
            DATABASE: self.database_url and _to_database(self.database_url),
            **{name: app and PlatformApp.of(app) for name, app in apps.items()},
            TOKEN_KEY: self.token_key and self.token_key.to_block(),
            CRON_SECRET: self.cron_secret and _to_cron_secret(self.cron_secret),
            REPORTS: self.reports and self.reports.to_block(),
            BACKUPS: self.backups and self.backups.to_block(),
            RESULT_WEBHOOK: self.result_webhook and self.result_webhook.to_block(),
            DEAD_MANS_PING: self.pings and _to_pings(self.pings),
            **_to_channels(self.alerts or {}),
        }
        return {name: block for name, block in blocks.items() if block}
