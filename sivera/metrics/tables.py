"""The figures of a collection as tables, for `sivera status` and the page of collect-metrics."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sivera.accounts.queries import ACTIVE
from sivera.grants.rules import WAITING
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection
from sivera.units import duration, size
from sivera.values import PlatformName

LARGEST_TABLES = 8

Row = Sequence[str | int]


class Table(NamedTuple):
    """A table. Counts are numbers, and everything else is text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


def tables(figures: Collection) -> list[Table]:
    """Return the tables of grants, accounts, calls and the database."""
    return [
        Table(
            "Grants and accounts",
            ("platform", "grants", "to reconnect", "accounts", "slow lane", "waiting", "closed"),
            list(_connections(figures)),
        ),
        Table(
            "Age of the data, and calls",
            ("platform", "median age", "90 %", "oldest", "calls", "throttled", "quota left"),
            list(_work(figures)),
        ),
        Table("Active grants", ("token expires within", *of.EXPIRY_BUCKETS), list(_expiry(figures))),
        Table("Database", ("largest tables", "rows, about", "size"), list(_sizes(figures))),
    ]


def words(name: str) -> str:
    """Return a label's value as words."""
    return name.replace("_", " ")


def _connections(figures: Collection) -> Iterator[Row]:
    grants, accounts = figures.values(of.GRANTS), figures.values(of.ACCOUNTS)
    for platform in PlatformName:
        working = grants.get((platform.value, ACTIVE), 0)
        to_reconnect = sum(grants.get((platform.value, status), 0) for status in WAITING)
        states = [accounts.get((platform.value, state), 0) for state in (ACTIVE, "slow_lane", "waiting", "closed")]
        if working or to_reconnect or any(states):
            yield (platform.value, *map(round, (working, to_reconnect, *states)))


def _work(figures: Collection) -> Iterator[Row]:
    ages, calls, throttles = (figures.values(metric) for metric in (of.SYNC_AGE, of.CALLS, of.THROTTLES))
    quotas = figures.values(of.QUOTA_LEFT)
    for platform in PlatformName:
        name = platform.value
        age = [duration(seconds) for labels, seconds in sorted(ages.items()) if labels[0] == name]
        made = sum(count for labels, count in calls.items() if labels[0] == name)
        left = [f"{ratio:.0%} {words(labels[1])}" for labels, ratio in quotas.items() if labels[0] == name]
        if age or made or left:
            yield (name, *(age or ("", "", "")), round(made), round(throttles.get((name,), 0)), ", ".join(left))


def _expiry(figures: Collection) -> Iterator[Row]:
    found = sorted(figures.values(of.GRANTS_BY_EXPIRY).items())
    for (platform, refresh), of_kind in groupby(found, key=lambda each: each[0][:2]):
        counts = {bucket: value for (_, _, bucket), value in of_kind}
        name = platform if refresh == "yes" else f"{platform}, no refresh token"
        yield (name, *(round(counts[bucket]) if bucket in counts else "" for bucket in of.EXPIRY_BUCKETS))


def _sizes(figures: Collection) -> Iterator[Row]:
    rows = figures.values(of.TABLE_ROWS)
    largest = sorted(figures.values(of.TABLE_BYTES).items(), key=lambda each: -each[1])
    for labels, count in largest[:LARGEST_TABLES]:
        yield (*labels, round(rows.get(labels, 0)), size(count))
    for count in figures.values(of.DATABASE_BYTES).values():
        yield ("the database", "", size(count))
    age = figures.values(of.BACKUP_AGE).get(())
    yield ("its last verified backup", "", "none" if age is None else f"{duration(age)} ago")
