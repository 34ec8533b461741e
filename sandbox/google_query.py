"""The part of the Google Ads Query Language that our client uses, and the JSON rows that answer it.

That is one SELECT, conditions with =, IN or BETWEEN joined by AND, and LIMIT. The rest is refused, never ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from sandbox.google_rows import (
    FIELDS,
    Field,
    Row,
    Target,
    campaign_days,
    campaigns,
    changes,
    clients,
    customer_days,
    local_time,
)

CHANGE_HISTORY = timedelta(days=90)
CHANGE_LIMIT = 10_000
METRICS_HISTORY = timedelta(days=1_126)
"""Daily figures are kept for 37 months; queries for older ones are refused."""

SELECTABLE = {
    "customer": ("customer.", "segments.", "metrics.cost_micros"),
    "customer_client": ("customer_client.",),
    "campaign": ("campaign.", "campaign_budget.", "segments.", "metrics."),
    "change_status": ("change_status.",),
}
"""The prefixes of the fields that a query FROM a resource may name; the only total in the sandbox is the cost."""
ENUMS = {
    "campaign.status": {"ENABLED", "PAUSED", "REMOVED"},
    "customer_client.status": {"ENABLED", "CANCELED", "SUSPENDED", "CLOSED"},
    "change_status.resource_type": {"CAMPAIGN", "CAMPAIGN_BUDGET", "AD_GROUP", "AD_GROUP_AD", "CAMPAIGN_CRITERION"},
}
DAY = "segments.date"
CHANGED_AT = "change_status.last_change_date_time"

_NAME, _VALUE = r"[a-z_]+(?:\.[a-z_]+)?", r"(?:'[^']*'|TRUE|FALSE)"
_CONDITION = rf"({_NAME}) (?:= ({_VALUE})|IN \(({_VALUE}(?:, {_VALUE})*)\)|BETWEEN ({_VALUE}) AND ({_VALUE}))"
_QUERY = re.compile(
    rf"SELECT (?P<fields>{_NAME}(?:, {_NAME})*) FROM (?P<resource>[a-z_]+)"  # noqa: S608 - a pattern
    rf"(?: WHERE (?P<where>{_CONDITION}(?: AND {_CONDITION})*))?(?: LIMIT (?P<limit>[1-9][0-9]*))?"
)


class QueryRefused(Exception):
    """The query is refused with Google's `category` and `code`, such as `queryError` and `UNEXPECTED_INPUT`."""

    def __init__(self, code: str, message: str, category: str = "queryError") -> None:
        super().__init__(code, message, category)
        self.code, self.message, self.category = code, message, category


@dataclass(frozen=True)
class Condition:
    """A condition on a field: its value is one of `values` or, for a range, between the two of them."""

    field: str
    values: tuple[str | bool, ...]
    is_range: bool

    def holds(self, value: object) -> bool:
        """Whether a field's JSON value meets the condition; None never does."""
        if value is None:
            return False
        if type(value) is not type(self.values[0]):
            raise QueryRefused("BAD_VALUE", f"Error in query: {self.values[0]!r} is not a value of {self.field}.")
        if self.is_range:
            return str(self.values[0]) <= str(value) <= str(self.values[1])
        return value in self.values


@dataclass(frozen=True)
class Query:
    """A parsed query."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...]
    limit: int | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All fields that the query names."""
        return (*self.fields, *(condition.field for condition in self.conditions))

    @cached_property
    def by_day(self) -> bool:
        """Whether each row is a day."""
        return any(name.startswith(("metrics.", "segments.")) for name in self.names)

    @cached_property
    def field_mask(self) -> str:
        """The selected fields as an answer names them."""
        return ",".join(map(_camel, self.fields))

    @cached_property
    def groups(self) -> dict[str, dict[str, Field]]:
        """The selected columns by resource; Google always adds each resource's name."""
        columns: dict[str, dict[str, Field]] = {}
        for group, _, name in (field.partition(".") for field in (f"{self.resource}.resource_name", *self.fields)):
            cells = columns.setdefault(_camel(group), {})
            if "resource_name" in FIELDS[group]:
                cells["resourceName"] = FIELDS[group]["resource_name"]
            cells[_camel(name)] = FIELDS[group][name]
        return columns

    def range_of(self, field: str) -> tuple[str, str] | None:
        """Return the two values of the BETWEEN condition on a field, if there is one."""
        found = (c.values for c in self.conditions if c.field == field and c.is_range)
        values = next(found, None)
        return (str(values[0]), str(values[1])) if values else None


@lru_cache(maxsize=256)
def parse(text: str) -> Query:
    """Parse a query; raise QueryRefused if it is wrong."""
    found = _QUERY.fullmatch(text)
    if found is None:
        raise QueryRefused("UNEXPECTED_INPUT", "Error in query: neither Google nor the sandbox accepts it.")
    conditions = (_condition(*each) for each in re.findall(_CONDITION, found["where"] or ""))
    limit = int(found["limit"]) if found["limit"] else None
    query = Query(tuple(found["fields"].split(", ")), found["resource"], tuple(conditions), limit)
    _check_names(query)
    if query.resource == "change_status":
        _check_changes(query)
    if query.by_day and (DAY not in query.fields or query.range_of(DAY) is None):
        raise QueryRefused("EXPECTED_FILTERS_ON_DATE_RANGE", f"Select {DAY} and filter it by a finite range.")
    return query


