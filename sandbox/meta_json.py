"""Meta's wire format: errors, parameters, filters and pages; error texts are as Meta's users quote them."""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from urllib.parse import urlencode

from sandbox.http import Call, Refusal, Reply, json_parameter
from sandbox.world import Campaign
from sivera.values import CampaignStatus

DEFAULT_LIMIT = 25
MAX_ROWS_TIMES_DAYS = 15_000
"""Meta refuses replies that are too large, by an unpublished rule; here the rule is `limit` times days."""
MAX_DIGITS = 20
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

LIST_PARAMETERS = ("fields", "limit", "after", "summary")
DELETED_WORDS = {
    "error_user_title": "Cannot Request for Deleted Objects",
    "error_user_msg": "Requesting for deleted objects is not supported in this endpoint.",
}

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


def check_known(call: Call, names: Collection[str]) -> None:
    """Refuse parameters other than these. Meta ignores most of them; here they are mistakes of ours."""
    if unknown := call.query.keys() - {*names, "access_token", "appsecret_proof"}:
        raise refusal(f"(#100) Unknown parameter: {', '.join(sorted(unknown))}")


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
    if not text.isdecimal() or not 0 < len(text) < MAX_DIGITS or int(text) < 1:
        raise refusal("(#100) Param limit must be an integer greater than zero")
    if int(text) * days > MAX_ROWS_TIMES_DAYS:
        raise too_much_data()
    return int(text)


def too_much_data() -> Refusal:
    """Return an exception that answers that the reply would be too large."""
    return Refusal(error(500, 1, "Please reduce the amount of data you're asking for, then retry your request"))


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


def page(
    call: Call,
    rows: Sequence[tuple[int, Mapping[str, Any]]],
    limit: int,
    headers: Mapping[str, str],
    *,
    ends_empty: bool = False,
) -> Reply:
    """Return a page of the first `limit` rows, each given with its cursor's number; more rows mean another page.

    As on Meta, the last page has `cursors.after` but no `next`. The URL in `next` repeats the whole query, and with it
    an access token in the query. With `ends_empty`, an empty page follows the last rows, and it leads on once more.
    """
    shown = rows[:limit]
    body: dict[str, Any] = {"data": [row for _, row in shown]}
    if shown:
        has_more = len(rows) > limit
        before, after = _cursor(shown[0][0]), _cursor(shown[-1][0], -1 if ends_empty and not has_more else 0)
        body["paging"] = {"cursors": {"before": before, "after": after}}
        if has_more or ends_empty:
            body["paging"]["next"] = _next(call, after)
    return Reply(body, headers=headers)


def is_before_empty_page(call: Call) -> bool:
    """Whether the cursor says that an empty page comes next."""
    return _read_cursor(call)[1] < 0


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
