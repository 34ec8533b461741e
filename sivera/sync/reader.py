"""The sync of one account under way: what is read, and the transaction that stores it."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera import values
from sivera.accounts.news import AccountNews
from sivera.clock import find_zone
from sivera.database import after_commit, reading
from sivera.errors import ConfigurationError
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient
from sivera.sync import part_queries, rules
from sivera.sync.parts import Part, PartState
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.reports import KnownRequest


class OvertakenError(Exception):
    """A sync that began later was faster: what this one has read is older than what is stored."""


@dataclass
class Reader:
    """The sync of one account under way.

    `as_of` is when it began, on the database's clock, like everything stored. `states` has the state of each part that
    was synced before or is to be; `changes` were found about the grant's accounts meanwhile. `conversion` is the action
    that the team counts as a conversion, where it may choose.
    """

    engine: Engine
    due: DueAccount
    account: values.AdAccount
    client: PlatformClient
    tokens: GrantTokenSource
    conversion: str | None
    mode: SyncMode
    lookback_days: int | None
    as_of: datetime
    states: dict[Part, PartState]
    changes: tuple[AccountNews, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether this sync reads everything."""
        return self.mode is SyncMode.FULL

    @property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        zone = find_zone(self.account.timezone)
        if zone is None:
            raise ConfigurationError(
                f"account {self.due.id} has the time zone '{self.account.timezone}', which is unknown: connect its "
                "grant again, which reads the time zone again, or correct it in ad_accounts"
            )
        return zone

    @property
    def today(self) -> date:
        """The day in the account's time zone."""
        return self.as_of.astimezone(self.zone).date()

    @cached_property
    def requests(self) -> list[KnownRequest]:
        """The account's requests for reports when the first ad product's were needed."""
        with Session(reading(self.engine)) as session:
            return part_queries.read_requests(session, self.due.id)

    def window(self, state: PartState) -> values.DateWindow:
        """Return the days to read."""
        return rules.metrics_window(self.due.platform, self.mode, self.lookback_days, self.today, state)

    def write(self, session: Session, part: Part, state: PartState) -> None:
        """Write a part's new state in the transaction of what was read; OvertakenError if what is stored is newer."""
        states = self.states | {part: state.model_copy(update={"not_enabled_since": None})}
        if not part_queries.write_part(session, self.due.id, part, self.states[part], states):
            raise OvertakenError
        # If the commit fails, the part is recorded as failed, with its old cursor.
        after_commit(session, partial(setattr, self, "states", states))
