"""The account of the backups; the backups themselves, and a manifest of each, are in the storage."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class Backup(Base):
    """What one run of backup-data did; `run_id` is the id of its flow run.

    `path` is within the storage, null where there is no backup. `size` is in bytes, `checksum` the SHA-256 in
    hexadecimal. `reason` says why the outcome is not `verified`. `deleted_at` is when it was no longer kept.
    """

    __tablename__ = "backups"
    __table_args__ = (
        CheckConstraint("outcome IN ('running', 'verified', 'mismatch', 'inconclusive')", name="outcome_is_known"),
        Index(None, "started_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(unique=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str]
    path: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    checksum: Mapped[str | None]
    manifest: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None]
    deleted_at: Mapped[datetime | None]
