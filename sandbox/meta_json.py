"""Meta's wire format: errors, parameters, filters and pages. Error messages are quoted from reports of Meta's users."""

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import islice
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, Json

from sandbox.accounts import Campaign
from sandbox.faults import FaultKind
from sandbox.http import Call, Parameters, Refusal, Reply
from sivera.values import CampaignStatus

MAX_ROWS_TIMES_DAYS = 15_000
"""Meta refuses too large replies by an unpublished rule; here it is `limit` times days."""
TRACE = "A1b2C3d4E5f6G7h8I9j0K1l"

STATUSES = {
    CampaignStatus.ACTIVE: "ACTIVE",
    CampaignStatus.PAUSED: "PAUSED",
    CampaignStatus.ARCHIVED: "ARCHIVED",
    CampaignStatus.REMOVED: "DELETED",
}
EffectiveStatus = Literal["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES"]
SHOWN_BY_DEFAULT = frozenset(get_args(EffectiveStatus)) - {"ARCHIVED", "DELETED"}


def error(status: int, code: int, message: str, subcode: int | None = None, **more: object) -> Reply:
    """Return an error in Meta's format."""
    body = {"message": message, "type": "OAuthException", "code": code, **more, "fbtrace_id": TRACE}
    if subcode is not None:
        body["error_subcode"] = subcode
    return Reply({"error": body}, status)


def refusal(message: str, code: int = 100) -> Refusal:
    """Return an exception that answers with HTTP 400; code 100 means an invalid parameter."""
    return Refusal(error(400, code, message))


def too_much_data() -> Refusal:
    """Return an exception that refuses a reply as too large."""
    return Refusal(error(500, 1, "Please reduce the amount of data you're asking for, then retry your request"))


# -- parameters -------------------------------------------------------------------------------------------------------


def _read_cursor(text: str) -> tuple[int, int]:
    number, empty = base64.urlsafe_b64decode(text).split(b"/")
    return int(number), int(empty)


Names = Annotated[tuple[str, ...], BeforeValidator(lambda text: tuple(filter(None, text.split(","))))]


class Question(Parameters):
    """The parameters of every call. Meta ignores most unknown ones; here they are our mistakes, and refused."""

    access_token: str = ""
    appsecret_proof: str = ""
    fields: Names = ()

    def fields_of(self, known: Mapping[str, Any], *default: str) -> list[str]:
        """Return the requested fields after those that are always sent; raise ValueError for an unknown one."""
        for name in self.fields:
            if name not in known:
                raise ValueError(f"Tried accessing nonexisting field ({name})")
        return list(dict.fromkeys([*default, *self.fields]))


class ObjectsQuestion(Question):
    """The parameters of a request for objects by id."""

    ids: Annotated[Names, Field(min_length=1, max_length=50)]


class ListQuestion(Question):
    """The parameters of a listing. `after` is a position (-1 at first) and the number of empty pages before it."""

    limit: Annotated[int, Field(ge=1, lt=10**9)] = 25
    after: Annotated[tuple[int, int], BeforeValidator(_read_cursor)] = (-1, 0)
    summary: str = ""


class _ByStatus(Parameters):
    field: Literal["campaign.effective_status"]
    operator: Literal["IN"]
    value: Annotated[list[EffectiveStatus], Field(min_length=1)]


class _ByChange(Parameters):
    field: Literal["campaign.updated_time"]
    operator: Literal["GREATER_THAN"]
    value: int


class CampaignsQuestion(ListQuestion):
    """The parameters of a listing of campaigns; by default, deleted and archived ones are hidden."""

    effective_status: Json[Annotated[list[EffectiveStatus], Field(min_length=1)]] | None = None
    filtering: Json[tuple[_ByStatus | _ByChange, ...]] = ()

    @property
    def statuses(self) -> frozenset[str]:
        """The requested statuses."""
        named = [rule.value for rule in self.filtering if isinstance(rule, _ByStatus)]
        return frozenset(named[-1] if named else self.effective_status or SHOWN_BY_DEFAULT)

    def takes(self) -> Callable[[Campaign], bool]:
        """Return a function that says whether a campaign was requested."""
        statuses = self.statuses
        after = max((rule.value for rule in self.filtering if isinstance(rule, _ByChange)), default=0)
        return lambda c: STATUSES[c.state] in statuses and int(c.updated.timestamp()) > after


class _Days(Parameters):
    since: date
    until: date


class InsightsQuestion(CampaignsQuestion):
    """The parameters of a request for insights; the sandbox has no other kinds."""

    level: Literal["campaign", "account"]
    time_increment: Literal["1"]
    time_range: Json[_Days]


# -- pages ------------------------------------------------------------------------------------------------------------


def page(
    call: Call,
    asked: ListQuestion,
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    headers: Mapping[str, str],
    *,
    days: int = 1,
    ends_empty: bool = False,
) -> Reply:
    """Return the page of rows that follows the cursor of a call; each row comes with the number of its own cursor.

    As on Meta, the last page has `cursors.after` but no `next`. The URL in `next` repeats the whole query, including an
    access token. With `ends_empty`, an empty page follows the last rows, and links to one more. An empty page has a
    new cursor for the same position.
    """
    if asked.limit * days > MAX_ROWS_TIMES_DAYS:
        raise too_much_data()
    number, empty = asked.after
    if call.fault is FaultKind.EMPTY_PAGE or empty < 0:
        after = _cursor(number, empty + 1)
        return Reply({"data": [], "paging": _paging(call, after, after, leads_on=True)}, headers=headers)
    found = list(islice((row for row in rows if row[0] > number), asked.limit + 1))
    shown, has_more = found[: asked.limit], len(found) > asked.limit
    body: dict[str, Any] = {"data": [row for _, row in shown]}
    if shown:
        leads_on = has_more or (ends_empty and number >= 0)
        after = _cursor(shown[-1][0], -1 if leads_on and not has_more else 0)
        body["paging"] = _paging(call, _cursor(shown[0][0]), after, leads_on=leads_on)
    return Reply(body, headers=headers)


def _paging(call: Call, before: str, after: str, *, leads_on: bool) -> dict[str, Any]:
    query = urlencode({**call.query, "after": after})
    following = {"next": f"http://{call.headers['host']}{call.url.partition('?')[0]}?{query}"}
    return {"cursors": {"before": before, "after": after}, **(following if leads_on else {})}


def _cursor(number: int, empty: int = 0) -> str:
    return base64.urlsafe_b64encode(f"{number}/{empty}".encode()).decode()
