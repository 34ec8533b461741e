"""What a sync did for a part, an account, a platform and a run."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from sivera.accounts.news import AccountNews
from sivera.sync.parts import Part
from sivera.sync.plan import DueAccount, SyncMode
from sivera.units import counted
from sivera.values import OddRow, PlatformName, Value


class Outcome(StrEnum):
    """How the sync of an account or of a part ended."""

    SYNCED = "synced"
    PUT_OFF = "put_off"
    """It was throttled, or a newer sync was faster. This run tries again after `again_after` seconds, or the next
    run does."""
    FAILED = "failed"
    RESTING = "resting"
    """The part is in the slow lane."""
    NOT_ENABLED = "not_enabled"
    """The account does not have the ad product."""


class Counts(Value):
    """Campaigns by what happened to them, and the days of metrics that were written."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    metric_rows: int = 0


SUMMED = tuple(Counts.model_fields)
"""The counts of parts that add up to those of an account and of a platform."""


class PartSync(Counts):
    """What the sync of a part did. A `note` tells people about something that is not a failure."""

    part: Part
    outcome: Outcome
    reason: str = ""
    note: str = ""
    left_out: tuple[OddRow, ...] = ()
    again_after: float | None = None


class AccountSync(Counts):
    """What the sync of an account did. `changes` are changed accounts of its grant that the sync has found."""

    account: DueAccount
    outcome: Outcome
    reason: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    again_after: float | None = None
    changes: tuple[AccountNews, ...] = ()

    @classmethod
    def of(
        cls, account: DueAccount, parts: Collection[PartSync], changes: tuple[AccountNews, ...] = ()
    ) -> "AccountSync":
        """Add up the parts. If one failed, the account has failed."""
        outcomes = {part.outcome for part in parts}
        return cls(
            account=account,
            outcome=next((one for one in WORST_FIRST if one in outcomes), Outcome.PUT_OFF),
            reason=describe({str(part.part): part.reason for part in parts if part.reason}, of=len(parts)),
            notes=tuple(_notes(parts)),
            left_out=sum(len(part.left_out) for part in parts),
            again_after=max((part.again_after for part in parts if part.again_after is not None), default=None),
            changes=changes,
            **{name: sum(getattr(part, name) for part in parts) for name in SUMMED},
        )


WORST_FIRST = (Outcome.FAILED, Outcome.PUT_OFF, Outcome.SYNCED)
"""If no part has one of these outcomes, because all rest, the account is put off."""

MOST_NAMED = 3


def describe(reasons: Mapping[str, str], of: int) -> str:
    """Join the reasons of parts into one text, each after the names of its parts.

    If all parts have the same reason, it needs no names. `of` is the number of parts.
    """
    parts: dict[str, list[str]] = {}
    for part, reason in sorted(reasons.items()):
        parts.setdefault(reason, []).append(part)
    if len(parts) == 1 and len(reasons) == of:
        return next(iter(parts))
    return " ".join(f"{_begin(', '.join(names))}: {reason}" for reason, names in parts.items())


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def left_out(part: Part, rows: Sequence[OddRow]) -> str:
    """Say which rows were left out, and why."""
    named = ", ".join(f"{row.id or 'a row without id'} ({row.why})" for row in rows[:MOST_NAMED])
    more = f", and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return f"{_begin(str(part))}: left out {named}{more}."


def held_campaigns(held: int, account_id: int) -> str:
    """Say that campaigns wait to be confirmed as removed."""
    return (
        f"The full listing lacks {counted(held, 'campaign')}. Nothing is removed until another listing an hour later "
        f"confirms it. If they are gone, run: sivera accounts approve-removals {account_id}"
    )


def held_days(held: int) -> str:
    """Say that days with spend wait to be confirmed as zero."""
    return f"The reply lacks the spend of {counted(held, 'stored day')}. It stays until a reply an hour later agrees"


def _notes(parts: Iterable[PartSync]) -> Iterator[str]:
    for one in parts:
        if one.note:
            yield f"{_begin(str(one.part))}: {one.note}"
        if one.left_out:
            yield left_out(one.part, one.left_out)


class PlatformCounts(Counts):
    """What a run did on one platform."""

    accounts: int = 0
    synced: int = 0
    failed: int = 0
    put_off: int = 0
    waiting: int = 0
    left_out: int = 0


ACCOUNTS = ("accounts", "synced", "failed", "put_off", "waiting")
"""The counts of accounts by platform, which add up to those of the run."""


class SyncSummary(Value):
    """What a run did.

    `waiting` accounts must be reconnected by a person, and `resting` ones are in the slow lane. `unreached` ones are
    put off without a call. `overdue` grants could not be listed for more than a day after their time.
    """

    mode: SyncMode
    accounts: int
    synced: int
    failed: int
    put_off: int
    waiting: int
    resting: int
    platforms: dict[PlatformName, PlatformCounts]
    failures: tuple[AccountNews, ...] = ()
    notes: tuple[AccountNews, ...] = ()
    waiting_accounts: tuple[AccountNews, ...] = ()
    changes: tuple[AccountNews, ...] = ()
    not_listed: tuple[str, ...] = ()
    overdue: int = 0
    unreached: int = 0

    @property
    def success(self) -> bool:
        """Whether no account failed and no grant is overdue."""
        return not self.failed and not self.overdue

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{self.synced} of {counted(self.accounts, 'account')} synced"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.put_off} put off to the next run"] if self.put_off else []
        parts += [f"{self.unreached} of them not reached (throttled, or out of time)"] if self.unreached else []
        parts += [f"{self.waiting} waiting for a human to reconnect"] if self.waiting else []
        parts += [f"{self.resting} in the slow lane"] if self.resting else []
        parts += (
            [f"the accounts of {counted(len(self.not_listed), 'grant')} could not be listed"] if self.not_listed else []
        )
        parts += [f"{self.overdue} of them overdue for more than a day"] if self.overdue else []
        odd = sum(counts.left_out for counts in self.platforms.values())
        parts += [f"{counted(odd, 'odd row')} left out"] if odd else []
        return ", ".join(parts)
