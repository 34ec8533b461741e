"""Which queries Google accepts, and the JSON rows that answer them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from sandbox.gaql import Condition, Query, QueryRefused, parse
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
    customers,
    local_time,
)

CHANGE_HISTORY = timedelta(days=90)
CHANGE_LIMIT = 10_000
METRICS_HISTORY = timedelta(days=1_126)
"""Daily figures of earlier days than 37 months ago are refused."""

SELECTABLE = {
    "customer": ("customer", "segments", "metrics"),
    "customer_client": ("customer_client",),
    "campaign": ("campaign", "campaign_budget", "segments", "metrics"),
    "change_status": ("change_status",),
}
"""The resources with fields that a query FROM a resource may name."""
ENUMS = {
    "campaign.status": {"ENABLED", "PAUSED", "REMOVED"},
    "customer_client.status": {"ENABLED", "CANCELED", "SUSPENDED", "CLOSED"},
    "change_status.resource_type": {"CAMPAIGN", "CAMPAIGN_BUDGET", "AD_GROUP", "AD_GROUP_AD", "CAMPAIGN_CRITERION"},
}
DAY = "segments.date"
CHANGED_AT = "change_status.last_change_date_time"


class Plan:
    """A valid query, ready to run; made once for each text."""

    def __init__(self, query: Query) -> None:
        _check_names(query)
        query = self.query = replace(query, conditions=tuple(map(_checked, query.conditions)))
        self.by_day = any(name.startswith(("metrics.", "segments.")) for name in query.names)
        self.field_mask = ",".join(_camel(field) for field in query.fields)
        self.groups = _groups(query)
        self.conditions = [
            (FIELDS[group][name], condition)
            for condition in query.conditions
            for group, name in [condition.field.split(".")]
        ]
        if query.resource == "change_status":
            _check_changes(query)
        if self.by_day and (DAY not in query.fields or query.range_of(DAY) is None):
            raise QueryRefused("EXPECTED_FILTERS_ON_DATE_RANGE", f"Select {DAY} and filter it by a finite range.")

    def rows(self, target: Target) -> list[dict[str, Any]]:
        """Return the rows as JSON; QueryRefused if this customer cannot answer the query."""
        if target.is_manager and any(name.startswith("metrics.") for name in self.query.names):
            message = "Metrics cannot be requested for a manager account. Send one query per client account."
            raise QueryRefused("REQUESTED_METRICS_FOR_MANAGER", message)
        found = (
            row
            for row in self._candidates(target)
            if all(condition.holds(read(row)) for read, condition in self.conditions)
        )
        return [self._project(row) for row in found][: self.query.limit]

    def _candidates(self, target: Target) -> Iterator[Row]:
        match self.query.resource:
            case "customer_client":
                return clients(target)
            case "change_status":
                oldest = local_time(target.world.clock.now() - CHANGE_HISTORY, target.customer)
                if str((self.query.range_of(CHANGED_AT) or ("",))[0]) < oldest[:10]:
                    message = "The requested start date is too old. It cannot be older than 90 days."
                    raise QueryRefused("START_DATE_TOO_OLD", message, "changeStatusError")
                return changes(target)
        is_total = self.query.resource == "customer"
        window = self.query.range_of(DAY) if self.by_day else None
        if window is None:
            return customers(target) if is_total else campaigns(target)
        since, until = map(date.fromisoformat, window)
        if since < target.customer.today(target.world.clock.now()) - METRICS_HISTORY:
            message = "The requested time granularity is only available for the last 37 months."
            raise QueryRefused("REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED", message, "dateRangeError")
        return customer_days(target, since, until) if is_total else campaign_days(target, since, until)

    def _project(self, row: Row) -> dict[str, Any]:
        projected = {
            group: {key: value for key, read in columns if (value := read(row)) is not None}
            for group, columns in self.groups
        }
        return {group: cells for group, cells in projected.items() if cells}


@lru_cache(maxsize=256)
def plan(text: str) -> Plan:
    """Return the plan of a query; QueryRefused says what is wrong with it."""
    return Plan(parse(text))


def _check_names(query: Query) -> None:
    if query.resource not in SELECTABLE:
        message = f"Error in query: invalid resource type {query.resource} in the FROM clause."
        raise QueryRefused("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", message)
    for name in query.names:
        group, _, field = name.partition(".")
        if field not in FIELDS.get(group, ()):
            raise QueryRefused("UNRECOGNIZED_FIELD", f"Unrecognized field in the query: '{name}'.")
        if group not in SELECTABLE[query.resource]:
            clause = "SELECT" if name in query.fields else "WHERE"
            message = f"'{name}' cannot be named in a query FROM {query.resource}."
            raise QueryRefused(f"PROHIBITED_RESOURCE_TYPE_IN_{clause}_CLAUSE", message)


def _checked(condition: Condition) -> Condition:
    """Return the condition with complete times; QueryRefused if a value does not fit its field."""
    field, values = condition.field, condition.values
    known = ENUMS.get(field)
    if known and (wrong := [value for value in values if value not in known]):
        raise QueryRefused("BAD_ENUM_CONSTANT", f"Invalid enum value {wrong[0]} for {field}.")
    try:
        if field == DAY:
            values = tuple(str(datetime.strptime(str(value), "%Y-%m-%d").date()) for value in values)  # noqa: DTZ007
        elif field == CHANGED_AT:
            values = tuple(datetime.fromisoformat(str(value)).isoformat(" ", "microseconds") for value in values)
    except ValueError:
        raise QueryRefused("INVALID_DATE_FORMAT", f"Invalid date or time for {field}.") from None
    return replace(condition, values=values)


def _check_changes(query: Query) -> None:
    window = query.range_of(CHANGED_AT)
    if window is None:
        message = f"The change_status search request must specify a finite range filter on {CHANGED_AT}."
        raise QueryRefused("CHANGE_DATE_RANGE_INFINITE", message, "changeStatusError")
    if window[0] > window[1]:
        message = "The date range of the change_status search request can never give results."
        raise QueryRefused("CHANGE_DATE_RANGE_NEGATIVE", message, "changeStatusError")
    if query.limit is None:
        message = "The change_status search request must specify a LIMIT."
        raise QueryRefused("LIMIT_NOT_SPECIFIED", message, "changeStatusError")
    if query.limit > CHANGE_LIMIT:
        message = "The LIMIT of a change_status search request must not be above 10K."
        raise QueryRefused("INVALID_LIMIT_CLAUSE", message, "changeStatusError")


def _groups(query: Query) -> tuple[tuple[str, tuple[tuple[str, Field], ...]], ...]:
    """Return the columns by resource; Google always adds each resource's name."""
    columns: dict[str, dict[str, Field]] = {}
    for group, _, name in (field.partition(".") for field in (f"{query.resource}.resource_name", *query.fields)):
        cells = columns.setdefault(group, {})
        if "resource_name" in FIELDS[group]:
            cells["resourceName"] = FIELDS[group]["resource_name"]
        cells[_camel(name)] = FIELDS[group][name]
    return tuple((_camel(group), tuple(cells.items())) for group, cells in columns.items())


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
