"""Amazon's wire format: error bodies, profiles, and campaigns in three encodings."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sandbox.accounts import Account, Campaign
from sandbox.figures import as_number
from sandbox.http import Call, Parameters, Reply
from sivera.values import CampaignStatus

SP, SB, SD = "SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"
COUNTRY_OF_CURRENCY = {"USD": "US", "EUR": "DE", "KRW": "KR", "JPY": "JP", "TWD": "TW", "AUD": "AU"}
STATES = {CampaignStatus.ACTIVE: "ENABLED", CampaignStatus.PAUSED: "PAUSED"}
"""Every other state is ARCHIVED: Amazon archives deleted campaigns."""
SERVING = STATES | {CampaignStatus.ACTIVE: "STATUS_ENABLED"}
State = Literal["ENABLED", "PAUSED", "ARCHIVED"]
SHOWN_BY_DEFAULT: tuple[State, ...] = ("ENABLED", "PAUSED")
MAX_PAGE = 100


def error(call: Call, status: int, text: str, word: str = "INVALID_ARGUMENT") -> Reply:
    """Return an error in the format of the called API: Login with Amazon, Reporting, SP and SB, or SD."""
    if "/auth/o2/token" in call.url:
        return Reply({"error": word, "error_description": text}, status)
    if "/reporting/" in call.url:
        return Reply({"code": str(status), "detail": text}, status)
    if "/sp/" in call.url or "/sb/" in call.url:
        return Reply({"code": word, "message": text}, status)
    return Reply({"code": str(status), "details": text, "requestId": "SANDBOX"}, status)


def storage_error(status: int, code: str, text: str) -> Reply:
    """Return an error of S3, which stores the reports."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
    return Reply(body.encode(), status, media_type="application/xml")


class CamelCase(Parameters):
    """Parameters with the API's names."""

    model_config = ConfigDict(alias_generator=to_camel)


class _StateFilter(Parameters):
    include: tuple[State, ...] = SHOWN_BY_DEFAULT


class ListRequest(CamelCase):
    """The body of a listing of Sponsored Products or Brands; a token is a position."""

    model_config = ConfigDict(strict=True)

    state_filter: _StateFilter = _StateFilter()
    include_extended_data_fields: bool = False
    max_results: Annotated[int, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE
    next_token: Annotated[str, Field(pattern=r"^(page-[0-9]{1,9})?$")] = ""


class DisplayQuery(CamelCase):
    """The parameters of a listing of Sponsored Display."""

    start_index: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE
    state_filter: Annotated[tuple[State, ...], BeforeValidator(lambda text: text.upper().split(","))] = SHOWN_BY_DEFAULT


class ProfilesQuery(CamelCase):
    """The parameters of a listing of profiles."""

    profile_type_filter: str = "seller,vendor,agency"


def profile(account: Account) -> dict[str, Any]:
    """Return an account as a profile; its id is a number beyond 2^53."""
    return {
        "profileId": int(account.id),
        "countryCode": COUNTRY_OF_CURRENCY[account.currency],
        "currencyCode": account.currency,
        "timezone": account.timezone,
        "accountInfo": {
            "id": f"ENTITY{account.index}",
            "type": "vendor" if account.index % 2 else "seller",
            "name": account.name,
        },
    }


def campaign_row(campaign: Campaign, *, extended: bool) -> dict[str, Any]:
    """Return a campaign in the format of its product's API.

    Products has a budget object and ISO times. Brands has a plain budget with its type, and times in Unix milliseconds.
    Display has numeric ids, lower-case words, days without dashes, and the extended data among the other fields.
    """
    row: dict[str, Any] = {"campaignId": campaign.id, "name": campaign.name, "state": state(campaign)}
    row |= {"budget": as_number(campaign.budget), "budgetType": "DAILY"}
    days = {"startDate": campaign.start.isoformat()} | ({"endDate": campaign.end.isoformat()} if campaign.end else {})
    milliseconds = int(campaign.updated.timestamp() * 1000)
    details: dict[str, Any] = {"servingStatus": f"CAMPAIGN_{SERVING.get(campaign.state, 'ARCHIVED')}"}
    match campaign.product:
        case "SPONSORED_PRODUCTS":
            row |= {"endDate": None, **days, "budget": {"budget": row["budget"], "budgetType": row.pop("budgetType")}}
            details["lastUpdateDateTime"] = iso(campaign.updated)
        case "SPONSORED_BRANDS":
            row |= {**days, "isMultiAdGroupsEnabled": not campaign.single_ad_group}
            details["lastUpdateDate"] = milliseconds
        case _:
            row |= {name: day.replace("-", "") for name, day in days.items()}
            row |= {"campaignId": int(campaign.id), "state": row["state"].lower(), "budgetType": "daily"}
            return row | details | {"lastUpdatedDate": milliseconds}
    return row | ({"extendedData": details} if extended else {})


def state(campaign: Campaign) -> str:
    """Return a campaign's state as Amazon names it."""
    return STATES.get(campaign.state, "ARCHIVED")


def iso(when: datetime) -> str:
    """Return a time as Amazon writes it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
