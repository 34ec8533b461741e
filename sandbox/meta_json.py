"""Meta's wire format: errors, parameters, filters and pages; error texts are as Meta's users quote them."""

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

from sandbox.faults import FaultKind
from sandbox.http import Call, Refusal, Reply, read_json
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
    if (text := call.query.get(name)) is None:
        return None
    if (value := read_json(text, kind)) is None:
        raise refusal(f"(#100) Param {name} must be a JSON {kind.__name__}")
    return value


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


def selection_of(call: Call) -> tuple[frozenset[str], Callable[[Campaign], bool]]:
    """Return the statuses that `effective_status` and `filtering` select, and whether they select a campaign.

    By default, deleted and archived campaigns are hidden.
    """
    asked = json_of(call, "effective_status", list)
    statuses, updated_after = SHOWN_BY_DEFAULT if asked is None else _statuses(asked), 0
    for rule in json_of(call, "filtering", list) or []:
        match rule:
            case {"field": "campaign.effective_status", "operator": "IN", "value": list(words)}:
                statuses = _statuses(words)
            case {"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": int(seconds)}:
                updated_after = seconds
            case _:
                raise refusal("(#100) Filtering field, operator or value is not supported")
    return statuses, lambda c: STATUSES[c.state] in statuses and int(c.updated.timestamp()) > updated_after


def _statuses(words: list[Any]) -> frozenset[str]:
    found = frozenset(map(str, words))
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
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    headers: Mapping[str, str],
    *,
    days: int = 1,
    ends_empty: bool = False,
) -> Reply:
    """Return a page of the first rows, each given with its cursor's number; more rows mean another page.

    As on Meta, the last page has `cursors.after` but no `next`. The URL in `next` repeats the whole query, and with it
    an access token in the query. With `ends_empty`, an empty page follows the last rows, and it leads on once more. An
    empty page has a new cursor, which leads to the position of the call's own.
    """
    limit, (number, empty) = limit_of(call, days), _read_cursor(call)
    if call.fault is FaultKind.EMPTY_PAGE or empty < 0:
        after = _cursor(number, empty + 1)
        paging = {"cursors": {"before": after, "after": after}, "next": _next(call, after)}
        return Reply({"data": [], "paging": paging}, headers=headers)
    found = list(islice(rows, limit + 1))
    shown, has_more = found[:limit], len(found) > limit
    body: dict[str, Any] = {"data": [row for _, row in shown]}
    if shown:
        leads_on = has_more or (ends_empty and number >= 0)
        after = _cursor(shown[-1][0], -1 if leads_on and not has_more else 0)
        body["paging"] = {"cursors": {"before": _cursor(shown[0][0]), "after": after}}
        if leads_on:
            body["paging"]["next"] = _next(call, after)
    return Reply(body, headers=headers)


def _next(call: Call, after: str) -> str:
    query = urlencode({**call.query, "after": after})
    return f"http://{call.headers['host']}{call.url.partition('?')[0]}?{query}"


def _cursor(number: int, empty: int = 0) -> str:
    return base64.urlsafe_b64encode(f"{number}/{empty}".encode()).decode()
