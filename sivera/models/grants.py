"""Grants, the keys of their tokens, and the log of their renewals."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class PlatformCredential(Base):
    """One OAuth grant of a team. Its tokens are ciphertext; loading a row never decrypts them.

    `generation` counts writes of the tokens. A write names the generation that it read, and fails if another process
    wrote in between. Until `lease_until`, only `lease_owner` may call the platform to renew the grant.

    `failures` counts consecutive transient failures. `strikes` counts the days (UTC; the last is `last_strike_on`) on
    which refresh-tokens could not renew the grant although its platform worked.

    `accounts_asked_at` is when its ad accounts were last requested, `accounts_read_at` when they were last listed. At
    `data_access_ends_at` the platform stops returning data although the token works; null if the platform does not say.
    """

    __tablename__ = "platform_credentials"
    __table_args__ = (
        UniqueConstraint("team_id", "platform", "name"),
        CheckConstraint(PLATFORM_IS_KNOWN, name="platform_is_known"),
        CheckConstraint(
            "status IN ('active', 'reauthorization_required', 'revoked', 'disconnected')", name="status_is_known"
        ),
        Index("ix_platform_credentials_due", "expires_at", postgresql_where=text("status = 'active'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    platform: Mapped[str]
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    status_reason: Mapped[str | None]
    status_since: Mapped[datetime] = mapped_column(server_default=func.now())
    access_token: Mapped[bytes | None]
    refresh_token: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_renewed_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    strikes: Mapped[int] = mapped_column(server_default="0")
    last_strike_on: Mapped[date | None]
    accounts_asked_at: Mapped[datetime | None]
    accounts_read_at: Mapped[datetime | None]
    data_access_ends_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TokenRefreshLog(Base):
    """An attempt to renew a grant: written before the platform is called, and completed with the outcome.

    If a row has no outcome and its `deadline` has passed, its process died. It is then unknown whether the platform
    used up the token with this `token_fingerprint`, which reveals nothing about the token itself.
    """

    __tablename__ = "token_refresh_logs"
    __table_args__ = (
        Index(None, "credential_id", "id"),
        Index(None, "started_at", "id"),
        Index(
            "ix_token_refresh_logs_in_doubt",
            "credential_id",
            postgresql_where=text("outcome IS NULL OR outcome = 'in_doubt'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    credential_id: Mapped[int] = mapped_column(ForeignKey("platform_credentials.id", ondelete="CASCADE"))
    platform: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    token_fingerprint: Mapped[str]
    owner: Mapped[str]
    deadline: Mapped[datetime]
    run_id: Mapped[UUID | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error_code: Mapped[str | None]
    duration_ms: Mapped[int | None]


class TokenKeyCheck(Base):
    """A key that tokens were encrypted with. The sentinel shows whether a keyring holds it; the key is not stored here.

    The newest key that is not retired encrypts. Nothing in the database needs a retired key.
    """

    __tablename__ = "token_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    sentinel: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    retired_at: Mapped[datetime | None]


class PlatformOutage(Base):
    """A period in which a platform renewed no grants. At most one is open per platform."""

    __tablename__ = "platform_outages"
    __table_args__ = (
        Index("uq_platform_outages_open", "platform", unique=True, postgresql_where=text("ended_at IS NULL")),
        CheckConstraint(PLATFORM_IS_KNOWN, name="platform_is_known"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    platform: Mapped[str]
    began_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
