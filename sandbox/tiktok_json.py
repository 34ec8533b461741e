"""TikTok's wire format: codes, parameters, filters and the fields of records.

Names, limits and codes are those of the official SDK (`tiktok-business-api-sdk-official` 1.1.3 and its `yml_files`).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, Field, Json

from sandbox.accounts import Account, Campaign
from sandbox.faults import FaultKind
from sandbox.figures import Figures, as_number
from sandbox.http import Call, Parameters, Refusal, Reply
from sivera.values import BudgetKind, CampaignStatus

REQUEST_ID = "20261120120000010203040506070809"
"""The same in every reply, so two sandboxes give equal answers."""

OK, NO_PERMISSION, BAD_PARAMETER = 0, 40001, 40002
TOO_FREQUENT = 40100
TOKEN_EXPIRED, TOKEN_EMPTY, TOKEN_INVALID = 40102, 40104, 40105
REFRESH_TOKEN_INVALID, AUTH_CODE_ERROR, APP_FORBIDDEN = 40107, 40110, 40113
NO_ADVERTISER = 40300
NO_ROUTE = 40400
SYSTEM_ERROR = 50000

T = TypeVar("T")

ADVERTISER_FIELDS: dict[str, Callable[[Account], Any]] = {
    "advertiser_id": lambda account: account.id,
    "name": lambda account: account.name,
    "currency": lambda account: account.currency,
    "timezone": lambda account: account.timezone,
    "display_timezone": lambda account: account.timezone,
    "status": lambda account: "STATUS_DISABLE" if account.closed else "STATUS_ENABLE",
}

LIVE = frozenset({CampaignStatus.ACTIVE, CampaignStatus.PAUSED})
DELETED = frozenset({CampaignStatus.ARCHIVED, CampaignStatus.REMOVED})
BUDGET_MODES = {
    BudgetKind.DAILY: "BUDGET_MODE_DAY",
    BudgetKind.LIFETIME: "BUDGET_MODE_TOTAL",
    BudgetKind.LOWER_LEVEL: "BUDGET_MODE_INFINITE",
}


def _secondary_status(campaign: Campaign) -> str:
    if campaign.state in DELETED:
        return "CAMPAIGN_STATUS_DELETE"
    return "CAMPAIGN_STATUS_ENABLE" if campaign.state is CampaignStatus.ACTIVE else "CAMPAIGN_STATUS_DISABLE"


CAMPAIGN_FIELDS: dict[str, Callable[[Campaign], Any]] = {
    "campaign_id": lambda campaign: campaign.id,
    "campaign_name": lambda campaign: campaign.name,
    "objective_type": lambda campaign: campaign.product,
    "budget_mode": lambda campaign: BUDGET_MODES[campaign.budget_kind],
    "budget": lambda campaign: 0 if campaign.budget_kind is BudgetKind.LOWER_LEVEL else as_number(campaign.budget),
    "operation_status": lambda campaign: "ENABLE" if campaign.state is CampaignStatus.ACTIVE else "DISABLE",
    "secondary_status": _secondary_status,
    "create_time": lambda campaign: f"{campaign.created:%Y-%m-%d %H:%M:%S}",
    "modify_time": lambda campaign: f"{campaign.updated:%Y-%m-%d %H:%M:%S}",
}
METRICS: dict[str, Callable[[Figures], str]] = {
    "spend": lambda figures: f"{figures.spend:.3f}",
    "impressions": lambda figures: str(figures.impressions),
    "clicks": lambda figures: str(figures.clicks),
    # The event that an ad group is optimised for, which need not be a purchase.
    "conversion": lambda figures: f"{2 * figures.conversions:f}",
    "complete_payment": lambda figures: f"{figures.conversions:f}",
    # In spite of its name the value of website purchases: the SDK's yml calls it `time_attr_total_shopping_value`.
    "total_complete_payment_rate": lambda figures: f"{figures.conversion_value:f}",
}


def envelope(code: int, message: str, data: Mapping[str, Any] | None = None, status: int = 200) -> Reply:
    """Return a reply in TikTok's format."""
    return Reply({"code": code, "message": message, "request_id": REQUEST_ID, "data": data or {}}, status)


def ok(data: Mapping[str, Any]) -> Reply:
    """Return a successful reply."""
    return envelope(OK, "OK", data)


def refusal(code: int, message: str) -> Refusal:
    """Return an exception that answers with an error."""
    return Refusal(envelope(code, message))