def rows_of(query: Query, target: Target) -> list[dict[str, Any]]:
    """Return the rows as JSON; raise QueryRefused if the query does not suit the customer."""
    if target.is_manager and any(name.startswith("metrics.") for name in query.names):
        message = "Metrics cannot be requested for a manager account. Send one query per client account."
        raise QueryRefused("REQUESTED_METRICS_FOR_MANAGER", message)
    reads = [(_field(condition.field), condition) for condition in query.conditions]
    found = (row for row in _candidates(query, target) if all(condition.holds(read(row)) for read, condition in reads))
    return [_project(query, row) for row in found][: query.limit]


def _candidates(query: Query, target: Target) -> Iterator[Row]:
    match query.resource:
        case "customer_client":
            return clients(target)
        case "change_status":
            oldest = local_time(target.world.clock.now() - CHANGE_HISTORY, target.customer)
            if str((query.range_of(CHANGED_AT) or ("",))[0]) < oldest[:10]:
                message = "The requested start date is too old. It cannot be older than 90 days."
                raise QueryRefused("START_DATE_TOO_OLD", message, "changeStatusError")
            return changes(target)
    is_total = query.resource == "customer"
    window = query.range_of(DAY) if query.by_day else None
    if window is None:
        return iter([Row(target.customer, target.is_manager)]) if is_total else campaigns(target)
    since, until = map(date.fromisoformat, window)
    if since < target.customer.today(target.world.clock.now()) - METRICS_HISTORY:
        message = "The requested time granularity is only available for the last 37 months."
        raise QueryRefused("REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", message, "dateRangeError")
    return customer_days(target, since, until) if is_total else campaign_days(target, since, until)


def _project(query: Query, row: Row) -> dict[str, Any]:
    projected = {
        group: {key: value for key, read in columns.items() if (value := read(row)) is not None}
        for group, columns in query.groups.items()
    }
    return {group: cells for group, cells in projected.items() if cells}


def _condition(field: str, one: str, several: str, low: str, high: str) -> Condition:
    """Return a condition with complete times; raise QueryRefused if a value does not suit its field."""
    texts = [low, high] if low else re.findall(_VALUE, one or several)
    values: list[str | bool] = [text[1:-1] if text.startswith("'") else text == "TRUE" for text in texts]
    if wrong := [value for value in values if value not in ENUMS.get(field, values)]:
        raise QueryRefused("BAD_ENUM_CONSTANT", f"Invalid enum value {wrong[0]} for {field}.")
    try:
        if field == DAY:
            values = [str(datetime.strptime(str(value), "%Y-%m-%d").date()) for value in values]  # noqa: DTZ007
        elif field == CHANGED_AT:
            values = [datetime.fromisoformat(str(value)).isoformat(" ", "microseconds") for value in values]
    except ValueError:
        raise QueryRefused("INVALID_DATE_FORMAT", f"Invalid date or time for {field}.") from None
    return Condition(field, tuple(values), bool(low))


def _check_names(query: Query) -> None:
    if query.resource not in SELECTABLE:
        message = f"Error in query: invalid resource type {query.resource} in the FROM clause."
        raise QueryRefused("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", message)
    for name in query.names:
        group, _, field = name.partition(".")
        if field not in FIELDS.get(group, ()):
            raise QueryRefused("UNRECOGNIZED_FIELD", f"Unrecognized field in the query: '{name}'.")
        if not name.startswith(SELECTABLE[query.resource]):
            clause = "SELECT" if name in query.fields else "WHERE"
            message = f"'{name}' cannot be named in a query FROM {query.resource}."
            raise QueryRefused(f"PROHIBITED_RESOURCE_TYPE_IN_{clause}_CLAUSE", message)


def _check_changes(query: Query) -> None:
    window, limit = query.range_of(CHANGED_AT), query.limit
    checks = (
        (window is not None, "CHANGE_DATE_RANGE_INFINITE", f"Filter {CHANGED_AT} by a finite range."),
        (window and window[0] <= window[1], "CHANGE_DATE_RANGE_NEGATIVE", "The range can never match anything."),
        (limit is not None, "LIMIT_NOT_SPECIFIED", "The change_status search request must specify a LIMIT."),
        (limit and limit <= CHANGE_LIMIT, "INVALID_LIMIT_CLAUSE", "The LIMIT must not be above 10K."),
    )
    for is_right, code, message in checks:
        if not is_right:
            raise QueryRefused(code, message, "changeStatusError")


def _field(name: str) -> Field:
    group, _, field = name.partition(".")
    return FIELDS[group][field]


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
