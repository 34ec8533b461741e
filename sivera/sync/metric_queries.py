"""Questions about daily metrics."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Delete, Table, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import Date, Text

from sivera.models import CampaignDailyMetric, ReportArrival
from sivera.upsert import incoming, upsert
from sivera.values import DailyMetrics, MetricsBatch

COLUMNS = tuple(DailyMetrics.model_fields)
_ROWS = TypeAdapter(Sequence[DailyMetrics])
_UPSERT = upsert(CampaignDailyMetric, key=("campaign_id", "day"), columns=COLUMNS, given=("ad_product",))


def replace_window(session: Session, account_id: int, batch: MetricsBatch, now: datetime) -> int:
    """Make the window hold what the batch holds: write new and changed days, delete those that became zero.

    Returns:
        The number of days written or deleted.
    """
    rows = _ROWS.dump_json(batch.rows).decode()
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
        _UPSERT, {"account_id": account_id, "ad_product": batch.ad_product, "rows": rows, "now": now}
    ).all()
    return len(written) + deleted.rowcount  # type: ignore[attr-defined, no-any-return]


def note_reports(session: Session, account_id: int, as_of: Mapping[str, datetime]) -> None:
    """Note as of when the reports are that are stored now, by ad product; an older one changes nothing."""
    statement = _arrivals(account_id, as_of)
    newest = func.greatest(ReportArrival.as_of, statement.excluded.as_of)
    session.execute(
        statement.on_conflict_do_update(index_elements=["account_id", "ad_product"], set_={"as_of": newest})
    )


def expect_reports(session: Session, account_id: int, asked_at: Mapping[str, datetime]) -> None:
    """Note when the first report was asked for of ad products of which none was stored."""
    session.execute(_arrivals(account_id, asked_at).on_conflict_do_nothing())


def forget_reports(session: Session, account_id: int, ad_products: Sequence[str]) -> None:
    """Expect no more reports of ad products."""
    session.execute(
        delete(ReportArrival).where(ReportArrival.account_id == account_id, ReportArrival.ad_product.in_(ad_products))
    )


def _arrivals(account_id: int, times: Mapping[str, datetime]) -> Insert:
    rows = [{"account_id": account_id, "ad_product": product, "as_of": at} for product, at in times.items()]
    return insert(ReportArrival).values(rows)


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
