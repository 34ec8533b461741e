"""The interface of a platform client.

A client knows paths, fields, encodings and error codes, but not the database, a run's clock or Prefect.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pydantic import SecretStr

from sivera.errors import AccountInaccessible, TokenRejected, Unavailable
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    Period,
    PlatformName,
    ReportRequest,
    TotalsReading,
    Value,
)

if TYPE_CHECKING:
    import httpx

    from sivera.breaker import Breaker
    from sivera.platforms.calling import Caller

REPORT_PATIENCE = timedelta(hours=4)
"""A report takes up to three hours; one that takes longer than this is requested again."""
REPORTS_LAG = timedelta(hours=18)
"""The normal age of figures from reports: a report is requested twice a day and takes up to `REPORT_PATIENCE`."""


class AppCredentials(Value):
    """Our application's registration with one platform.

    `base_url` is the sandbox, which serves all hosts of the platform below one URL; None means the live platform.
    `developer_token` is Google's and optional: its servers ignore it.
    """

    client_id: str
    client_secret: SecretStr
    base_url: str | None = None
    developer_token: SecretStr | None = None

    def host(self, live: str, region: str = "") -> str:
        """Return the address of a live host, or of the sandbox in its place, which has a folder for each region."""
        if not self.base_url:
            return live
        return "/".join(filter(None, [self.base_url.rstrip("/"), region]))


class TokenSource(Protocol):
    """The source of a grant's access token."""

    def current(self) -> str:
        """Return an access token that is valid for one more call."""

    def renewed(self, rejected: str) -> str:
        """Return a token newer than the one that the platform has just rejected."""


@dataclass(frozen=True)
class StaticToken:
    """A token that cannot be renewed, such as one that a person has pasted."""

    token: SecretStr
    platform: PlatformName

    def current(self) -> str:
        """Return the token."""
        return self.token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        """Raise TokenRejected: there is no newer token."""
        raise TokenRejected(self.platform, "the token is expired or not valid")


@dataclass(frozen=True)
class Login(ABC):
    """A platform's consent page, and the exchange of its answer for tokens.

    `regions` names the regions with a consent page of their own; it holds one empty name if the platform has a single
    page. `code_name` is the answer's parameter with the code. `loopback` is the name that the platform expects for this
    machine in a redirect.
    """

    app: AppCredentials
    oauth: "Caller"
    regions: ClassVar[tuple[str, ...]] = ("",)
    code_name: ClassVar[str] = "code"
    loopback: ClassVar[str] = "localhost"

    @property
    def issuer(self) -> str | None:
        """The `iss` of the platform's answers (RFC 9207); None if it sends none."""
        return None

    @abstractmethod
    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the consent page. `challenge` is for PKCE (RFC 7636, S256)."""

    @abstractmethod
    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange a consent's code for the tokens of a grant.

        Raises:
            ReconnectRequired: The code has expired, was used, or belongs to another consent.
            WrongRedirect: The consent was given with another redirect.
            ScopeMissing: The user did not allow us to read ads.
        """

    @abstractmethod
    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the grant's tokens for fresh ones; if they do not expire, prove that they still work.

        An answer without a refresh token keeps the old one.
        """


class PlatformClient(ABC):
    """One platform, for any grant. Threads can share it.

    `products` names the ad products that are read one by one; a platform without any has one empty name.
    """

    platform: ClassVar[PlatformName]
    products: ClassVar[tuple[str, ...]] = ("",)
    login: Login

    def __init__(self, app: AppCredentials, http: "httpx.Client", breaker: "Breaker") -> None:
        self._app, self._http, self.breaker = app, http, breaker

    @abstractmethod
    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's ad accounts, each once; closed ones are marked."""

    @abstractmethod
    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List the account's campaigns, including deleted ones if the platform still lists them.

        With `changed`, the listing has at least the campaigns that changed within that time. Platforms without such a
        filter list all, and the listing is `complete`.
        """

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Renew the grant's tokens, as its login does."""
        return self.login.renew(tokens)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A platform that answers a question about metrics at once."""

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = ()
    ) -> Iterator[MetricsReading]:
        """Yield the daily metrics of the window in one or more parts.

        Each part is yielded as soon as it arrives, so an error in a later part loses nothing. If a team may choose what
        counts as a conversion, it is the first of the `actions` that a row has.
        """

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read the account's spend on each day of the window. Days without spend may be absent.

        Days that cannot be read are left out and named.
        """


@runtime_checkable
class ConfirmsDeletions(Protocol):
    """A platform that lists no deleted campaigns, but says of a given id whether it is deleted."""

    def deleted_among(self, tokens: TokenSource, account: AdAccount, ids: Iterable[str]) -> frozenset[str]:
        """Return the account's campaigns that are deleted or that the platform no longer knows."""


@runtime_checkable
class Revokes(Protocol):
    """A platform with a call that withdraws what a user has allowed our application."""

    def revoke(self, tokens: GrantTokens) -> None:
        """End the grant at the platform. Other grants of the same user may end with it.

        Raises:
            TokenRejected, ReconnectRequired: The platform no longer accepts the tokens.
        """


@runtime_checkable
class PreparesReports(Protocol):
    """A platform that prepares metrics as reports: one run requests them, a later run collects them."""

    def report_windows(self, product: str, window: DateWindow, today: date) -> Sequence[DateWindow]:
        """Split the window into parts that fit one report, without days that the platform no longer keeps."""

    def request_report(self, tokens: TokenSource, account: AdAccount, product: str, window: DateWindow) -> str:
        """Request a report and return its id, or the id of the same report if it is already being prepared."""

    def collect_report(self, tokens: TokenSource, account: AdAccount, request: ReportRequest) -> MetricsReading | None:
        """Return what a report holds; None if the platform is still preparing it.

        Raises:
            ReportLost: The report has to be requested again.
        """


class ReportLost(Unavailable):
    """The report failed, or the platform does not know it: it will never be ready."""

    is_silence: ClassVar[bool] = False


class ProductNotEnabled(AccountInaccessible):
    """This ad product is not enabled for the account; others may be."""
