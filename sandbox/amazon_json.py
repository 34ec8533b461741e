"""Amazon's wire format: error bodies, profiles, and campaigns in three encodings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.http import Call, Reply
from sandbox.world import Account, Campaign
from sivera.values import CampaignStatus

SP, SB, SD = "SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"
COUNTRY_OF_CURRENCY = {"USD": "US", "EUR": "DE", "KRW": "KR", "JPY": "JP", "TWD": "TW", "AUD": "AU"}
STATES = {CampaignStatus.ACTIVE: "ENABLED", CampaignStatus.PAUSED: "PAUSED"}
"""All other states are ARCHIVED: a deleted campaign is an archived one."""
MAX_PAGE = 100
LIST_FIELDS: dict[str, Any] = {
    "stateFilter": {"include": ["ENABLED", "PAUSED"]},
    "includeExtendedDataFields": False,
    "maxResults": MAX_PAGE,
    "nextToken": "",
}
"""The fields of a request for a list, with their defaults."""


def error(call: Call, status: int, text: str, word: str = "INVALID_ARGUMENT") -> Reply:
    """Return an error in the shape of the called API: Login with Amazon, Reporting, SP and SB, or SD."""
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


def profile(account: Account) -> dict[str, Any]:
    """Return an account as a profile; its id is a number beyond 2^53."""
    return {
        "profileId": int(account.id),
        "countryCode": COUNTRY_OF_CURRENCY[account.currency],
        "currencyCode": account.currency,
        "timezone": account.timezone,
        "accountInfo": {
            "marketplaceStringId": f"A{account.currency}SANDBOX",
            "id": f"ENTITY{account.index}",
            "type": "vendor" if account.index % 2 else "seller",
            "name": account.name,
        },
    }


def sp_campaign(campaign: Campaign, now: datetime, extended: bool) -> dict[str, Any]:
    """Return a campaign as Sponsored Products v3 does: a budget object, ISO times."""
    row: dict[str, Any] = {
        "campaignId": campaign.id,
        "name": campaign.name,
        "state": state(campaign),
        "targetingType": "MANUAL",
        "startDate": campaign.start.isoformat(),
        "endDate": campaign.end.isoformat() if campaign.end else None,
        "budget": {"budget": number(campaign.budget), "budgetType": "DAILY"},
    }
    if extended:
        row["extendedData"] = {
            "creationDateTime": iso(campaign.created),
            "lastUpdateDateTime": iso(campaign.updated),
            "servingStatus": _serving_status(campaign, now),
        }
    return row


def sb_campaign(campaign: Campaign, now: datetime, extended: bool) -> dict[str, Any]:
    """Return a campaign as Sponsored Brands v4 does: a plain budget with its type, times in unix milliseconds."""
    row: dict[str, Any] = {
        "campaignId": campaign.id,
        "name": campaign.name,
        "state": state(campaign),
        "startDate": campaign.start.isoformat(),
        "budget": number(campaign.budget),
        "budgetType": campaign.budget_kind.value.upper(),
        "isMultiAdGroupsEnabled": not campaign.single_ad_group,
    }
    if campaign.end:
        row["endDate"] = campaign.end.isoformat()
    if extended:
        row["extendedData"] = {
            "creationDate": _epoch_ms(campaign.created),
            "lastUpdateDate": _epoch_ms(campaign.updated),
            "servingStatus": _serving_status(campaign, now),
        }
    return row


def sd_campaign(campaign: Campaign, now: datetime) -> dict[str, Any]:
    """Return a campaign as Sponsored Display does: a number as id, words in lower case, days without dashes."""
    row: dict[str, Any] = {
        "campaignId": int(campaign.id),
        "name": campaign.name,
        "state": state(campaign).lower(),
        "tactic": "T00020",
        "startDate": f"{campaign.start:%Y%m%d}",
        "budget": number(campaign.budget),
        "budgetType": "daily",
        "creationDate": _epoch_ms(campaign.created),
        "lastUpdatedDate": _epoch_ms(campaign.updated),
        "servingStatus": _serving_status(campaign, now),
    }
    if campaign.end:
        row["endDate"] = f"{campaign.end:%Y%m%d}"
    return row


def read_list_request(body: Any) -> dict[str, Any]:
    """Return the fields of a request for a list, with their defaults; ValueError says what is wrong with one."""
    if not isinstance(body, dict) or any(type(body[name]) is not type(LIST_FIELDS.get(name)) for name in body):
        raise ValueError("The body is not a request of this API")
    found = LIST_FIELDS | body
    if not 1 <= found["maxResults"] <= MAX_PAGE:
        raise ValueError(f"maxResults must be from 1 to {MAX_PAGE}")
    states = found["stateFilter"].get("include")
    if len(found["stateFilter"]) != 1 or not isinstance(states, list) or not all(isinstance(s, str) for s in states):
        raise ValueError("stateFilter must have one list: include")
    return found


def member(body: object, name: str) -> dict[str, Any]:
    """Return the JSON object under a name of a body, or an empty one."""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, dict) else {}


def state(campaign: Campaign) -> str:
    """Return a campaign's state as Amazon names it."""
    return STATES.get(campaign.state, "ARCHIVED")


def number(amount: Decimal) -> int | float:
    """Return an amount as a JSON number, an integer if it is whole."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def iso(when: datetime) -> str:
    """Return a time as Amazon writes it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _epoch_ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _serving_status(campaign: Campaign, now: datetime) -> str:
    if campaign.state is not CampaignStatus.ACTIVE:
        return f"CAMPAIGN_{state(campaign)}"
    return "ENDED" if campaign.end is not None and campaign.end < now.date() else "CAMPAIGN_STATUS_ENABLED"
