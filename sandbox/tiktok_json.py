"""TikTok's wire format: codes, parameters, filters and the fields of records.

Names, limits and codes are those of the official SDK (`tiktok-business-api-sdk-official` 1.1.3 and its `yml_files`).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from sandbox.faults import FaultKind
from sandbox.figures import Figures
from sandbox.http import Call, Refusal, Reply, read_json
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Account, Campaign
from sivera.values import BudgetKind, CampaignStatus

REQUEST_ID = "20261120120000010203040506070809"
"""In every reply; constant, so that two sandboxes answer alike."""

OK, NO_PERMISSION, BAD_PARAMETER, NOT_IN_SANDBOX = 0, 40001, 40002, 40009
TOO_FREQUENT = 40100
TOKEN_EXPIRED, TOKEN_EMPTY, TOKEN_INVALID = 40102, 40104, 40105
REFRESH_TOKEN_INVALID, GRANT_TYPE_INVALID, AUTH_CODE_ERROR, APP_FORBIDDEN = 40107, 40108, 40110, 40113
NO_ADVERTISER = 40300
NO_ROUTE = 40400
SYSTEM_ERROR = 50000

DEFAULT_PAGE_SIZE = 10
MAX_PAGE_SIZE = 1000
MAX_FILTER_IDS = 100

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
LISTED_STATUSES = {
    "CAMPAIGN_STATUS_ALL": LIVE | DELETED,
    "CAMPAIGN_STATUS_NOT_DELETE": LIVE,
    "CAMPAIGN_STATUS_DELETE": DELETED,
}
REPORTED_STATUSES = {"STATUS_ALL": LIVE | DELETED, "STATUS_NOT_DELETE": LIVE, "STATUS_DELETE": DELETED}
BUDGET_MODES = {
    BudgetKind.DAILY: "BUDGET_MODE_DAY",
    BudgetKind.LIFETIME: "BUDGET_MODE_TOTAL",
    BudgetKind.LOWER_LEVEL: "BUDGET_MODE_INFINITE",
}


def _secondary_status(campaign: Campaign) -> str:
    if campaign.state in DELETED:
        return "CAMPAIGN_STATUS_DELETE"
    return "CAMPAIGN_STATUS_ENABLE" if campaign.state is CampaignStatus.ACTIVE else "CAMPAIGN_STATUS_DISABLE"


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)


CAMPAIGN_FIELDS: dict[str, Callable[[Campaign], Any]] = {
    "campaign_id": lambda campaign: campaign.id,
    "campaign_name": lambda campaign: campaign.name,
    "objective_type": lambda campaign: campaign.product,
    "budget_mode": lambda campaign: BUDGET_MODES[campaign.budget_kind],
    "budget": lambda campaign: 0 if campaign.budget_kind is BudgetKind.LOWER_LEVEL else _number(campaign.budget),
    "operation_status": lambda campaign: "ENABLE" if campaign.state is CampaignStatus.ACTIVE else "DISABLE",
    "secondary_status": _secondary_status,
    "create_time": lambda campaign: f"{campaign.created:%Y-%m-%d %H:%M:%S}",
    "modify_time": lambda campaign: f"{campaign.updated:%Y-%m-%d %H:%M:%S}",
}
METRICS: dict[str, Callable[[Figures], str]] = {
    "spend": lambda figures: f"{figures.spend:.3f}",
    "impressions": lambda figures: str(figures.impressions),
    "clicks": lambda figures: str(figures.clicks),
    # The event for which an ad group is optimised, which need not be a purchase.
    "conversion": lambda figures: f"{2 * figures.conversions:f}",
    "complete_payment": lambda figures: f"{figures.conversions:f}",
    # The value, not the rate, of website purchases: the SDK's yml names it `time_attr_total_shopping_value`.
    "total_complete_payment_rate": lambda figures: f"{figures.conversion_value:f}",
}


def envelope(code: int, message: str, data: Mapping[str, Any] | None = None, status: int = 200) -> Reply:
    """Return a reply in TikTok's one shape."""
    return Reply({"code": code, "message": message, "request_id": REQUEST_ID, "data": data or {}}, status)


def ok(data: Mapping[str, Any]) -> Reply:
    """Return a successful reply."""
    return envelope(OK, "OK", data)


def refusal(code: int, message: str) -> Refusal:
    """Return an exception that answers with an error."""
    return Refusal(envelope(code, message))


def check_app(app_id: str, secret: str) -> None:
    """Refuse apps other than the sandbox's own."""
    if (app_id, secret) != (CLIENT_ID, CLIENT_SECRET):
        raise refusal(APP_FORBIDDEN, "The app is not allowed to call: app id or secret is incorrect.")


