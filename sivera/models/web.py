"""Logins, which the web application writes and we only clean up, and OAuth states, which both write."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class WebSession(Base):
    """A login in a browser. The application may extend `expires_at` while it is used."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "expires_at", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class OAuthState(Base):
    """The `state` of a consent that was started at a platform: it returns with the platform's answer, or expires.

    Ours have a team. `verifier` is PKCE's code verifier, encrypted. `browser_hash` is the hash of a cookie in the
    browser that may return the answer; null if the answer comes to this machine. `link_hash` is the hash of the link
    that started the consent; a link can be used for one grant. `used_at` is when the answer came.

    Without the index on `session_id`, each deleted session would scan this table to check the foreign key.
    """

    __tablename__ = "oauth_states"
    __table_args__ = (
        Index(None, "expires_at", "id"),
        Index(None, "session_id"),
        Index("uq_oauth_states_used_link", "link_hash", unique=True, postgresql_where=text("used_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    state_hash: Mapped[str] = mapped_column(unique=True)
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    platform: Mapped[str]
    team: Mapped[str | None]
    name: Mapped[str | None]
    region: Mapped[str | None]
    redirect_uri: Mapped[str | None]
    verifier: Mapped[bytes | None]
    browser_hash: Mapped[str | None]
    link_hash: Mapped[str | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
