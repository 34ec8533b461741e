"""Records of job runs, the time series of collect-metrics, and counts of calls to platforms."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class SyncRun(Base):
    """The summary of a sync-campaigns run; `id` is the id of its flow run."""

    __tablename__ = "sync_runs"
    __table_args__ = (Index(None, "started_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mode: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())
    summary: Mapped[dict[str, Any]]


class CleanupRun(Base):
    """What a run of cleanup-expired-tokens did to one table, its `kind`. Each batch adds to it in its own transaction.

    Rows older than `cutoff` were deleted. `remaining` counts the rows that were still due at the end; it is null if
    they were not counted or the run died. `refused` says why nothing was deleted.
    """

    __tablename__ = "cleanup_runs"
    __table_args__ = (Index(None, "started_at"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    cutoff: Mapped[datetime]
    deleted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    remaining: Mapped[int | None] = mapped_column(BigInteger)
    dry_run: Mapped[bool]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    refused: Mapped[str | None]


class MetricSample(Base):
    """The value of a metric for one set of labels: when it was collected, or for a single run when that ended."""

    __tablename__ = "metric_samples"
    __table_args__ = (Index(None, "at"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, primary_key=True)
    value: Mapped[float]


class PlatformCall(Base):
    """How often a run called a platform: `api` counts calls against a quota, `login` calls for tokens.

    `used_percent` is the share of its quota that the platform last reported as used. The cleanup adds the rows that it
    deletes to one row per platform, with a run id of zeros, so the sums never decrease.
    """

    __tablename__ = "platform_calls"
    __table_args__ = (Index(None, "at"), CheckConstraint(PLATFORM_IS_KNOWN, name="platform_is_known"))

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    api: Mapped[int] = mapped_column(BigInteger)
    login: Mapped[int] = mapped_column(BigInteger)
    throttled: Mapped[int] = mapped_column(BigInteger)
    used_percent: Mapped[float | None]
