"""Adds up a run of sync-campaigns while its grants and accounts end, in any order."""

from collections.abc import Sequence

from sivera.accounts.news import AccountNews
from sivera.grants.discovering import Discovery, DueGrant
from sivera.reasons import reason_for
from sivera.sync.plan import DueAccount, SyncMode, SyncPlan
from sivera.sync.summary import ACCOUNTS, SUMMED, AccountSync, Outcome, PlatformCounts, SyncSummary
from sivera.values import PlatformName

WAITS = "Someone on the team has to connect it again."


class DiscoveryTally:
    """Adds up what the discovery of accounts has found."""

    def __init__(self) -> None:
        self.changes: list[AccountNews] = []
        self.not_listed: list[str] = []
        self.overdue = 0

    def add(self, grant: DueGrant, result: object) -> None:
        """Add what the discovery of a grant's accounts returned or raised."""
        name = f"grant {grant.id} ({grant.platform.value}, {grant.team})"
        if isinstance(result, Discovery):
            self.changes += result.changes
            self.not_listed += [f"{name}: left out {row.id}: it {row.why}" for row in result.left_out]
        else:
            self.overdue += grant.is_overdue
            self.not_listed.append(f"{name}: {reason_for(result)}")


class SyncTally:
    """Adds up the accounts of a run. An account that never ends counts as put off."""

    def __init__(self, mode: SyncMode, plan: SyncPlan) -> None:
        self._mode, self._plan = mode, plan
        self._ended: dict[int, AccountSync] = {}
        self._failures: list[AccountNews] = []
        self._changes: list[AccountNews] = []
        self._tried_again: set[int] = set()

    def add(self, account: DueAccount, result: object) -> float | None:
        """Add what an account's sync returned or raised.

        Return the seconds after which this run should try the account again. It does so once at most.
        """
        if not isinstance(result, AccountSync):
            self._failures.append(account.news(reason_for(result)))
            return None
        self._ended[account.id] = result  # a second attempt replaces the first
        self._changes += result.changes
        if result.outcome is Outcome.FAILED:
            self._failures.append(account.news(result.reason))
        elif result.outcome is Outcome.PUT_OFF and account.id not in self._tried_again:
            self._tried_again.add(account.id)
            return result.again_after
        return None

    def summary(self, discovered: DiscoveryTally | None = None) -> SyncSummary:
        """Return what the run has done so far, including the accounts that it `discovered`."""
        plan, ended = self._plan, self._ended.values()
        discovered = discovered or DiscoveryTally()
        done = self._ended.keys() | {failure.account_id for failure in self._failures}
        unreached = [account for account in plan.due if account.id not in done]
        overdue = [
            one.news(
                f"No run has reached it since {one.overdue_since:%Y-%m-%d %H:%M} UTC, because {one.platform.value} "
                "throttled the runs, or they ran out of time."
            )
            for one in unreached
            if one.overdue_since
        ]
        failures = (*self._failures, *overdue)
        platforms = {
            platform: self._counts(platform, failures)
            for platform in sorted({account.platform for account in (*plan.due, *plan.waiting)})
        }
        return SyncSummary(
            mode=self._mode,
            resting=plan.resting,
            platforms=platforms,
            failures=failures,
            notes=tuple(one.account.news(note) for one in ended for note in one.notes),
            waiting_accounts=tuple(one.news(WAITS) for one in plan.waiting),
            changes=(*discovered.changes, *self._changes),
            not_listed=tuple(discovered.not_listed),
            overdue=discovered.overdue,
            unreached=len(unreached) - len(overdue),
            **{name: sum(getattr(one, name) for one in platforms.values()) for name in ACCOUNTS},
        )

    def _counts(self, platform: PlatformName, failures: Sequence[AccountNews]) -> PlatformCounts:
        accounts = sum(account.platform is platform for account in self._plan.due)
        ended = [one for one in self._ended.values() if one.account.platform is platform]
        synced = sum(one.outcome is Outcome.SYNCED for one in ended)
        failed = sum(failure.platform is platform for failure in failures)
        return PlatformCounts(
            accounts=accounts,
            synced=synced,
            failed=failed,
            put_off=accounts - synced - failed,
            waiting=sum(account.platform is platform for account in self._plan.waiting),
            **{name: sum(getattr(one, name) for one in ended) for name in (*SUMMED, "left_out")},
        )
