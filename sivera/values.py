"""The values that platform clients return: frozen, normalised, and the same for all four platforms."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
"""Control characters, and characters that change the direction of a text (Unicode, UAX 9)."""


def one_line(text: str) -> str:
    """Return a text on one line, without characters that control a terminal or change the direction of a text."""
    return UNPRINTABLE.sub("", text.replace("\n", " ").replace("\t", " "))


def _clean(text: str) -> str:
    text.encode()  # fails on half of a surrogate pair
    return one_line(text)


Name = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(_clean)]
"""A text that people chose, on one line, without characters that could take over a terminal, a chat or a page."""

Word = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]*$", max_length=255)]
"""A text that a program chose, such as an id or a status. It is short enough for the database's indexes."""

Count = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Figure = Annotated[Decimal, Field(gt=1 - 10**14, lt=10**14 - 1)]
"""A number that the database's columns can hold. A larger one would fail the write of all rows beside it."""


class Value(BaseModel):
    """A frozen value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlatformName(StrEnum):
    """The advertising platforms."""

    GOOGLE = "google"
    META = "meta"
    AMAZON = "amazon"
    TIKTOK = "tiktok"


class AccountStatus(StrEnum):
    """Whether an ad account can be read."""

    ACTIVE = "active"
    CLOSED = "closed"


class CampaignStatus(StrEnum):
    """A campaign's status, in words that mean the same on every platform.

    `OTHER` covers states that we do not know yet. The platform's own word is kept beside it.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    ARCHIVED = "archived"
    REMOVED = "removed"
    OTHER = "other"


class BudgetKind(StrEnum):
    """What a campaign's budget limits.

    `SHARED` is a daily amount that several campaigns share: count it once, by `Budget.budget_id`.
    `LOWER_LEVEL` means that the ad sets or ad groups have the budgets.
    """

    DAILY = "daily"
    LIFETIME = "lifetime"
    SHARED = "shared"
    LOWER_LEVEL = "lower_level"


class Budget(Value):
    """A campaign's budget. `amount` is in major units of `currency` (ISO 4217), and None for `LOWER_LEVEL`."""

    kind: BudgetKind
    amount: Figure | None = None
    currency: Word
    budget_id: Word | None = None


class AdAccount(Value):
    """An ad account that a grant can reach, with everything needed to call it.

    `timezone` is an IANA name; metric days are days there. `manager_id` is the Google manager account through which it
    is reached; `region` is the Amazon region that lists it (`na`, `eu`, `fe`).
    """

    external_id: Word
    name: Name
    currency: Word
    timezone: Word
    status: AccountStatus = AccountStatus.ACTIVE
    manager_id: Word | None = None
    region: Word | None = None


class Campaign(Value):
    """A campaign as the platform describes it now. Dates are days in the account's time zone.

    `is_reported` is false if the platform reports no figures for the campaign. A day without a row is then unknown.
    """

    external_id: Word
    name: Name
    status: CampaignStatus
    native_status: Word
    ad_product: Word | None = None
    budget: Budget
    start_date: date | None = None
    end_date: date | None = None
    updated_at: datetime | None = None
    is_reported: bool = True


class DailyMetrics(Value):
    """A campaign's figures on one day of its account's time zone. Money is in major units of `currency`."""

    campaign_id: Word
    day: date
    impressions: Count
    clicks: Count
    spend: Figure
    conversions: Figure
    conversion_value: Figure
    currency: Word


def days_between(since: date, until: date) -> list[date]:
    """Return the days from `since` to `until`, both included, in order."""
    return [since + timedelta(days=n) for n in range((until - since).days + 1)]


class DateWindow(Value):
    """The days from `since` to `until`, both included, in an account's time zone."""

    since: date
    until: date

    @property
    def days(self) -> list[date]:
        """Each of the days, in order."""
        return days_between(self.since, self.until)


class OddRow(Value):
    """A row of a reply that was left out because it is not as documented.

    `id` is the platform's id, None if the row has none. `why` is a predicate, such as "sent a row without a name" or
    "cannot be read: ...".
    """

    id: str | None
    why: str


class AccountListing(Value):
    """The ad accounts that a grant reaches.

    `left_out` names accounts that could not be read. `refused_regions` are regions that refused the grant: their
    accounts are absent, but may still be open. `data_access_ends` is when the platform stops giving this grant
    data, although its token still works (Meta's data access of 90 days); None if it does not say.
    """

    accounts: tuple[AdAccount, ...]
    left_out: tuple[OddRow, ...] = ()
    refused_regions: tuple[str, ...] = ()
    data_access_ends: datetime | None = None


class Period(Value):
    """A time span, for listings of campaigns that changed within it."""

    since: datetime
    until: datetime


class CampaignListing(Value):
    """Listed campaigns. `complete` if these are all of the account (or ad product)."""

    campaigns: tuple[Campaign, ...]
    complete: bool
    left_out: tuple[OddRow, ...] = ()


class MetricsReading(Value):
    """Everything a platform has for a window. A day without a row is zero, unless rows were left out.

    With `without_deleted`, the platform reported only on campaigns that it lists: days that others lack are unknown.
    """

    window: DateWindow
    rows: tuple[DailyMetrics, ...]
    left_out: tuple[OddRow, ...] = ()
    without_deleted: bool = False


class DailyTotal(Value):
    """What an account spent on a day of its time zone, including campaigns that the platform does not report on."""

    day: date
    spend: Figure
    currency: Word


class TotalsReading(Value):
    """What an account spent on each day of a window. A day without spend may be absent."""

    days: tuple[DailyTotal, ...]
    left_out: tuple[OddRow, ...] = ()


class ReportRequest(Value):
    """A report that a platform prepares and a later run collects."""

    report_id: str
    ad_product: str
    window: DateWindow
    requested_at: datetime


class GrantTokens(Value):
    """The tokens of one OAuth grant.

    `expires_in` is the access token's lifetime as the platform gave it (RFC 6749, section 5.1), None if it does not
    expire. It is a duration, so no machine's clock decides when a token has expired.
    """

    access_token: SecretStr
    refresh_token: SecretStr | None = None
    expires_in: timedelta | None = None
