"""Questions of the sync: campaigns, daily metrics, and what its runs did."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Delete, Row, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import Date, Text

from sivera import values
from sivera.models import Campaign, CampaignDailyMetric, ReportArrival, SyncRun
from sivera.sync.summary import SyncSummary
from sivera.upsert import incoming, upsert

REMOVED = values.CampaignStatus.REMOVED.value
CAMPAIGN_COLUMNS = (
    "external_id",
    "name",
    "status",
    "native_status",
    "ad_product",
    "budget_kind",
    "budget_amount",
    "budget_currency",
    "budget_id",
    "start_date",
    "end_date",
    "updated_at",
)

_UPSERT_CAMPAIGNS = upsert(Campaign, key=("external_id",), columns=CAMPAIGN_COLUMNS, returning=("status",))


def upsert_campaigns(
    session: Session, account_id: int, campaigns: Iterable[values.Campaign], now: datetime
) -> tuple[int, int, int]:
    """Write an account's campaigns. Return how many are new, changed, and changed to removed."""
    rows = orjson.dumps([_row(campaign) for campaign in campaigns]).decode()
    written = session.execute(_UPSERT_CAMPAIGNS, {"account_id": account_id, "rows": rows, "now": now}).all()
    added = sum(row.inserted for row in written)
    removed = sum(not row.inserted and row.status == REMOVED for row in written)
    return added, len(written) - added - removed, removed


def _row(campaign: values.Campaign) -> dict[str, object]:
    budget = campaign.budget
    return {
        "external_id": campaign.external_id,
        "name": campaign.name,
        "status": campaign.status.value,
        "native_status": campaign.native_status,
        "ad_product": campaign.ad_product,
        "budget_kind": budget.kind.value,
        "budget_amount": None if budget.amount is None else str(budget.amount),
        "budget_currency": budget.currency,
        "budget_id": budget.budget_id,
        "start_date": campaign.start_date,
        "end_date": campaign.end_date,
        "updated_at": campaign.updated_at,
    }


_MISSING = (
    Campaign.account_id == bindparam("account"),
    Campaign.status != REMOVED,
    Campaign.external_id != func.all(bindparam("listed", type_=ARRAY(Text))),
)
_COUNT_MISSING = select(
    func.count().filter(_MISSING[2]).label("missing"),
    func.count().label("total"),
).where(_MISSING[0], _MISSING[1])
_REMOVE_MISSING = update(Campaign).where(*_MISSING).values(status=REMOVED, changed_at=bindparam("at"))


def count_missing(session: Session, account_id: int, listed: list[str]) -> Row[tuple[int, int]]:
    """Count an account's campaigns that are not removed: those missing from a listing, and all."""
    return session.execute(_COUNT_MISSING, {"account": account_id, "listed": listed}).one()


def mark_missing_removed(session: Session, account_id: int, listed: list[str], now: datetime) -> None:
    """Mark the campaigns that a complete listing no longer holds as removed."""
    session.execute(
        _REMOVE_MISSING,
        {"account": account_id, "listed": listed, "at": now},
        execution_options={"synchronize_session": False},
    )


_METRICS = TypeAdapter(Sequence[values.DailyMetrics])
_UPSERT_METRICS = upsert(
    CampaignDailyMetric,
    key=("campaign_id", "day"),
    columns=tuple(values.DailyMetrics.model_fields),
    given=("ad_product",),
)


def _delete_zeroed() -> Delete:
    table = CampaignDailyMetric.__table__
    assert isinstance(table, Table)  # noqa: S101 - tells the type checker what every mapped class has
    kept = incoming(table, ("campaign_id", "day"))
    return delete(CampaignDailyMetric).where(
        CampaignDailyMetric.account_id == bindparam("account"),
        CampaignDailyMetric.day.between(bindparam("since", type_=Date), bindparam("until", type_=Date)),
        CampaignDailyMetric.ad_product.is_not_distinct_from(bindparam("product", type_=Text)),
        ~select(kept.c.day)
        .where(kept.c.campaign_id == CampaignDailyMetric.campaign_id, kept.c.day == CampaignDailyMetric.day)
        .exists(),
    )


_DELETE_ZEROED = _delete_zeroed()


def replace_window(session: Session, account_id: int, batch: values.MetricsBatch, now: datetime) -> int:
    """Make the window hold what the batch holds: write new and changed days, delete those that became zero.

    Returns:
        The number of days written or deleted.
    """
    rows = _METRICS.dump_json(batch.rows).decode()
    deleted = session.execute(
        _DELETE_ZEROED,
        {
            "account": account_id,
            "product": batch.ad_product,
            "since": batch.window.since,
            "until": batch.window.until,
            "rows": rows,
        },
        execution_options={"synchronize_session": False},
    )
    written = session.execute(
        _UPSERT_METRICS, {"account_id": account_id, "ad_product": batch.ad_product, "rows": rows, "now": now}
    ).all()
    return len(written) + deleted.rowcount  # type: ignore[attr-defined, no-any-return]


def note_reports(session: Session, account_id: int, as_of: Mapping[str, datetime]) -> None:
    """Record how new the stored reports are, by ad product. An older report changes nothing."""
    statement = _arrivals(account_id, as_of)
    newest = func.greatest(ReportArrival.as_of, statement.excluded.as_of)
    session.execute(
        statement.on_conflict_do_update(index_elements=["account_id", "ad_product"], set_={"as_of": newest})
    )


def expect_reports(session: Session, account_id: int, asked_at: Mapping[str, datetime]) -> None:
    """Record when the first report of each ad product was asked for, unless one has arrived."""
    session.execute(_arrivals(account_id, asked_at).on_conflict_do_nothing())


def forget_reports(session: Session, account_id: int, ad_products: Sequence[str]) -> None:
    """Expect no more reports of these ad products."""
    session.execute(
        delete(ReportArrival).where(ReportArrival.account_id == account_id, ReportArrival.ad_product.in_(ad_products))
    )


def _arrivals(account_id: int, times: Mapping[str, datetime]) -> Insert:
    rows = [{"account_id": account_id, "ad_product": product, "as_of": at} for product, at in times.items()]
    return insert(ReportArrival).values(rows)


def record_run(session: Session, run_id: UUID, summary: SyncSummary, started_at: datetime) -> None:
    """Write what a run did. Writing the same run again replaces the first."""
    row = {"mode": summary.mode.value, "started_at": started_at, "summary": summary.model_dump(mode="json")}
    session.execute(insert(SyncRun).values(id=run_id, **row).on_conflict_do_update(index_elements=["id"], set_=row))


def read_summary(session: Session, run_id: UUID) -> SyncSummary | None:
    """Return what a run did, or None if it has not ended."""
    summary = session.scalar(select(SyncRun.summary).where(SyncRun.id == run_id))
    return None if summary is None else SyncSummary.model_validate(summary)


class SyncCounts(NamedTuple):
    """A run of sync-campaigns: when it began, and its accounts by how they ended."""

    id: str
    started_at: datetime
    synced: int
    failed: int
    put_off: int
    waiting: int


def recent_syncs(session: Session, limit: int) -> list[SyncCounts]:
    """Return the last runs of sync-campaigns, the oldest first."""
    counts = (SyncRun.summary[name].as_integer().label(name) for name in ("synced", "failed", "put_off", "waiting"))
    statement = select(SyncRun.id, SyncRun.started_at, *counts).order_by(SyncRun.started_at.desc()).limit(limit)
    return [SyncCounts(str(row[0]), *row[1:]) for row in reversed(session.execute(statement).all())]
