"""Questions of the sync: campaigns, daily metrics, and what its runs did."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Table, TextClause, bindparam, delete, false, func, literal_column, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import Boolean, Date, DateTime, Text

from sivera import values
from sivera.models import Campaign, CampaignDailyMetric, SyncRun
from sivera.sync.summary import SyncSummary
from sivera.upsert import incoming, precompiled, upsert

REMOVED = values.CampaignStatus.REMOVED.value
OF_CAMPAIGN = tuple(name for name in values.Campaign.model_fields if name != "budget")
OF_BUDGET = ("budget_kind", "budget_amount", "budget_currency", "budget_id")

# Whatever is listed is not missing any more.
_UPSERT_CAMPAIGNS = precompiled(
    upsert(
        Campaign,
        key=("external_id",),
        columns=(*OF_CAMPAIGN, *OF_BUDGET),
        given=("missing_since",),
        returning=("status",),
    )
)


def upsert_campaigns(
    session: Session, account_id: int, campaigns: Iterable[values.Campaign], now: datetime
) -> tuple[int, int, int]:
    """Write an account's campaigns. Return how many are new, changed, and changed to removed."""
    rows = orjson.dumps([_row(campaign) for campaign in campaigns]).decode()
    values_ = {"account_id": account_id, "rows": rows, "now": now, "missing_since": None}
    written = session.execute(_UPSERT_CAMPAIGNS, values_).all()
    added = sum(row.inserted for row in written)
    removed = sum(not row.inserted and row.status == REMOVED for row in written)
    return added, len(written) - added - removed, removed


def _row(campaign: values.Campaign) -> dict[str, object]:
    budget = campaign.budget
    amount = None if budget.amount is None else str(budget.amount)
    of_budget = zip(OF_BUDGET, (budget.kind, amount, budget.currency, budget.budget_id), strict=True)
    return {name: getattr(campaign, name) for name in OF_CAMPAIGN} | dict(of_budget)


_OF_PRODUCT = or_(
    bindparam("product", type_=Text) == "", Campaign.ad_product.is_not_distinct_from(bindparam("product", type_=Text))
)
_MINE = (Campaign.account_id == bindparam("account"), Campaign.status != REMOVED, _OF_PRODUCT)
_IS_MISSING = Campaign.external_id != func.all(bindparam("listed", type_=ARRAY(Text)))
_MISSING = select(Campaign.external_id, Campaign.missing_since).where(*_MINE, _IS_MISSING)
_COUNT = select(func.count()).select_from(Campaign).where(*_MINE)
_CHOSEN = (
    Campaign.account_id == bindparam("account"),
    Campaign.external_id == func.any(bindparam("ids", type_=ARRAY(Text))),
)
_REMOVE = update(Campaign).where(*_CHOSEN).values(status=REMOVED, missing_since=None, changed_at=bindparam("at"))
_HOLD = update(Campaign).where(*_CHOSEN).values(missing_since=func.coalesce(Campaign.missing_since, bindparam("at")))
_UNSYNCHRONIZED = {"synchronize_session": False}


def missing_campaigns(
    session: Session, account_id: int, product: str, listed: Sequence[str]
) -> tuple[dict[str, datetime | None], int]:
    """Return the campaigns that a complete listing lacks, since when each is held, and how many campaigns there are.

    Those that count as removed already are neither. On a platform without ad products `product` is empty.
    """
    mine = {"account": account_id, "product": product}
    missing = {row.external_id: row.missing_since for row in session.execute(_MISSING, mine | {"listed": list(listed)})}
    # Most listings lack nothing, and then nobody asks for the number.
    return missing, (session.scalar(_COUNT, mine) or 0) if missing else 0


def remove_campaigns(session: Session, account_id: int, ids: Sequence[str], now: datetime) -> None:
    """Mark campaigns as removed."""
    values_ = {"account": account_id, "ids": list(ids), "at": now}
    session.execute(_REMOVE, values_, execution_options=_UNSYNCHRONIZED)


def hold_campaigns(session: Session, account_id: int, ids: Sequence[str], now: datetime) -> None:
    """Record since when campaigns are missing, until a second listing agrees."""
    session.execute(_HOLD, {"account": account_id, "ids": list(ids), "at": now}, execution_options=_UNSYNCHRONIZED)


_METRICS = TypeAdapter(Sequence[values.DailyMetrics])
_METRICS_OF: dict[str, tuple[str, ...]] = {
    "key": ("campaign_id", "day"),
    "columns": tuple(values.DailyMetrics.model_fields),
    "given": ("ad_product", "missing_since"),
}
_UPSERT_METRICS = precompiled(upsert(CampaignDailyMetric, **_METRICS_OF))


def _replace() -> TextClause:
    table = cast("Table", CampaignDailyMetric.__table__)
    rows = incoming(table, ("campaign_id", "day"))
    is_listed = (
        select(Campaign.external_id)
        .where(
            Campaign.account_id == table.c.account_id,
            Campaign.external_id == table.c.campaign_id,
            Campaign.status != literal_column(f"'{REMOVED}'"),
        )
        .exists()
    )
    mine = (
        table.c.account_id == bindparam("account_id"),
        table.c.day.between(bindparam("since", type_=Date), bindparam("until", type_=Date)),
        table.c.ad_product.is_not_distinct_from(bindparam("ad_product", type_=Text)),
        ~select(rows.c.day).where(rows.c.campaign_id == table.c.campaign_id, rows.c.day == table.c.day).exists(),
        or_(bindparam("deleted_too", type_=Boolean), is_listed),
    )
    is_over = or_(
        table.c.spend == literal_column("0"),
        table.c.missing_since <= bindparam("agreed", type_=DateTime(timezone=True)),
    )
    # A row is deleted or held, never both.
    deleted = delete(table).where(*mine, is_over).returning(table.c.day).cte("deleted")
    since = func.coalesce(table.c.missing_since, bindparam("now", type_=DateTime(timezone=True)))
    held = (
        update(table)
        .where(*mine, func.coalesce(is_over, false()).is_(False))
        .values(missing_since=since)
        .returning(table.c.day)
        .cte("held")
    )
    written = upsert(CampaignDailyMetric, **_METRICS_OF).cte("written")
    counts = (select(func.count()).select_from(cte).scalar_subquery() for cte in (deleted, held, written))
    return precompiled(select(*counts))


