"""The calls to TikTok's API, and its listings page by page."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from sivera.breaker import Subject
from sivera.errors import InvalidReply
from sivera.platforms.base import MAX_EMPTY_PAGES, MAX_PAGES, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.tiktok_json import Record
from sivera.values import PlatformName

TIKTOK = PlatformName.TIKTOK
PAGE_SIZE = 1000
CUT_REPORT = "X-Tt-Ads-Throttle"
"""The header of a report that leaves rows out: it covers 20,000 ads at most (TikTok's FAQ of reporting)."""


class ReportCut(InvalidReply):
    """The report lacks rows: it covers more ads than TikTok puts into one."""


@dataclass(frozen=True)
class Api:
    """TikTok's API below `base`, its address up to the version."""

    base: str
    caller: Caller

    def request(self, path: str, params: Mapping[str, str | int], token: str) -> httpx.Request:
        """Return a GET with an access token."""
        return self.caller.http.build_request("GET", self.base + path, params=params, headers={"Access-Token": token})

    def get(self, tokens: TokenSource, path: str, params: Mapping[str, str | int]) -> Reply:
        """Send a GET; what it is about is its path, and the account that it names."""
        subject = Subject(endpoint=path, account=str(params.get("advertiser_id", "")))
        return self.caller.call(tokens, partial(self.request, path, params), subject)

    def pages(
        self, tokens: TokenSource, path: str, params: Mapping[str, str], identity: Callable[[Any], str]
    ) -> tuple[dict[str, Any], bool]:
        """Return the rows of all pages by identity, and whether there are as many as TikTok counts.

        A page in the middle may have no rows.
        """
        found: dict[str, Any] = {}
        without_news = 0
        for page in range(1, MAX_PAGES + 1):
            reply = self.get(tokens, path, {**params, "page": page, "page_size": PAGE_SIZE})
            if reply.headers.get(CUT_REPORT):
                raise ReportCut(TIKTOK, "leaves rows out of a report that covers over 20,000 ads")
            data = data_of(reply)
            info = data.record("page_info")
            if info.integer("page") != page:
                raise InvalidReply(TIKTOK, f"sent another page than page {page}")
            known = len(found)
            rows = data.rows("list")
            for place, row in enumerate(rows):
                found[_identity_of(row, identity) or f"row {place}: {row!r}"] = row
            if page >= info.integer("total_page"):
                return found, len(found) >= info.integer("total_number")
            without_news = 0 if len(found) > known else without_news + 1
            if without_news == MAX_EMPTY_PAGES:
                raise InvalidReply(TIKTOK, f"sent nothing new on {MAX_EMPTY_PAGES} pages in a row")
        raise InvalidReply(TIKTOK, f"has more than {MAX_PAGES} pages")


def data_of(reply: Reply) -> Record:
    """Return the data of a reply."""
    return Record(reply.body).record("data")


def filter_of(campaign_ids: Sequence[str] = ()) -> dict[str, str]:
    """Return the filter of a report: deleted campaigns too, and only these ones if some are named."""
    wanted = {"campaign_status": ["STATUS_ALL"]} | ({"campaign_ids": list(campaign_ids)} if campaign_ids else {})
    rules = [
        {"field_name": name, "filter_type": "IN", "filter_value": json.dumps(values)} for name, values in wanted.items()
    ]
    return {"filtering": json.dumps(rules)}


def _identity_of(row: Any, identity: Callable[[Any], str]) -> str | None:
    """Return the identity of a row; an odd one has none, but at the same place of another page it is nothing new."""
    try:
        return identity(row)
    except InvalidReply:
        return None
