"""How much of a report's periods is known for each account. What was never read is not zero."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from sivera.reports import rules
from sivera.reports.rules import AccountFacts, MissingAccount, Period, Unreported
from sivera.values import days_between


class Known(StrEnum):
    """How much of a period's figures was read. Some campaigns are not reported by their platform."""

    WHOLE = "whole"
    PART = "part"
    NOT_READ = "not_read"
    NOT_REPORTED = "not_reported"


class State(NamedTuple):
    """How much of a period is known. If only its start is unknown, `since` is the first known day."""

    known: Known
    since: date | None = None


def state_of(account: AccountFacts, since: date, until: date, *, is_missing: bool = False) -> State:
    """Return how much of the days from `since` to `until` is known. `is_missing` means that the last is incomplete."""
    first, last = account.covered_since, account.covered_until
    if last is not None and not account.is_active:
        last = date.max  # a closed account spends nothing
    if first is None or last is None or first > until or last < since:
        return State(Known.NOT_READ)
    is_open = last < until or account.lacks_product or is_missing
    if first <= since and not is_open:
        return State(Known.WHOLE)
    return State(Known.PART, None if is_open or first <= since else first)


States = Mapping[Period, State]


def states_of(
    accounts: Iterable[AccountFacts], day: date, missing: Sequence[MissingAccount]
) -> dict[int, dict[Period, State]]:
    """Return how much of each period of a day's report is known, by account."""
    lacking = {account.id for account in missing}
    spans = {period: rules.covers(period, day) for period in Period}
    return {
        account.id: {
            period: state_of(account, *span, is_missing=account.id in lacking and span[1] == day)
            for period, span in spans.items()
        }
        for account in accounts
    }


def is_partial(states: States) -> bool:
    """Whether an account's periods are known only in part. One without figures is on neither side of a comparison."""
    return {state.known for state in states.values()} not in ({Known.WHOLE}, {Known.NOT_READ})


def late_accounts(accounts: Iterable[AccountFacts], day: date) -> tuple[AccountFacts, ...]:
    """Return the active accounts with figures that start within the days that a report looks at, by id."""
    since = min(rules.compared_since(day), rules.chart_since(day))
    return tuple(
        account
        for account in sorted(accounts, key=lambda account: account.id)
        if account.is_active and account.covered_since is not None and account.covered_since > since
    )


def gaps(accounts: Iterable[AccountFacts], day: date, missing: Sequence[MissingAccount]) -> dict[str, tuple[date, ...]]:
    """Return the days of a report's charts on which some account's figures are incomplete, by currency.

    Accounts without any figures in these days do not count. They are named elsewhere in the report.
    """
    lacking = {account.id for account in missing}
    since = rules.chart_since(day)
    found: dict[str, set[date]] = {}
    for account in accounts:
        if state_of(account, since, day).known is not Known.NOT_READ:
            found.setdefault(account.currency, set()).update(
                each
                for each in days_between(since, day)
                if state_of(account, each, each).known is not Known.WHOLE or (each == day and account.id in lacking)
            )
    return {currency: tuple(sorted(days)) for currency, days in found.items()}


def digest(
    day: date,
    digests: Mapping[tuple[int, date], str],
    accounts: Sequence[AccountFacts],
    missing: Sequence[MissingAccount],
    unreported: Iterable[Unreported],
) -> str:
    """Return a digest of a day's report: of its figures, and of what is unknown about them.

    `digests` holds a digest for each account and day with rows. Names are left out, so a new name changes no report.
    """
    since = rules.compared_since(day)
    lines = sorted(f"{at} {account} {found}" for (account, at), found in digests.items() if since <= at <= day)
    lines += [f"missing {account.id} {account.why.value}" for account in missing]
    lines += [f"late {account.id} {account.covered_since}" for account in late_accounts(accounts, day)]
    for id_, states in sorted(states_of(accounts, day, missing).items()):
        lines += [f"{known} {id_} {period}" for period, (known, _) in states.items() if known is not Known.WHOLE]
    lines += sorted(f"unreported {one.account_id} {one.campaign_id}" for one in rules.running(unreported, day))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
