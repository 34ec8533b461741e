"""The sandbox's OAuth grants and their tokens: signed and self-contained, so a restarted sandbox knows them."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from sandbox.clock import Clock
from sandbox.facts import FACTS, TokenKind
from sivera.values import PlatformName

NEVER = datetime.min.replace(tzinfo=UTC)


class Token(NamedTuple):
    """What a token says: its grant, its number within the grant, and when it expires (Unix seconds, 0 = never)."""

    kind: TokenKind
    grant_id: int
    generation: int
    expires: int


@dataclass
class Grant:
    """An OAuth grant.

    With `rotates`, each renewal replaces the refresh token, and reuse of an old one revokes the grant; the previous one
    is accepted until `honoured_until`, `leeway` after the renewal. With `only_through_manager`, Google's user has lost
    direct access to the ad accounts. From `data_access_ends` Meta gives no data; None means 90 days from now.
    `may_read_ads` is what the user allowed on the consent page.
    """

    id: int
    platform: PlatformName
    account_ids: list[str] = field(default_factory=list)
    manager_id: str | None = None
    rotates: bool = False
    leeway: timedelta = timedelta()
    honoured_until: datetime = NEVER
    expires: bool = True
    revoked: bool = False
    reused: bool = False
    only_through_manager: bool = False
    data_access_ends: datetime | None = None
    may_read_ads: bool = True
    access_generation: int = 0
    refresh_generation: int = 0
    oldest_valid_access: int = 0
    oldest_valid_refresh: int = 0


class Grants:
    """The grants of a world and their tokens, which are signed with a key from the `seed`."""

    def __init__(self, seed: int, now: datetime | None) -> None:
        self.seed = seed
        self.clock = Clock(now)
        self.grants: dict[int, Grant] = {}

    def revoke_grant(self, grant_id: int) -> None:
        """Revoke a grant: all its tokens are refused from now on."""
        self.grants[grant_id].revoked = True

    def expire_access(self, grant_id: int) -> None:
        """Refuse all access tokens issued so far; the refresh token still works."""
        grant = self.grants[grant_id]
        grant.oldest_valid_access = grant.access_generation + 1

    def log_in(self, grant_id: int) -> Grant:
        """Log the user of a grant in again. A revoked grant works again, but not its earlier tokens."""
        grant = self.grants[grant_id]
        if grant.revoked:
            self.expire_access(grant_id)
            grant.refresh_generation += 1
            grant.oldest_valid_refresh = grant.refresh_generation
        grant.revoked = grant.reused = False
        return grant

    def issue_tokens(self, grant: Grant) -> tuple[str, int | None, str | None]:
        """Issue the tokens of a login: an access token, its lifetime in seconds, and perhaps a refresh token."""
        access, seconds = self.issue_access(grant)
        has_refresh = FACTS[grant.platform].always_refreshes or grant.rotates
        return access, seconds, self.issue_refresh(grant) if has_refresh else None

    def issue_access(self, grant: Grant, lifetime: timedelta | None = None) -> tuple[str, int | None]:
        """Issue an access token; return it with its lifetime in seconds (None if it does not expire)."""
        lifetime = lifetime or (FACTS[grant.platform].lifetime if grant.expires else None)
        grant.access_generation += 1
        expires = int((self.clock.now() + lifetime).timestamp()) if lifetime else 0
        seconds = int(lifetime.total_seconds()) if lifetime else None
        return self._sign(grant, Token(TokenKind.ACCESS, grant.id, grant.access_generation, expires)), seconds

    def issue_refresh(self, grant: Grant) -> str:
        """Issue the grant's current refresh token; a rotating grant gets a new one."""
        if grant.rotates:
            grant.refresh_generation += 1
            grant.honoured_until = self.clock.now() + grant.leeway
        return self._sign(grant, Token(TokenKind.REFRESH, grant.id, grant.refresh_generation, 0))

    def check_access(self, platform: PlatformName, text: str) -> Grant | Literal["unknown", "revoked", "expired"]:
        """Return the grant of an access token, or why the token is not valid."""
        token, grant = self._token_and_grant(platform, TokenKind.ACCESS, text)
        if token is None or grant is None:
            return "unknown"
        if grant.revoked:
            return "revoked"
        has_ended = token.expires and token.expires <= self.clock.now().timestamp()
        if has_ended or token.generation < grant.oldest_valid_access:
            return "expired"
        grant.access_generation = max(grant.access_generation, token.generation)
        return grant

    def grant_of_access(self, platform: PlatformName, text: str) -> Grant | None:
        """Return the grant of an access token, or None if the token is not valid."""
        found = self.check_access(platform, text)
        return found if isinstance(found, Grant) else None

    def grant_of_refresh(self, platform: PlatformName, text: str) -> Grant | None:
        """Return the grant of a refresh token, or None if the token is not valid; reuse revokes the grant."""
        token, grant = self._token_and_grant(platform, TokenKind.REFRESH, text)
        if token is None or grant is None or grant.revoked or token.generation < grant.oldest_valid_refresh:
            return None
        if token.generation == grant.refresh_generation - 1 and self.clock.now() < grant.honoured_until:
            return grant
        if token.generation < grant.refresh_generation:
            grant.revoked = grant.reused = True
            return None
        grant.refresh_generation = token.generation
        return grant

    def _token_and_grant(self, platform: PlatformName, kind: TokenKind, text: str) -> tuple[Token | None, Grant | None]:
        token = self._read(platform, kind, text)
        grant = self.grants.get(token.grant_id) if token else None
        return token, grant if grant is not None and grant.platform is platform else None

    def _sign(self, grant: Grant, token: Token) -> str:
        body = FACTS[grant.platform].prefixes[token.kind] + "-".join(map(str, token))
        return f"{body}-{self._signature(body)}"

    def _read(self, platform: PlatformName, kind: TokenKind, text: str) -> Token | None:
        prefix = FACTS[platform].prefixes.get(kind)
        body, _, signature = text.rpartition("-")
        if prefix is None or not body.startswith(prefix) or signature != self._signature(body):
            return None
        _, grant_id, generation, expires = body.removeprefix(prefix).split("-")
        return Token(kind, int(grant_id), int(generation), int(expires))

    def _signature(self, body: str) -> str:
        return hmac.new(f"sandbox-{self.seed}".encode(), body.encode(), hashlib.sha256).hexdigest()[:20]
