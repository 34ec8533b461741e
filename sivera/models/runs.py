"""What the jobs keep about their own runs, the time series of collect-metrics, and the calls to platforms."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class SyncRun(Base):
    """What one run of sync-campaigns did; `id` is the id of its flow run."""

    __tablename__ = "sync_runs"
    __table_args__ = (Index(None, "started_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mode: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())
    summary: Mapped[dict[str, Any]]


class CleanupRun(Base):
    """What one run of cleanup-expired-tokens did with one kind. Each batch adds to it in its own transaction.

    `run_id` is the id of the flow run, `kind` the name of the table. Rows older than `cutoff` were deleted. `remaining`
    counts the rows that were still due at the end; it is null if they were not counted or the run died. `refused` says
    why nothing was deleted.
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
    """The value of a metric at one time for one set of labels; see `sivera.metrics.definitions`.

    The samples of a collection have its time. The samples of a single run have the time at which it ended.
    """

    __tablename__ = "metric_samples"
    __table_args__ = (Index(None, "at"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, primary_key=True)
    value: Mapped[float]


class PlatformCall(Base):
    """How often a run called a platform: `api` calls that a quota counts, `login` calls for tokens.

    `throttled` counts the answers that said 'slow down'. `used_percent` is the share of its quota that the platform
    last reported as used. The cleanup adds the rows it deletes to one row a platform, with a run id of zeros, so that
    the sums never go back.
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
