"""Meta's wire format: errors, parameters, filters, pages and fields.

Field names and statuses are those of the official SDK (`facebook-business` 26); error texts are as Meta's users quote
them.
"""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sandbox.http import Call, Refusal, Reply, json_parameter
from sandbox.world import Account, Campaign, Figures
from sivera.values import BudgetKind, CampaignStatus

DEFAULT_LIMIT = 25
MAX_ROWS_TIMES_DAYS = 15_000
"""Meta refuses replies that are too large, by an unpublished rule; here the rule is `limit` times days."""
TRACE = "A1b2C3d4E5f6G7h8I9j0K1l"

STATUSES = {
    CampaignStatus.ACTIVE: "ACTIVE",
    CampaignStatus.PAUSED: "PAUSED",
    CampaignStatus.ARCHIVED: "ARCHIVED",
    CampaignStatus.REMOVED: "DELETED",
    CampaignStatus.ENDED: "ACTIVE",  # Meta does not change it after the last day
    CampaignStatus.OTHER: "WITH_ISSUES",
}
EFFECTIVE_STATUSES = frozenset({*STATUSES.values(), "IN_PROCESS"})
SHOWN_BY_DEFAULT = EFFECTIVE_STATUSES - {"ARCHIVED", "DELETED"}

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies with budgets in whole units, all others are in hundredths (Meta's page marketing-api/currencies)."""

T = TypeVar("T")


def error(status: int, code: int, message: str, subcode: int | None = None, **more: object) -> Reply:
    """Return an error in Meta's one shape."""
    body = {"message": message, "type": "OAuthException", "code": code, **more, "fbtrace_id": TRACE}
    if subcode is not None:
        body["error_subcode"] = subcode
    return Reply({"error": body}, status)


def refusal(message: str, code: int = 100) -> Refusal:
    """Return an exception that answers HTTP 400; code 100 is an invalid parameter."""
    return Refusal(error(400, code, message))


# -- parameters -------------------------------------------------------------------------------------------------------


def fields_of(call: Call, known: Collection[str], default: Sequence[str], node: str) -> list[str]:
    """Return the requested fields; refuse unknown ones."""
    asked = [name for name in call.query.get("fields", "").split(",") if name]
    for name in asked:
        if name not in known:
            raise refusal(f"(#100) Tried accessing nonexisting field ({name}) on node type ({node})")
    return list(dict.fromkeys([*default, *asked]))


def limit_of(call: Call, days: int = 1) -> int:
    """Return the requested rows per page; refuse too many for one reply."""
    text = call.query.get("limit", str(DEFAULT_LIMIT))
    if not text.isdecimal() or int(text) < 1:
        raise refusal("(#100) Param limit must be an integer greater than zero")
    if int(text) * days > MAX_ROWS_TIMES_DAYS:
        message = "Please reduce the amount of data you're asking for, then retry your request"
        raise Refusal(error(500, 1, message))
    return int(text)


def json_of(call: Call, name: str, kind: type[T]) -> T | None:
    """Return a parameter that is JSON text; None if it is absent."""
    return json_parameter(call, name, kind, lambda message: refusal(f"(#100) Param {message}"))


def days_of(call: Call) -> tuple[date, date]:
    """Return the first and last day of `time_range`."""
    window = json_of(call, "time_range", dict) or {}
    try:
        since, until = date.fromisoformat(window["since"]), date.fromisoformat(window["until"])
    except (KeyError, TypeError, ValueError):
        raise refusal("(#100) Param time_range must hold since and until, as YYYY-MM-DD") from None
    if since > until:
        raise refusal("(#100) Invalid time range: since is after until")
    return since, until


@dataclass(frozen=True)
class Selection:
    """The campaigns that a request selects."""

    statuses: frozenset[str] = SHOWN_BY_DEFAULT
    updated_after: int | None = None

    def takes(self, campaign: Campaign) -> bool:
        """Whether this campaign is selected."""
        return STATUSES[campaign.state] in self.statuses and (
            self.updated_after is None or int(campaign.updated.timestamp()) > self.updated_after
        )


def selection_of(call: Call) -> Selection:
    """Return what `effective_status` and `filtering` select; by default, deleted campaigns are hidden."""
    statuses = _statuses(json_of(call, "effective_status", list)) if "effective_status" in call.query else None
    updated_after = None
    for rule in json_of(call, "filtering", list) or []:
        match rule:
            case {"field": "campaign.effective_status", "operator": "IN", "value": list(words)}:
                statuses = _statuses(words)
            case {"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": int(seconds)}:
                updated_after = seconds
            case _:
                raise refusal("(#100) Filtering field, operator or value is not supported")
    return Selection(SHOWN_BY_DEFAULT if statuses is None else statuses, updated_after)


def _statuses(words: list[Any] | None) -> frozenset[str]:
    found = frozenset(map(str, words or ()))
    if not found or not found <= EFFECTIVE_STATUSES:
        raise refusal(f"(#100) effective_status must be one of {', '.join(sorted(EFFECTIVE_STATUSES))}")
    return found


# -- pages ------------------------------------------------------------------------------------------------------------


def after_of(call: Call) -> int:
    """Return the number in the cursor: rows up to it have been sent; -1 without a cursor."""
    return _read_cursor(call)[0]


def _read_cursor(call: Call) -> tuple[int, int]:
    """Return the number in the cursor, and how many empty pages led to it."""
    text = call.query.get("after")
    if not text:
        return -1, 0
    try:
        number, _, empty = base64.urlsafe_b64decode(text).partition(b"/")
        return int(number), int(empty or 0)
    except (ValueError, binascii.Error):
        raise refusal("(#100) Invalid cursors values. Please use the cursors values returned by the API") from None


def page(call: Call, rows: Sequence[tuple[int, Mapping[str, Any]]], limit: int, headers: Mapping[str, str]) -> Reply:
    """Return a page of the first `limit` rows, each given with its cursor's number; more rows mean another page.

    As on Meta, the last page has `cursors.after` but no `next`. The URL in `next` repeats the whole query, and with it
    an access token in the query.
    """
    shown = rows[:limit]
    body: dict[str, Any] = {"data": [row for _, row in shown]}
    if shown:
        before, after = _cursor(shown[0][0]), _cursor(shown[-1][0])
        body["paging"] = {"cursors": {"before": before, "after": after}}
        if len(rows) > limit:
            body["paging"]["next"] = _next(call, after)
    return Reply(body, headers=headers)


def empty_page(call: Call) -> Reply:
    """Return a page without rows; its cursor is new, but leads to the position of the call's own cursor."""
    number, empty = _read_cursor(call)
    after = _cursor(number, empty + 1)
    return Reply({"data": [], "paging": {"cursors": {"before": after, "after": after}, "next": _next(call, after)}})


def _next(call: Call, after: str) -> str:
    query = urlencode({**call.query, "after": after})
    return f"http://{call.headers['host']}{call.url.partition('?')[0]}?{query}"


def _cursor(number: int, empty: int = 0) -> str:
    text = f"{number}/{empty}" if empty else str(number)
    return base64.urlsafe_b64encode(text.encode()).decode()


# -- fields -----------------------------------------------------------------------------------------------------------


def select(source: tuple[Any, ...], fields: Mapping[str, Callable[..., Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the fields by name; like Meta, leave out those without a value."""
    values = ((name, fields[name](*source)) for name in names)
    return {name: value for name, value in values if value is not None}


def minor_units(amount: Decimal, currency: str) -> str:
    """Return a budget as Meta writes it: text of whole minor units, by its own table."""
    return str(int(amount if currency in OFFSET_ONE else amount * 100))


def moment(when: datetime, account: Account) -> str:
    """Return a time as Meta writes it: in the account's time zone, with an offset without a colon."""
    return when.astimezone(ZoneInfo(account.timezone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _at(day: date | None, when: time, account: Account) -> str | None:
    return moment(datetime.combine(day, when, ZoneInfo(account.timezone)), account) if day else None


def _budget(campaign: Campaign, account: Account, kind: BudgetKind) -> str | None:
    return minor_units(campaign.budget, account.currency) if campaign.budget_kind is kind else None


def _switch(campaign: Campaign, _account: Account) -> str:
    return "ACTIVE" if campaign.state is CampaignStatus.OTHER else STATUSES[campaign.state]


ACCOUNT_FIELDS: dict[str, Callable[[Account], Any]] = {
    "id": lambda account: f"act_{account.id}",
    "account_id": lambda account: account.id,
    "name": lambda account: account.name,
    "currency": lambda account: account.currency,
    "timezone_name": lambda account: account.timezone,
    "account_status": lambda account: 101 if account.closed else 1,
}
CAMPAIGN_FIELDS: dict[str, Callable[[Campaign, Account], Any]] = {
    "id": lambda campaign, _: campaign.id,
    "name": lambda campaign, _: campaign.name,
    "objective": lambda campaign, _: campaign.product,
    "status": _switch,
    "effective_status": lambda campaign, _: STATUSES[campaign.state],
    "daily_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.DAILY),
    "lifetime_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.LIFETIME),
    "start_time": lambda campaign, account: _at(campaign.start, time(), account),
    "stop_time": lambda campaign, account: _at(campaign.end, time(23, 59, 59), account),
    "updated_time": lambda campaign, account: moment(campaign.updated, account),
}


@dataclass(frozen=True)
class InsightRow:
    """A campaign's day."""

    campaign: Campaign
    day: date
    figures: Figures


def _actions(link_clicks: Decimal | None, purchases: Decimal) -> list[dict[str, str]] | None:
    """Return the actions. Purchases are there twice, as a total and by the pixel: adding both counts them double."""
    found = [] if link_clicks is None else [{"action_type": "link_click", "value": f"{link_clicks:f}"}]
    if purchases:
        names = ("purchase", "offsite_conversion.fb_pixel_purchase")
        found += [{"action_type": name, "value": f"{purchases:f}"} for name in names]
    return found or None


INSIGHT_FIELDS: dict[str, Callable[[InsightRow], Any]] = {
    "campaign_id": lambda row: row.campaign.id,
    "impressions": lambda row: str(row.figures.impressions),
    "clicks": lambda row: str(row.figures.clicks),
    "spend": lambda row: f"{row.figures.spend:f}",
    "actions": lambda row: _actions(Decimal(row.figures.clicks), row.figures.conversions),
    "action_values": lambda row: _actions(None, row.figures.conversion_value),
    "date_start": lambda row: row.day.isoformat(),
    "date_stop": lambda row: row.day.isoformat(),
}
