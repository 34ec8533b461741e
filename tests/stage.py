"""A sandbox, a database, and accounts of the one connected in the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session

from sandbox.accounts import Account
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.breaker import Breaker
from sivera.crypto import Keyring
from sivera.grants.connecting import Connection, connect
from sivera.grants.renewal import RenewalDependencies
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import Spool
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials, PlatformClient
from sivera.sync.account import SyncDependencies, sync_account
from sivera.sync.plan import DueAccount, SyncMode, SyncOptions, plan_sync
from sivera.sync.summary import AccountSync
from sivera.values import GrantTokens, PlatformName
from tests.unit.tables import Tables

AGE = (
    """UPDATE platform_credentials
       SET expires_at = expires_at - :by, lease_until = lease_until - :by, last_renewed_at = last_renewed_at - :by,
           next_attempt_at = next_attempt_at - :by, created_at = created_at - :by, status_since = status_since - :by,
           last_strike_on = last_strike_on - floor(extract(epoch FROM CAST(:by AS interval)) / 86400)::int""",
    """UPDATE token_refresh_logs
       SET started_at = started_at - :by, finished_at = finished_at - :by, deadline = deadline - :by""",
)

COPIED = {
    "campaigns": """SELECT account_id, external_id, name, status, native_status, ad_product, budget_kind, budget_amount,
                           budget_currency, budget_id, start_date, end_date, updated_at
                    FROM campaigns ORDER BY 1, 2""",
    "metrics": """SELECT account_id, campaign_id, day, ad_product, impressions, clicks, spend, conversions,
                         conversion_value, currency
                  FROM campaign_daily_metrics ORDER BY 1, 2, 3""",
}


@dataclass
class Stage(Tables):
    """Connects grants of a world and syncs their accounts. `events` are those that were sent.

    Every clock is the world's, except that of tokens, which is the database's: `pass_time` moves both.
    """

    world: World
    sandbox: str
    keyring: Keyring
    http: httpx.Client
    spool: Path
    breaker: Breaker = field(default_factory=Breaker)
    events: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = cache(self._client)
        self.tokens = cache(self._tokens)

    def now(self) -> datetime:
        return self.world.clock.now()

    def deps(self) -> SyncDependencies:
        return SyncDependencies(self.engine, self.client, self.tokens, lambda _: self.now())

    def pass_time(self, by: timedelta) -> None:
        """Advance the platforms' clock, and make the rows about grants older."""
        self.world.clock.advance(by)
        self.age(by)

    def age(self, by: timedelta) -> None:
        """Make the rows about grants older, as if they had been written earlier."""
        with self.engine.begin() as connection:
            for statement in AGE:
                connection.execute(text(statement), {"by": by})

    def renewal_dependencies(self) -> RenewalDependencies:
        return RenewalDependencies(self.engine, self.keyring, Spool(self.spool), notify=self.notify)

    def notify(self, name: str, resource: str, payload: Mapping[str, Any]) -> None:
        self.events.append((name, resource, payload))

    def issue(self, grant: Grant) -> GrantTokens:
        """Issue tokens as after a login."""
        access, seconds, refresh = self.world.issue_tokens(grant)
        return GrantTokens(
            access_token=SecretStr(access),
            refresh_token=SecretStr(refresh) if refresh else None,
            expires_in=timedelta(seconds=seconds) if seconds else None,
        )

    def connect(self, grant: Grant, team: str = "Hanok") -> Connection:
        client, tokens = self.client(grant.platform), self.issue(grant)
        return connect(self.engine, self.keyring, client, team=team, tokens=tokens, notify=self.notify)

    def connect_all(self, team: str = "Hanok", accounts: int = 1, campaigns: int = 8) -> None:
        """Connect a grant of each platform."""
        for platform in PlatformName:
            self.connect(self.world.add_grant(platform, accounts, campaigns), team)

    def due(self) -> list[DueAccount]:
        with Session(self.engine) as session:
            due = plan_sync(session, SyncOptions(), self.now()).due
        # By the database's clock, which the accounts have, some may be overdue.
        return [one.model_copy(update={"overdue_since": None}) for one in due]

    def sync(self, due: DueAccount, mode: SyncMode = SyncMode.FULL, **how: Any) -> AccountSync:
        return sync_account(self.deps(), due, mode, **how)

    def add(self, platform: PlatformName, campaigns: int = 12) -> tuple[Account, DueAccount]:
        """Connect a new grant of one account, the only one that is due."""
        grant = self.world.add_grant(platform, accounts=1, campaigns=campaigns)
        self.connect(grant)
        (account,), (due,) = self.world.accounts_of(grant), self.due()
        return account, due

    def recover(self) -> None:
        """End all faults, and forget what they caused."""
        self.world.faults.clear()
        self.breaker = Breaker()
        self.client.cache_clear()

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that was copied from the platforms, in a fixed order, without the times of writing."""
        return {name: [tuple(row) for row in self.rows(query)] for name, query in COPIED.items()}

    def app(self, platform: PlatformName) -> AppCredentials:
        return AppCredentials(
            client_id=CLIENT_ID,
            client_secret=SecretStr(CLIENT_SECRET),
            base_url=f"{self.sandbox}/{platform.value}",
        )

    def _client(self, platform: PlatformName) -> PlatformClient:
        return open_client(platform, self.app(platform), self.breaker, self.http)

    def _tokens(self, platform: PlatformName, credential_id: int) -> GrantTokenSource:
        return GrantTokenSource(self.renewal_dependencies(), self.client(platform), credential_id)
