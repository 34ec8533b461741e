"""Amazon's campaign reports: what to request, and what a report holds."""

import zlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sivera.errors import InvalidReply
from sivera.platforms.amazon_json import (
    PLATFORM,
    Product,
    count_of,
    day_of,
    decimal_of,
    field,
    id_of,
    invalid,
    optional,
    rows,
    text,
)
from sivera.platforms.rows import read_json, read_rows
from sivera.values import DailyMetrics, DateWindow, MetricsReading

MAX_REPORT_DAYS = 31
MAX_REPORT_BYTES = 128 * 1024 * 1024
"""A month of 10,000 campaigns is about 50 MB."""


def windows_of(product: Product, window: DateWindow, today: date) -> list[DateWindow]:
    """Return a window as parts of one report each, without the days that Amazon no longer keeps."""
    # One day less than Amazon keeps: the account's date can be ahead of ours.
    since = max(window.since, today - timedelta(days=product.days_kept - 1))
    parts: list[DateWindow] = []
    while since <= window.until:
        until = min(window.until, since + timedelta(days=MAX_REPORT_DAYS - 1))
        parts.append(DateWindow(since=since, until=until))
        since = until + timedelta(days=1)
    return parts


def body_of(product: Product, window: DateWindow) -> dict[str, Any]:
    """Return the request of a report of one row for each campaign and day."""
    since, until = window.since.isoformat(), window.until.isoformat()
    return {
        "name": f"Sivera {product.report_type} {since} to {until}",
        "startDate": since,
        "endDate": until,
        "configuration": {
            "adProduct": product.name,
            "groupBy": ["campaign"],
            "columns": [
                *("date", "campaignId", "impressions", "clicks", "cost"),
                *(product.conversions, product.conversion_value),
            ],
            "reportTypeId": product.report_type,
            "timeUnit": "DAILY",
            "format": "GZIP_JSON",
        },
    }


def answers(report: Any, request: Mapping[str, Any]) -> bool:
    """Whether a report, as Amazon describes it, holds or will hold the rows that a request asks for."""
    if text(report, "status") == "FAILED" or any(
        optional(report, name, str) != request[name] for name in ("startDate", "endDate")
    ):
        return False
    told: dict[str, Any] = field(report, "configuration", dict)
    asked = request["configuration"]
    named = ("adProduct", "reportTypeId", "timeUnit")
    others = ("groupBy", "format")  # documented in this answer too, but not seen in each
    columns = told.get("columns")
    return (
        all(told.get(name) == asked[name] for name in named)
        and all(told.get(name, asked[name]) == asked[name] for name in others)
        and not told.get("filters")
        and isinstance(columns, list)
        and all(name in columns for name in asked["columns"])
    )


def reading_of(content: bytes, window: DateWindow, product: Product, currency: str) -> MetricsReading:
    """Return what a gzipped report holds; a second row of a campaign and day is left out."""
    seen: set[tuple[str, date]] = set()

    def read(row: Any) -> DailyMetrics:
        metrics = metrics_of(row, window, product, currency)
        if (metrics.campaign_id, metrics.day) in seen:
            raise InvalidReply(PLATFORM, f"sent two rows of one campaign for {metrics.day}")
        seen.add((metrics.campaign_id, metrics.day))
        return metrics

    found, odd = read_rows(PLATFORM, unpack(content), read, lambda row: f"{id_of(row, 'campaignId')} {row.get('date')}")
    return MetricsReading(window=window, rows=tuple(found), left_out=odd)


def metrics_of(row: Any, window: DateWindow, product: Product, currency: str) -> DailyMetrics:
    """Return a row of a report; InvalidReply if it is not as documented, or outside the window."""
    day = day_of(row, "date")
    if day is None or not window.since <= day <= window.until:
        raise invalid("date")
    return DailyMetrics(
        campaign_id=id_of(row, "campaignId"),
        day=day,
        impressions=count_of(row, "impressions"),
        clicks=count_of(row, "clicks"),
        spend=decimal_of(row, "cost"),
        conversions=decimal_of(row, product.conversions),
        conversion_value=decimal_of(row, product.conversion_value),
        currency=currency,
    )


def unpack(content: bytes, limit: int = MAX_REPORT_BYTES) -> list[Any]:
    """Return the list in a gzipped report; InvalidReply if it is broken, or larger than `limit` bytes."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(content, limit)
    except zlib.error:
        raise InvalidReply(PLATFORM, "sent a report that is not gzip") from None
    if unpacker.unconsumed_tail:
        raise InvalidReply(PLATFORM, f"sent a report of over {limit} bytes")
    if not unpacker.eof:
        raise InvalidReply(PLATFORM, "sent a report that is cut off")
    try:
        return rows(read_json(unpacked))
    except ValueError:
        raise InvalidReply(PLATFORM, "sent a report that is not JSON") from None
