"""What a sync did: of one account, of a platform, of a run."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from sivera.grants.discovering import AccountChange, Discovery, DueGrant
from sivera.reasons import reason_for
from sivera.sync.parts import Part
from sivera.sync.plan import DueAccount, SyncMode, SyncPlan
from sivera.values import OddRow, PlatformName, Value


class Outcome(StrEnum):
    """How the sync of an account or a part of it ended."""

    SYNCED = "synced"
    PUT_OFF = "put_off"
    """Its platform asked to slow down, or a newer sync was faster: this run tries it `again_after` some seconds, or the
    next run does."""
    FAILED = "failed"
    RESTING = "resting"
    """The part is in the slow lane."""
    NOT_ENABLED = "not_enabled"
    """The account does not have the ad product."""


class Counts(Value):
    """Campaigns by what became of them, and the days of metrics that were written."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    metric_rows: int = 0


SUMMED = tuple(Counts.model_fields)
"""The counts of a part that add up to those of its account, and of its platform."""


class PartSync(Counts):
    """What the sync of a part did. `note` says what a person should know although it did not fail."""

    part: Part
    outcome: Outcome
    reason: str = ""
    note: str = ""
    left_out: tuple[OddRow, ...] = ()
    recovered: bool = False
    again_after: float | None = None


class AccountSync(Counts):
    """What the sync of an account did. `reason` says what failed, `notes` what else a person should know."""

    account: DueAccount
    outcome: Outcome
    reason: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    recovered: bool = False
    again_after: float | None = None

    @classmethod
    def of(cls, account: DueAccount, parts: Collection[PartSync]) -> "AccountSync":
        """Add up the parts: one that failed makes the account failed, whatever else succeeded."""
        outcomes = {part.outcome for part in parts}
        return cls(
            account=account,
            outcome=next((one for one in WORST_FIRST if one in outcomes), Outcome.PUT_OFF),
            reason=describe({str(part.part): part.reason for part in parts if part.reason}, of=len(parts)),
            notes=tuple(_notes(parts)),
            left_out=sum(len(part.left_out) for part in parts),
            recovered=Outcome.FAILED not in outcomes and any(part.recovered for part in parts),
            again_after=max((part.again_after for part in parts if part.again_after is not None), default=None),
            **{name: sum(getattr(part, name) for part in parts) for name in SUMMED},
        )


WORST_FIRST = (Outcome.FAILED, Outcome.PUT_OFF, Outcome.SYNCED)
"""An account of which nothing was read, because all of its parts rest, is put off."""

MOST_NAMED = 3


def describe(reasons: Mapping[str, str], of: int) -> str:
    """Say in one text what is wrong with the parts of an account, a reason that several share only once.

    Args:
        reasons: The reason of each part that has one, by the part's name.
        of: The number of all parts.
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
        f"the full listing lacks {held} campaigns; they stay until a listing an hour later lacks them too. If they are "
        f"gone, run: sivera accounts approve-removals {account_id}"
    )


def held_days(held: int) -> str:
    """Say that days with spend wait to be confirmed as zero."""
    return f"the reply lacks {held} days with spend that are stored; they stay until a reading an hour later agrees"


def _notes(parts: Iterable[PartSync]) -> Iterator[str]:
    for one in parts:
        if one.note:
            yield f"{_begin(str(one.part))}: {one.note}"
        if one.left_out:
            yield left_out(one.part, one.left_out)


class AccountFailure(Value):
    """Why the sync of one account failed, or what a person should know of it, in words that a person can act on."""

    account: DueAccount
    reason: str


class PlatformCounts(Counts):
    """What a run did on one platform. `metric_rows` counts the days written; the rest are accounts or campaigns."""

    accounts: int = 0
    synced: int = 0
    failed: int = 0
    put_off: int = 0
    waiting: int = 0
    left_out: int = 0


class SyncSummary(Value):
    """What a run did. `waiting` accounts need a human to reconnect them; `resting` ones are in the slow lane.

    `overdue` counts the grants with accounts that could not be listed for a day beyond their time.
    """

    mode: SyncMode
    accounts: int
    synced: int
    failed: int
    put_off: int
    waiting: int
    resting: int
    platforms: dict[PlatformName, PlatformCounts]
    failures: tuple[AccountFailure, ...] = ()
    notes: tuple[AccountFailure, ...] = ()
    waiting_accounts: tuple[DueAccount, ...] = ()
    recovered: tuple[DueAccount, ...] = ()
    changes: tuple[AccountChange, ...] = ()
    not_listed: tuple[str, ...] = ()
    overdue: int = 0

    @property
    def success(self) -> bool:
        """Whether no account failed, and no grant is overdue to be listed."""
        return not self.failed and not self.overdue

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{self.synced} of {self.accounts} accounts synced"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.put_off} put off to the next run"] if self.put_off else []
        parts += [f"{self.waiting} waiting for a human to reconnect"] if self.waiting else []
        parts += [f"{self.resting} in the slow lane"] if self.resting else []
        parts += [f"the accounts of {len(self.not_listed)} grants could not be listed"] if self.not_listed else []
        parts += [f"{self.overdue} of them for more than a day beyond their time"] if self.overdue else []
        odd = sum(counts.left_out for counts in self.platforms.values())
        parts += [f"{odd} odd rows left out"] if odd else []
        return ", ".join(parts)


class DiscoveryTally:
    """Adds up what discovering the accounts of grants has found."""

    def __init__(self) -> None:
        self.changes: list[AccountChange] = []
        self.not_listed: list[str] = []
        self.overdue = 0

    def add(self, grant: DueGrant, result: object) -> None:
        """Take what the discovery of a grant's accounts returned or raised. No run tries it twice."""
        whose = f"grant {grant.id} ({grant.platform.value}, {grant.team})"
        self.overdue += grant.is_overdue and not isinstance(result, Discovery)
        match result:
            case Discovery():
                self.changes += result.changes
                self.not_listed += [f"{whose}: left out {row.id}: it {row.why}" for row in result.left_out]
            case Exception():
                self.not_listed.append(f"{whose}: {reason_for(result)}")
            case _:
                self.not_listed.append(f"{whose}: the discovery ended as {result!r}.")


