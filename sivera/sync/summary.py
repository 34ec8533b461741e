"""What a sync did: of one account, of a platform, of a run."""

from enum import StrEnum

from sivera.reasons import reason_for
from sivera.sync.plan import DueAccount, SyncMode, SyncPlan
from sivera.values import PlatformName, Value


class Outcome(StrEnum):
    """How the sync of one account ended, if it did not fail."""

    SYNCED = "synced"
    PUT_OFF = "put_off"
    """Its platform asked to slow down, or a newer sync was faster. It is tried `again` in this run, or in the next."""


class AccountSync(Value):
    """What the sync of one account did."""

    account: DueAccount
    outcome: Outcome
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    metric_rows: int = 0
    recovered: bool = False
    again: bool = False


class AccountFailure(Value):
    """Why the sync of one account failed, in words that a person can act on."""

    account: DueAccount
    reason: str


class PlatformCounts(Value):
    """What a run did on one platform. `metric_rows` counts the days written; the rest are accounts or campaigns."""

    accounts: int = 0
    synced: int = 0
    failed: int = 0
    put_off: int = 0
    waiting: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    metric_rows: int = 0


SUMMED = ("added", "changed", "unchanged", "removed", "metric_rows")
"""The counts of an account that add up to those of its platform."""


class SyncSummary(Value):
    """What a run did. `waiting` accounts need a human to reconnect them; `resting` ones are in the slow lane."""

    mode: SyncMode
    accounts: int
    synced: int
    failed: int
    put_off: int
    waiting: int
    resting: int
    platforms: dict[PlatformName, PlatformCounts]
    failures: tuple[AccountFailure, ...] = ()
    waiting_accounts: tuple[DueAccount, ...] = ()
    recovered: tuple[DueAccount, ...] = ()

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{self.synced} of {self.accounts} accounts synced"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.put_off} put off to the next run"] if self.put_off else []
        parts += [f"{self.waiting} waiting for a human to reconnect"] if self.waiting else []
        parts += [f"{self.resting} in the slow lane"] if self.resting else []
        return ", ".join(parts)


class SyncTally:
    """Adds up a run while its accounts end, in any order.

    Args:
        mode: The run's mode.
        plan: The work of the run. An account that never ends counts as put off.
    """

    def __init__(self, mode: SyncMode, plan: SyncPlan) -> None:
        self._mode, self._plan = mode, plan
        self._synced: list[AccountSync] = []
        self._failures: list[AccountFailure] = []

    def add(self, account: DueAccount, result: object) -> bool:
        """Take what an account's sync returned or raised. Return whether this run should try the account again."""
        match result:
            case AccountSync(outcome=Outcome.PUT_OFF):
                return result.again
            case AccountSync():
                self._synced.append(result)
            case Exception():
                self._failures.append(AccountFailure(account=account, reason=reason_for(result)))
            case _:
                self._failures.append(AccountFailure(account=account, reason=f"The sync ended as {result!r}."))
        return False

    def summary(self) -> SyncSummary:
        """Return what the run did so far."""
        due, waiting = self._plan.due, self._plan.waiting
        synced, failed = len(self._synced), len(self._failures)
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
            waiting_accounts=waiting,
            recovered=tuple(one.account for one in self._synced if one.recovered),
        )

    def _counts(self, platform: PlatformName) -> PlatformCounts:
        due = sum(account.platform is platform for account in self._plan.due)
        synced = [one for one in self._synced if one.account.platform is platform]
        failed = sum(failure.account.platform is platform for failure in self._failures)
        return PlatformCounts(
            accounts=due,
            synced=len(synced),
            failed=failed,
            put_off=due - len(synced) - failed,
            waiting=sum(account.platform is platform for account in self._plan.waiting),
            **{name: sum(getattr(one, name) for one in synced) for name in SUMMED},
        )
