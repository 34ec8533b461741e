"""The sync of one account under way: what is read, and the transaction that stores it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera import values
from sivera.errors import ConfigurationError
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient
from sivera.sync import part_queries, rules
from sivera.sync.parts import Part, PartState
from sivera.sync.plan import DueAccount, SyncMode


class OvertakenError(Exception):
    """A sync that began later was faster: what this one has read is older than what is stored."""


@dataclass(frozen=True)
class Reader:
    """The sync of one account under way. `as_of` is when it began, on the database's clock, like everything stored."""

    engine: Engine
    clock: Callable[[datetime], datetime]
    due: DueAccount
    account: values.AdAccount
    client: PlatformClient
    tokens: GrantTokenSource
    credential_id: int
    mode: SyncMode
    lookback_days: int | None
    as_of: datetime

    @property
    def is_full(self) -> bool:
        """Whether this sync reads everything."""
        return self.mode is SyncMode.FULL

    @cached_property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        try:
            return ZoneInfo(self.account.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError(
                f"account {self.due.id} has the time zone '{self.account.timezone}', which is unknown: connect its "
                "grant again, which reads the time zone again, or correct it in ad_accounts"
            ) from None

    def window(self, state: PartState) -> values.DateWindow:
        """Return the days to read."""
        today = self.as_of.astimezone(self.zone).date()
        return rules.metrics_window(self.due.platform, self.mode, self.lookback_days, today, state)

    @contextmanager
    def storing(self, part: Part) -> Iterator[tuple[Session, PartState, datetime]]:
        """Open the transaction that stores what was read of a part; yield it, the part's state and the time.

        Raises:
            OvertakenError: What is stored is newer.
        """
        with Session(self.engine) as session, session.begin():
            found = part_queries.lock_part(session, self.due.id, part)
            if found is None:
                raise OvertakenError
            state, now = found[0], self.clock(found[1])
            if state.as_of is not None and self.as_of < state.as_of <= now:
                raise OvertakenError
            yield session, state, now