class SyncTally:
    """Adds up a run while its accounts end, in any order.

    Args:
        mode: The run's mode.
        plan: The work of the run. An account that never ends counts as put off.
    """

    def __init__(self, mode: SyncMode, plan: SyncPlan) -> None:
        self._mode, self._plan = mode, plan
        self._ended: dict[int, AccountSync] = {}
        self._failures: list[AccountFailure] = []
        self._tried_again: set[int] = set()

    def add(self, account: DueAccount, result: object) -> float | None:
        """Take what an account's sync returned or raised.

        Return the seconds after which this run should try the account again, which happens once at most.
        """
        match result:
            case AccountSync():
                self._ended[account.id] = result  # of a second attempt, in place of the first
                if result.outcome is Outcome.FAILED:
                    self._failures.append(AccountFailure(account=account, reason=result.reason))
                elif result.outcome is Outcome.PUT_OFF and account.id not in self._tried_again:
                    self._tried_again.add(account.id)
                    return result.again_after
            case Exception():
                self._failures.append(AccountFailure(account=account, reason=reason_for(result)))
            case _:
                self._failures.append(AccountFailure(account=account, reason=f"The sync ended as {result!r}."))
        return None

    def summary(self, discovered: DiscoveryTally | None = None) -> SyncSummary:
        """Return what the run did so far, also with the accounts that it `discovered`."""
        due, waiting = self._plan.due, self._plan.waiting
        synced, failed = sum(one.outcome is Outcome.SYNCED for one in self._ended.values()), len(self._failures)
        return SyncSummary(
            mode=self._mode,
            accounts=len(due),
            synced=synced,
            failed=failed,
            put_off=len(due) - synced - failed,
            waiting=len(waiting),
            resting=self._plan.resting,
            platforms={
                platform: self._counts(platform)
                for platform in sorted({account.platform for account in (*due, *waiting)})
            },
            failures=tuple(self._failures),
            notes=tuple(
                AccountFailure(account=one.account, reason=note) for one in self._ended.values() for note in one.notes
            ),
            waiting_accounts=waiting,
            recovered=tuple(one.account for one in self._ended.values() if one.recovered),
            changes=tuple(discovered.changes) if discovered else (),
            not_listed=tuple(discovered.not_listed) if discovered else (),
            overdue=discovered.overdue if discovered else 0,
        )

    def _counts(self, platform: PlatformName) -> PlatformCounts:
        due = sum(account.platform is platform for account in self._plan.due)
        ended = [one for one in self._ended.values() if one.account.platform is platform]
        synced = sum(one.outcome is Outcome.SYNCED for one in ended)
        failed = sum(failure.account.platform is platform for failure in self._failures)
        return PlatformCounts(
            accounts=due,
            synced=synced,
            failed=failed,
            put_off=due - synced - failed,
            waiting=sum(account.platform is platform for account in self._plan.waiting),
            **{name: sum(getattr(one, name) for one in ended) for name in (*SUMMED, "left_out")},
        )
