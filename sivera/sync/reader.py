"""The state of a running sync of one account."""

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
    """A later sync was faster, so what this one has read is older than what is stored."""


@dataclass
class Reader:
    """A running sync of one account.

    `as_of` is when it started, by the database's clock. `states` holds each part that was synced before or will be.
    `conversion` is the action that the team counts as a conversion, on a platform that offers the choice. `changes` are
    changed accounts of the grant that the sync has found.
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
                f"account {self.due.id} has the unknown time zone '{self.account.timezone}': connect its grant again "
                "to read the time zone again, or correct it in ad_accounts"
            )
        return zone

    @property
    def today(self) -> date:
        """Today in the account's time zone."""
        return self.as_of.astimezone(self.zone).date()

    @cached_property
    def requests(self) -> list[KnownRequest]:
        """The account's requests for reports, read once."""
        with Session(reading(self.engine)) as session:
            return part_queries.read_requests(session, self.due.id)

    def window(self, state: PartState) -> values.DateWindow:
        """Return the days of metrics to read."""
        return rules.metrics_window(self.due.platform, self.mode, self.lookback_days, self.today, state)

    def write(self, session: Session, part: Part, state: PartState) -> None:
        """Write a part's state in the transaction that stores its data. Raise OvertakenError if newer is stored."""
        states = self.states | {part: state.model_copy(update={"not_enabled_since": None})}
        if not part_queries.write_part(session, self.due.id, part, self.states[part], states):
            raise OvertakenError
        # If the commit fails, the failure is recorded with the old cursor.
        after_commit(session, partial(setattr, self, "states", states))