_REPLACE = _replace()


class Replaced(NamedTuple):
    """How many days were written or deleted, and how many are held although the platform's reply lacks them."""

    written: int
    held: int


def replace_window(
    session: Session, account_id: int, product: str, reading: values.MetricsReading, now: datetime, agreed: datetime
) -> Replaced:
    """Make the window hold what the reading holds: write new and changed days, delete those that became zero.

    A day with spend is deleted only if an earlier reading, not later than `agreed`, already lacked it; until then it is
    held. If rows were left out of the reading, nothing is deleted.
    """
    row: dict[str, object] = {"account_id": account_id, "ad_product": product or None, "missing_since": None}
    # One statement cannot write a row twice; of two rows of a day the last one counts.
    rows = {(each.campaign_id, each.day): each for each in reading.rows}
    row |= {"rows": _METRICS.dump_json(tuple(rows.values())).decode(), "now": now}
    if reading.left_out:
        return Replaced(written=len(session.execute(_UPSERT_METRICS, row).all()), held=0)
    row |= {"since": reading.window.since, "until": reading.window.until, "agreed": agreed}
    row |= {"deleted_too": not reading.without_deleted}
    deleted, held, written = session.execute(_REPLACE, row).one()
    return Replaced(written=written + deleted, held=held)


_TOTALS = TypeAdapter(Sequence[values.DailyTotal])
_WRITE_TOTALS = text(
    """
    INSERT INTO account_daily_totals (account_id, day, spend, unattributed, currency, changed_at)
    SELECT :account, t.day, t.spend, t.spend - coalesce(m.spend, 0), t.currency, :now
    FROM json_to_recordset(CAST(:rows AS json)) AS t (day date, spend numeric, currency text)
    LEFT JOIN (
        SELECT day, sum(spend) AS spend FROM campaign_daily_metrics
        WHERE account_id = :account AND day BETWEEN :since AND :until GROUP BY day
    ) AS m ON m.day = t.day
    ON CONFLICT (account_id, day) DO UPDATE
    SET spend = excluded.spend, unattributed = excluded.unattributed, currency = excluded.currency,
        missing_since = NULL, changed_at = :now
    WHERE (account_daily_totals.spend, account_daily_totals.unattributed, account_daily_totals.currency)
        IS DISTINCT FROM (excluded.spend, excluded.unattributed, excluded.currency)
        OR account_daily_totals.missing_since IS NOT NULL
    """
)
_END_TOTALS = text(
    """
    UPDATE account_daily_totals AS t
    SET spend = CASE WHEN t.missing_since <= :agreed THEN 0 ELSE t.spend END,
        unattributed = CASE WHEN t.missing_since <= :agreed THEN 0 ELSE t.unattributed END,
        missing_since = CASE WHEN t.missing_since <= :agreed THEN NULL ELSE coalesce(t.missing_since, :now) END,
        changed_at = CASE WHEN t.missing_since <= :agreed THEN :now ELSE t.changed_at END
    WHERE t.account_id = :account AND t.day BETWEEN :since AND :until AND t.spend <> 0
        AND t.day NOT IN (SELECT day FROM json_to_recordset(CAST(:rows AS json)) AS listed (day date))
    RETURNING t.missing_since IS NOT NULL
    """
)


_LOWER_UNATTRIBUTED = text(
    """
    UPDATE account_daily_totals AS t SET unattributed = greatest(0, t.spend - m.spend)
    FROM (
        SELECT day, sum(spend) AS spend FROM campaign_daily_metrics
        WHERE account_id = :account AND day BETWEEN :since AND :until GROUP BY day
    ) AS m
    WHERE t.account_id = :account AND t.day = m.day AND t.unattributed > greatest(0, t.spend - m.spend)
    """
)


def lower_unattributed(session: Session, account_id: int, window: values.DateWindow) -> None:
    """Take from what no campaign had what campaigns have by now, until the totals are read again."""
    session.execute(_LOWER_UNATTRIBUTED, {"account": account_id, "since": window.since, "until": window.until})


def write_totals(
    session: Session,
    account_id: int,
    window: values.DateWindow,
    reading: values.TotalsReading,
    now: datetime,
    agreed: datetime,
) -> int:
    """Write what an account spent on each day, and how much of it no stored campaign has.

    A day that the reading lacks becomes zero if an earlier reading, not later than `agreed`, already lacked it. If rows
    were left out, no day does. Return how many days are held until then.
    """
    rows = _TOTALS.dump_json(reading.days).decode()
    mine = {"account": account_id, "since": window.since, "until": window.until, "rows": rows, "now": now}
    session.execute(_WRITE_TOTALS, mine)
    return 0 if reading.left_out else sum(session.scalars(_END_TOTALS, mine | {"agreed": agreed}))


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
