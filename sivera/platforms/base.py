"""The interface of a platform client.

A client knows paths, fields, encodings and error codes. It does not know the database, the clock of a run, or Prefect.
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

LONGEST_LIFE_SECONDS = 400 * 24 * 3600
"""No platform issues an access token for more than a year: a longer lifetime is an error."""
REPORT_PATIENCE = timedelta(hours=4)
"""A report takes up to three hours; one that is not done after this time is requested again."""
REPORTS_LAG = timedelta(hours=18)
"""The normal age of figures from reports: a report is requested twice a day, and takes up to `REPORT_PATIENCE`."""


class AppCredentials(Value):
    """Our application's registration with one platform.

    `base_url` replaces every host of the platform, for the sandbox, which serves all paths of a platform below one URL;
    None means the live platform. `developer_token` is for Google, and optional: its servers ignore it.
    """

    client_id: str
    client_secret: SecretStr
    base_url: str | None = None
    developer_token: SecretStr | None = None


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
    """A platform's consent page, and the tokens for its answer.

    `regions` names the regions that have a page of their own; on a platform with one page it holds one empty name.
    `code_name` is the parameter of the answer that holds the code. `loopback` is how the platform wants this machine to
    be named in a redirect.
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
        """Return the address of the consent page. `challenge` is that of PKCE (RFC 7636, S256)."""

    @abstractmethod
    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code of a consent for the tokens of a grant.

        Raises:
            ReconnectRequired: The code has expired, was used, or is not of this consent.
            WrongRedirect: The redirect is not the one of the consent.
            ScopeMissing: The user did not allow that we read ads.
        """


class PlatformClient(ABC):
    """One platform, for any grant. Threads can share it.

    An ad account is read in parts: its listing and its metrics, and on Amazon those of each ad product. `products`
    names the ad products that are read one by one; on a platform without them it holds one empty name.
    """

    platform: ClassVar[PlatformName]
    products: ClassVar[tuple[str, ...]] = ("",)
    login: Login

    def __init__(self, app: AppCredentials, http: "httpx.Client", breaker: "Breaker") -> None:
        self._app, self._http, self.breaker = app, http, breaker

    @abstractmethod
    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the ad accounts of the grant, each once; closed ones are marked."""

    @abstractmethod
    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List the account's campaigns, deleted ones too if the platform still lists them.

        With `changed`, list at least those that changed within that time. A platform without such a filter lists all;
        the listing's `complete` says so.
        """

    @abstractmethod
    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the grant's tokens for fresh ones; if they do not expire, prove that they still work.

        Keep the refresh token if the answer has none.
        """

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A platform that answers with metrics at once."""

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = ()
    ) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, in one part or several.

        Each part is yielded as soon as it is there, so that an error in a later part loses nothing. Where a team may
        choose what counts as a conversion, the first of the `actions` that a row has is it.
        """

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read what the account spent on each day of the window; days without spend may be absent.

        Days that cannot be read are left out and named.
        """


@runtime_checkable
class ConfirmsDeletions(Protocol):
    """A platform that lists no deleted campaigns, but tells of each one by its id whether it is deleted."""

    def deleted_among(self, tokens: TokenSource, account: AdAccount, ids: Iterable[str]) -> frozenset[str]:
        """Return those of the account's campaigns that are deleted, or that the platform no longer knows."""


@runtime_checkable
class Revokes(Protocol):
    """A platform with a call that takes back what a user has allowed our application."""

    def revoke(self, tokens: GrantTokens) -> None:
        """End the grant at the platform. Tokens that the user gave us in other grants may end with it.

        Raises:
            TokenRejected, ReconnectRequired: The platform does not take the tokens any more.
        """


@runtime_checkable
class PreparesReports(Protocol):
    """A platform that prepares metrics as reports: one run requests them, a later run collects them."""

    def report_windows(self, product: str, window: DateWindow, today: date) -> Sequence[DateWindow]:
        """Return the window as parts that one report can have, without days that the platform no longer keeps."""

    def request_report(self, tokens: TokenSource, account: AdAccount, product: str, window: DateWindow) -> str:
        """Request a report and return its id; if the same report is already under way, its id."""

    def collect_report(self, tokens: TokenSource, account: AdAccount, request: ReportRequest) -> MetricsReading | None:
        """Return what a report holds; None if the platform is still preparing it.

        Raises:
            ReportLost: The report failed, or the platform does not know it: it has to be requested again.
        """


class ReportLost(Unavailable):
    """This report will never be ready."""

    is_silence: ClassVar[bool] = False


class ProductNotEnabled(AccountInaccessible):
    """This ad product is not enabled for the account; others may be."""
