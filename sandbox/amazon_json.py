"""Amazon's wire format: error bodies, profiles, and campaigns in three encodings."""

from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.http import Call, Refusal, Reply
from sandbox.world import Account, Campaign
from sivera.values import CampaignStatus

SP, SB, SD = "SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"
COUNTRY_OF_CURRENCY = {"USD": "US", "EUR": "DE", "KRW": "KR", "JPY": "JP", "TWD": "TW", "AUD": "AU"}
STATES = {CampaignStatus.ACTIVE: "ENABLED", CampaignStatus.PAUSED: "PAUSED"}
"""All other states are ARCHIVED: a deleted campaign is an archived one."""
ALL_STATES = frozenset({"ENABLED", "PAUSED", "ARCHIVED"})
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


def refuse_unknown(call: Call, *known: str) -> None:
    """Refuse query parameters that this call does not have."""
    if unknown := call.query.keys() - {*known}:
        raise Refusal(error(call, 400, f"Unknown query parameters: {', '.join(sorted(unknown))}"))


def refuse_unknown_states(call: Call, states: Collection[str]) -> None:
    """Refuse a filter by other states than Amazon's."""
    if unknown := set(states) - ALL_STATES:
        raise Refusal(error(call, 400, f"stateFilter knows no {', '.join(sorted(unknown))}"))


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


def campaign_row(campaign: Campaign, now: datetime, *, extended: bool) -> dict[str, Any]:
    """Return a campaign as the API of its product does.

    Products has a budget object and ISO times; Brands a plain budget with its type, and times in unix milliseconds;
    Display a number as id, words in lower case, days without dashes, and the extended data beside the rest.
    """
    row: dict[str, Any] = {"campaignId": campaign.id, "name": campaign.name, "state": state(campaign)}
    row |= {"budget": number(campaign.budget), "budgetType": "DAILY"}
    days = {"startDate": campaign.start.isoformat()} | ({"endDate": campaign.end.isoformat()} if campaign.end else {})
    milliseconds = int(campaign.updated.timestamp() * 1000)
    details: dict[str, Any] = {"servingStatus": _serving_status(campaign, now)}
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


def read_list_request(call: Call) -> dict[str, Any]:
    """Return the fields of a request for a list, with their defaults; refuse one that is not of this API."""
    body = call.json
    if not isinstance(body, dict) or any(type(body[name]) is not type(LIST_FIELDS.get(name)) for name in body):
        raise Refusal(error(call, 400, "The body is not a request of this API"))
    found = LIST_FIELDS | body
    if not 1 <= found["maxResults"] <= MAX_PAGE:
        raise Refusal(error(call, 400, f"maxResults must be from 1 to {MAX_PAGE}"))
    states = found["stateFilter"].get("include")
    if len(found["stateFilter"]) != 1 or not isinstance(states, list) or not all(isinstance(s, str) for s in states):
        raise Refusal(error(call, 400, "stateFilter must have one list: include"))
    refuse_unknown_states(call, states)
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


def _serving_status(campaign: Campaign, now: datetime) -> str:
    if campaign.state is not CampaignStatus.ACTIVE:
        return f"CAMPAIGN_{state(campaign)}"
    return "ENDED" if campaign.end is not None and campaign.end < now.date() else "CAMPAIGN_STATUS_ENABLED"