def body_of(call: Call, names: Sequence[str]) -> dict[str, str]:
    """Return the JSON body; each of these names must be a text in it."""
    body = call.json if call.headers.get("content-type", "").startswith("application/json") else None
    if not isinstance(body, dict):
        raise refusal(BAD_PARAMETER, "The request body must be a JSON object.")
    for name in names:
        if not isinstance(body.get(name), str) or not body[name]:
            raise refusal(BAD_PARAMETER, f"{name}: Missing data for required field.")
    return body


def check_query(call: Call, known: Sequence[str]) -> None:
    """Refuse query parameters that the SDK does not have for this path."""
    for name in call.query:
        if name not in known:
            raise refusal(BAD_PARAMETER, f"{name}: Unknown field.")


def required(call: Call, name: str) -> str:
    """Return a query parameter that must be there."""
    if not (text := call.query.get(name)):
        raise refusal(BAD_PARAMETER, f"{name}: Missing data for required field.")
    return text


def json_of(call: Call, name: str, kind: type[T]) -> T | None:
    """Return a query parameter that is JSON text; None if it is absent."""
    return _json(name, call.query[name], kind) if name in call.query else None


def _json(name: str, text: str, kind: type[T]) -> T:
    if (value := read_json(text, kind)) is None:
        raise refusal(BAD_PARAMETER, f"{name}: must be a JSON {kind.__name__}")
    return value


def strings(call: Call, name: str) -> list[str]:
    """Return a query parameter that is a JSON array of strings; empty if it is absent."""
    values = json_of(call, name, list) or []
    if not all(isinstance(value, str) for value in values):
        raise refusal(BAD_PARAMETER, f"{name}: Not a valid list of strings.")
    return values


def check_known(name: str, values: Sequence[object], known: Mapping[str, Any]) -> None:
    """Refuse a value that TikTok does not know."""
    for value in values:
        if not isinstance(value, str) or value not in known:
            raise refusal(BAD_PARAMETER, f"{name}: {value} is not supported.")


def fields_asked(call: Call, known: Mapping[str, Any]) -> Sequence[str]:
    """Return the requested fields of records; all if the call names none."""
    fields = strings(call, "fields")
    check_known("fields", fields, known)
    return fields or list(known)


def select(thing: T, known: Mapping[str, Callable[[T], Any]], fields: Sequence[str]) -> dict[str, Any]:
    """Return these fields of a thing."""
    return {field: known[field](thing) for field in fields}


def _integer(call: Call, name: str, default: int, highest: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        raise refusal(BAD_PARAMETER, f"{name}: Must be an integer between 1 and {highest}.")
    return int(text)


def listing(call: Call, things: Sequence[T], encode: Callable[[T], Any], *, has_gap: bool = False) -> Reply:
    """Return a page of records; TikTok leaves an empty list out.

    With a gap, the second of over two pages has no records. An empty page by a fault is of a listing that never ends.
    """
    page = _integer(call, "page", 1, 10**9)
    size = _integer(call, "page_size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    total = len(things)
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


def campaign_states(filtering: Mapping[str, Any]) -> frozenset[CampaignStatus]:
    """Return the states that a `filtering` object selects; by default, deleted campaigns are hidden."""
    if filtering.keys() - {"secondary_status"}:
        raise refusal(NOT_IN_SANDBOX, "filtering: the sandbox filters by secondary_status only.")
    status = filtering.get("secondary_status", "CAMPAIGN_STATUS_NOT_DELETE")
    check_known("filtering.secondary_status", [status], LISTED_STATUSES)
    return LISTED_STATUSES[status]


def report_filter(filtering: Sequence[Any]) -> Callable[[Campaign], bool]:
    """Return whether a report's `filtering` array selects a campaign; its values are JSON inside JSON."""
    states, ids = LIVE, None
    for rule in filtering:
        match rule:
            case {"field_name": "campaign_status", "filter_type": "IN", "filter_value": str(text)}:
                values = _json("filter_value", text, list)
                check_known("filter_value", values, REPORTED_STATUSES)
                states = frozenset(state for value in values for state in REPORTED_STATUSES[value])
            case {"field_name": "campaign_ids", "filter_type": "IN", "filter_value": str(text)}:
                values = _json("filter_value", text, list)
                if not 0 < len(values) <= MAX_FILTER_IDS:
                    raise refusal(BAD_PARAMETER, f"campaign_ids: Length must be between 1 and {MAX_FILTER_IDS}.")
                ids = set(map(str, values))
            case _:
                raise refusal(NOT_IN_SANDBOX, "filtering: the sandbox knows campaign_status or campaign_ids IN only.")
    return lambda campaign: campaign.state in states and (ids is None or campaign.id in ids)


def day_of(call: Call, name: str) -> date:
    """Return a required query parameter that is a date."""
    try:
        return date.fromisoformat(required(call, name))
    except ValueError:
        raise refusal(BAD_PARAMETER, f"{name}: Not a valid date.") from None
