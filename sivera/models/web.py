"""Tables that the web application writes and we only clean up: logins, and the OAuth states that begin in them."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
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
    """The `state` of a connection that was begun at a platform: it returns with the platform's answer, or expires.

    The index on `session_id` keeps deleting a session fast: the foreign key is checked for each.
    """

    __tablename__ = "oauth_states"
    __table_args__ = (Index(None, "expires_at", "id"), Index(None, "session_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    state_hash: Mapped[str] = mapped_column(unique=True)
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id"))
    platform: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