def select(thing: T, known: Mapping[str, Callable[[T], Any]], fields: Sequence[str]) -> dict[str, Any]:
    """Return fields of a thing by name."""
    return {field: known[field](thing) for field in fields}


# -- parameters -------------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1)]


def _names(known: Mapping[str, Any]) -> AfterValidator:
    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in known:
                raise ValueError(f"{name} is not supported.")
        return names

    return AfterValidator(check)


class App(Parameters):
    """The keys of an application, under either of TikTok's names."""

    app_id: Text = Field(validation_alias=AliasChoices("app_id", "client_id"))
    secret: Text = Field(validation_alias=AliasChoices("secret", "client_secret"))


class Redemption(App):
    """The body that redeems a code."""

    auth_code: Text


class Renewal(App):
    """The body that renews a token."""

    grant_type: Literal["refresh_token"]
    refresh_token: Text


class Revocation(App):
    """The body that revokes a token."""

    access_token: Text


class AdvertisersQuery(Parameters):
    """The parameters of a request for advertisers."""

    advertiser_ids: Json[Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]]
    fields: Json[Annotated[tuple[str, ...], _names(ADVERTISER_FIELDS)]] = tuple(ADVERTISER_FIELDS)


class PageQuery(Parameters):
    """The parameters of a page."""

    advertiser_id: Text
    page: Annotated[int, Field(ge=1, lt=10**9)] = 1
    page_size: Annotated[int, Field(ge=1, le=1000)] = 10


class _CampaignFilter(Parameters):
    secondary_status: Literal["CAMPAIGN_STATUS_ALL", "CAMPAIGN_STATUS_NOT_DELETE"] = "CAMPAIGN_STATUS_NOT_DELETE"


class CampaignsQuery(PageQuery):
    """The parameters of a listing of campaigns."""

    fields: Json[Annotated[tuple[str, ...], _names(CAMPAIGN_FIELDS)]] = tuple(CAMPAIGN_FIELDS)
    filtering: Json[_CampaignFilter] = _CampaignFilter()


class _ByStatus(Parameters):
    field_name: Literal["campaign_status"]
    filter_type: Literal["IN"]
    filter_value: Json[tuple[Literal["STATUS_ALL", "STATUS_NOT_DELETE"], ...]]


class _ByCampaign(Parameters):
    field_name: Literal["campaign_ids"]
    filter_type: Literal["IN"]
    filter_value: Json[Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]]


class ReportQuery(PageQuery):
    """The parameters of a report; the sandbox has no other kinds."""

    service_type: Literal["AUCTION"]
    report_type: Literal["BASIC"]
    data_level: Literal["AUCTION_CAMPAIGN", "AUCTION_ADVERTISER"]
    dimensions: Json[tuple[Literal["campaign_id", "advertiser_id"], Literal["stat_time_day"]]]
    metrics: Json[Annotated[tuple[str, ...], _names(METRICS)]]
    start_date: date
    end_date: date
    filtering: Json[tuple[_ByStatus | _ByCampaign, ...]] = ()

    def takes(self) -> Callable[[Campaign], bool]:
        """Return a function that says whether a campaign was requested; deleted ones are not by default."""
        states, ids = LIVE, None
        for rule in self.filtering:
            if isinstance(rule, _ByCampaign):
                ids = set(rule.filter_value)
            elif "STATUS_ALL" in rule.filter_value:
                states = LIVE | DELETED
        return lambda campaign: campaign.state in states and (ids is None or campaign.id in ids)


def listing(
    call: Call, asked: PageQuery, things: Sequence[T], encode: Callable[[T], Any], *, has_gap: bool = False
) -> Reply:
    """Return a page of records; TikTok leaves an empty list out.

    With a gap, the second of more than two pages has no records. Empty pages from a fault never end.
    """
    page, size, total = asked.page, asked.page_size, len(things)
    pages = -(-total // size)
    first = (page - 1) * size
    if has_gap and pages > 2:
        pages += 1
        first = total if page == 2 else first - size * (page > 2)
    if call.fault is FaultKind.EMPTY_PAGE:
        first = total = pages = (page + 1) * size
    records = [encode(thing) for thing in things[first : first + size]]
    info = {"page": page, "page_size": size, "total_number": total, "total_page": pages}
    return ok(({"list": records} if records else {}) | {"page_info": info})
