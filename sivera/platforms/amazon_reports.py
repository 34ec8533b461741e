"""Amazon's campaign reports: how to request and read them."""

import zlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from sivera.errors import InvalidReply
from sivera.platforms.amazon_json import PLATFORM, Product
from sivera.platforms.rows import Record, list_of, metrics_of, read_json
from sivera.values import DailyMetrics, DateWindow, MetricsReading

MAX_REPORT_BYTES = 128 * 1024 * 1024
"""A month of 10,000 campaigns is about 50 MB."""


def body_of(product: Product, window: DateWindow) -> dict[str, Any]:
    """Return the request for a report with a row for each campaign and day."""
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


def answers(report: Record, request: Mapping[str, Any]) -> bool:
    """Whether a report that Amazon describes has, or will have, the rows that a request asks for."""
    if report.text("status") == "FAILED" or any(report.get(day) != request[day] for day in ("startDate", "endDate")):
        return False
    asked, told = request["configuration"], report.record("configuration")
    columns = told.get("columns")
    return (
        all(told.get(name) == asked[name] for name in ("adProduct", "reportTypeId", "timeUnit"))
        # Documented for this answer too, but sometimes absent.
        and all(told.get(name) in (None, asked[name]) for name in ("groupBy", "format"))
        and not told.get("filters")
        and isinstance(columns, list)
        and all(name in columns for name in asked["columns"])
    )


def reading_of(content: bytes, window: DateWindow, product: Product, currency: str) -> MetricsReading:
    """Read a gzipped report; a second row for a campaign and day is left out."""
    seen: set[tuple[str, date]] = set()

    def read(row: Record) -> DailyMetrics:
        metrics = day_of(product, window, currency, row)
        if (metrics.campaign_id, metrics.day) in seen:
            raise InvalidReply(PLATFORM, f"sent two rows of one campaign for {metrics.day}")
        seen.add((metrics.campaign_id, metrics.day))
        return metrics

    return metrics_of(PLATFORM, window, unpack(content), read, "campaignId", "date")


def day_of(product: Product, window: DateWindow, currency: str, row: Record) -> DailyMetrics:
    """Read a row of a report."""
    return DailyMetrics(
        campaign_id=row.identifier("campaignId"),
        day=row.day_within(window, "date"),
        impressions=row.count("impressions"),
        clicks=row.count("clicks"),
        spend=row.decimal("cost"),
        conversions=row.decimal(product.conversions),
        conversion_value=row.decimal(product.conversion_value),
        currency=currency,
    )


def unpack(content: bytes, limit: int = MAX_REPORT_BYTES) -> list[Any]:
    """Return the list in a gzipped report; raise InvalidReply if it is broken or over `limit` bytes."""
    unpacked = content
    if not content.startswith(b"["):  # not yet unpacked because of its Content-Encoding
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
        return list_of(PLATFORM, read_json(unpacked))
    except ValueError:
        raise InvalidReply(PLATFORM, "sent a report that is not JSON") from None
