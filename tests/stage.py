"""A stage for tests: a sandbox, a database, and accounts connected from the one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from sivera.breaker import Breaker
from sivera.crypto import Keyring
from sivera.grants import Connection, GrantTokenSource, connect
from sivera.platforms import CLIENTS
from sivera.platforms.base import AppCredentials, PlatformClient
from sivera.queries.accounts import AccountFilter, due_accounts
from sivera.sandbox.world import CLIENT_ID, CLIENT_SECRET, Grant, World
from sivera.sync.account import SyncEdges, sync_account
from sivera.sync.options import SyncMode
from sivera.sync.summary import AccountSync, DueAccount
from sivera.values import GrantTokens, PlatformName


@dataclass
class Stage:
    """Connects grants of a world and syncs their accounts; every clock is the world's."""

    world: World
    sandbox: str
    engine: Engine
    keyring: Keyring
    http: httpx.Client
    breaker: Breaker = field(default_factory=Breaker)

    def __post_init__(self) -> None:
        self.client = cache(self._client)
        self.tokens = cache(self._tokens)

    def now(self) -> datetime:
        """The world's time."""
        return self.world.clock.now()

    def edges(self) -> SyncEdges:
        """What the sync of an account needs."""
        return SyncEdges(self.engine, self.client, self.tokens, self.now)

    def issue(self, grant: Grant) -> GrantTokens:
        """Tokens as after a login."""
        access, seconds = self.world.issue_access(grant)
        has_refresh = grant.platform in (PlatformName.GOOGLE, PlatformName.AMAZON) or grant.rotates
        return GrantTokens(
            access_token=SecretStr(access),
            refresh_token=SecretStr(self.world.issue_refresh(grant)) if has_refresh else None,
            expires_in=timedelta(seconds=seconds) if seconds else None,
        )

    def connect(self, grant: Grant, team: str = "Hanok") -> Connection:
        """Connect a grant, as its user does."""
        return connect(self.engine, self.keyring, self.client(grant.platform), team=team, tokens=self.issue(grant))

    def due(self) -> list[DueAccount]:
        """The accounts to sync now."""
        with Session(self.engine) as session:
            rows = due_accounts(session, AccountFilter(), self.now())
        return [DueAccount(id=row.id, platform=PlatformName(row.platform), name=row.name) for row in rows]

    def sync(self, due: DueAccount, mode: SyncMode = SyncMode.FULL) -> AccountSync:
        """Sync an account."""
        return sync_account(self.edges(), due, mode)

    def rows(self, query: str, **parameters: object) -> Sequence[Row[Any]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that was copied from the platforms, in a fixed order, without the times of writing."""
        return {
            "campaigns": [
                tuple(row)
                for row in self.rows(
                    "SELECT account_id, external_id, name, status, native_status, ad_product, budget_kind, "
                    "budget_amount, budget_currency, budget_id, start_date, end_date, updated_at FROM campaigns "
                    "ORDER BY 1, 2"
                )
            ],
            "metrics": [
                tuple(row)
                for row in self.rows(
                    "SELECT account_id, campaign_id, day, ad_product, impressions, clicks, spend, conversions, "
                    "conversion_value, currency FROM campaign_daily_metrics ORDER BY 1, 2, 3"
                )
            ],
        }

    def _client(self, platform: PlatformName) -> PlatformClient:
        app = AppCredentials(
            client_id=CLIENT_ID,
            client_secret=SecretStr(CLIENT_SECRET),
            base_url=f"{self.sandbox}/{platform.value}",
        )
        return CLIENTS[platform](app, self.http, self.breaker, self.now)

    def _tokens(self, platform: PlatformName, credential_id: int) -> GrantTokenSource:
        return GrantTokenSource(self.engine, self.keyring, self.client(platform), credential_id, self.now)
