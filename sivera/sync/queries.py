"""Queries of the sync: campaigns, daily metrics, totals, and the summaries of runs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera import values
from sivera.models import SyncRun
from sivera.sync.rules import AGREES_AFTER
from sivera.sync.summary import SyncSummary
from sivera.upsert import upsert

REMOVED = values.CampaignStatus.REMOVED.value
OF_CAMPAIGN = tuple(name for name in values.Campaign.model_fields if name != "budget")
OF_BUDGET = ("budget_kind", "budget_amount", "budget_currency", "budget_id")

_UPSERT_CAMPAIGNS = text(f"{upsert('campaigns', ('external_id',), (*OF_CAMPAIGN, *OF_BUDGET))}, status")


def upsert_campaigns(
    session: Session, account_id: int, campaigns: Iterable[values.Campaign], now: datetime
) -> tuple[int, int, int]:
    """Write an account's campaigns. Return how many are new, how many changed, and how many were removed."""
    rows = orjson.dumps([_row(campaign) for campaign in campaigns]).decode()
    written = session.execute(_UPSERT_CAMPAIGNS, {"account_id": account_id, "rows": rows, "now": now}).all()
    added = sum(row.inserted for row in written)
    removed = sum(not row.inserted and row.status == REMOVED for row in written)
    return added, len(written) - added - removed, removed


def _row(campaign: values.Campaign) -> dict[str, object]:
    budget = campaign.budget
    amount = None if budget.amount is None else str(budget.amount)
    of_budget = zip(OF_BUDGET, (budget.kind, amount, budget.currency, budget.budget_id), strict=True)
    return {name: getattr(campaign, name) for name in OF_CAMPAIGN} | dict(of_budget)


_MISSING = text("""
    SELECT external_id, missing_since FROM campaigns
    WHERE account_id = :account AND status <> 'removed' AND (:product = '' OR ad_product = :product)
        AND external_id <> ALL(:listed)""")
_REMOVE = text("""
    UPDATE campaigns SET status = 'removed', missing_since = NULL, changed_at = :now
    WHERE account_id = :account AND external_id = ANY(:ids)""")
_HOLD = text("""
    UPDATE campaigns SET missing_since = least(missing_since, :now)
    WHERE account_id = :account AND external_id = ANY(:ids)""")


def missing_campaigns(
    session: Session, account_id: int, product: str, listed: Sequence[str]
) -> dict[str, datetime | None]:
    """Return the campaigns that a complete listing does not have and that are not removed yet, with `missing_since`.

    On a platform without ad products, `product` is empty.
    """
    mine = {"account": account_id, "product": product, "listed": listed}
    return {row.external_id: row.missing_since for row in session.execute(_MISSING, mine)}


def remove_campaigns(
    session: Session, account_id: int, removed: Sequence[str], held: Sequence[str], now: datetime
) -> None:
    """Mark campaigns as removed, and those to be held as missing."""
    for statement, ids in ((_REMOVE, removed), (_HOLD, held)):
        if ids:
            session.execute(statement, {"account": account_id, "ids": ids, "now": now})


_METRICS = TypeAdapter(Sequence[values.DailyMetrics])
_OF_DAY = tuple(values.DailyMetrics.model_fields)
_REPLACE = text(f"""
    WITH written AS (
        {upsert("campaign_daily_metrics", ("campaign_id", "day"), _OF_DAY, "ad_product")}
    ), lacking AS (
        SELECT campaign_id, day, (spend = 0 OR missing_since <= :agreed) IS TRUE AS is_over
        FROM campaign_daily_metrics AS known
        WHERE account_id = :account_id AND day BETWEEN :since AND :until AND ad_product IS NOT DISTINCT FROM :ad_product
            AND :is_whole AND (campaign_id, day) NOT IN (
                SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS read (campaign_id text, day date))
            AND (NOT :without_deleted OR EXISTS (
                SELECT FROM campaigns AS listed
                WHERE listed.account_id = :account_id AND external_id = campaign_id AND status <> 'removed'))
    ), deleted AS (
        DELETE FROM campaign_daily_metrics AS known USING lacking
        WHERE is_over AND account_id = :account_id
            AND known.campaign_id = lacking.campaign_id AND known.day = lacking.day
        RETURNING 1
    ), held AS (
        UPDATE campaign_daily_metrics AS known SET missing_since = least(missing_since, :now) FROM lacking
        WHERE NOT is_over AND account_id = :account_id
            AND known.campaign_id = lacking.campaign_id AND known.day = lacking.day
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM written) + (SELECT count(*) FROM deleted), (SELECT count(*) FROM held)
""")  # noqa: S608 - constants


class Replaced(NamedTuple):
    """How many days were written or deleted, and how many are held although the reply does not have them."""

    written: int
    held: int


def replace_window(
    session: Session, account_id: int, product: str, reading: values.MetricsReading, now: datetime
) -> Replaced:
    """Replace the stored days of a window: write new and changed ones, and delete those that the reading does not have.

    A day with spend is held, and deleted only if an earlier reading did not have it either. Nothing is deleted or held
    if rows were left out of the reading.
    """
    row = {"account_id": account_id, "ad_product": product or None, "now": now, "agreed": now - AGREES_AFTER}
    row |= {"rows": _METRICS.dump_json(reading.rows).decode(), **reading.window.model_dump()}
    row |= {"is_whole": not reading.left_out, "without_deleted": reading.without_deleted}
    return Replaced(*session.execute(_REPLACE, row).one())


_TOTALS = TypeAdapter(Sequence[values.DailyTotal])
_OF_CAMPAIGNS = """(
        SELECT day, sum(spend) AS spend FROM campaign_daily_metrics
        WHERE account_id = :account AND day BETWEEN :since AND :until GROUP BY day
    ) AS m"""
_WRITE_TOTALS = text(f"""
    INSERT INTO account_daily_totals AS known (account_id, day, spend, unattributed, currency, changed_at)
    SELECT :account, t.day, t.spend, t.spend - coalesce(m.spend, 0), t.currency, :now
    FROM json_to_recordset(CAST(:rows AS json)) AS t (day date, spend numeric, currency text)
    LEFT JOIN {_OF_CAMPAIGNS} ON m.day = t.day
    ON CONFLICT (account_id, day) DO UPDATE
    SET spend = excluded.spend, unattributed = excluded.unattributed, currency = excluded.currency,
        missing_since = NULL, changed_at = :now
    WHERE (known.spend, known.unattributed, known.currency, known.missing_since)
        IS DISTINCT FROM (excluded.spend, excluded.unattributed, excluded.currency, NULL)
""")  # noqa: S608 - constants
_END_TOTALS = text("""
    UPDATE account_daily_totals AS t
    SET spend = CASE WHEN t.missing_since <= :agreed THEN 0 ELSE t.spend END,
        unattributed = CASE WHEN t.missing_since <= :agreed THEN 0 ELSE t.unattributed END,
        missing_since = CASE WHEN t.missing_since <= :agreed THEN NULL ELSE least(t.missing_since, :now) END,
        changed_at = CASE WHEN t.missing_since <= :agreed THEN :now ELSE t.changed_at END
    WHERE t.account_id = :account AND t.day BETWEEN :since AND :until AND t.spend <> 0
        AND t.day NOT IN (SELECT day FROM json_to_recordset(CAST(:rows AS json)) AS listed (day date))
    RETURNING t.missing_since IS NOT NULL
""")
_LOWER_UNATTRIBUTED = text(f"""
    UPDATE account_daily_totals AS t SET unattributed = greatest(0, t.spend - m.spend) FROM {_OF_CAMPAIGNS}
    WHERE t.account_id = :account AND t.day = m.day AND t.unattributed > greatest(0, t.spend - m.spend)
""")  # noqa: S608 - constants


def lower_unattributed(session: Session, account_id: int, window: values.DateWindow) -> None:
    """Lower the unattributed spend by what campaigns have reported since the totals were read."""
    session.execute(_LOWER_UNATTRIBUTED, {"account": account_id, **window.model_dump()})


def write_totals(
    session: Session, account_id: int, window: values.DateWindow, reading: values.TotalsReading, now: datetime
) -> int:
    """Write an account's spend per day, and how much of it belongs to no stored campaign.

    A day with spend that the reading has as zero, or not at all, is held. It becomes zero only if an earlier reading
    agrees. Nothing is held if rows were left out. Return how many days are held.
    """
    rows = _TOTALS.dump_json([total for total in reading.days if total.spend]).decode()
    mine = {"account": account_id, **window.model_dump(), "rows": rows, "now": now}
    session.execute(_WRITE_TOTALS, mine)
    return 0 if reading.left_out else sum(session.scalars(_END_TOTALS, mine | {"agreed": now - AGREES_AFTER}))


def record_run(session: Session, run_id: UUID, summary: SyncSummary, started_at: datetime) -> None:
    """Write the summary of a run, or replace it."""
    row = {"mode": summary.mode.value, "started_at": started_at, "summary": summary.model_dump(mode="json")}
    session.execute(insert(SyncRun).values(id=run_id, **row).on_conflict_do_update(index_elements=["id"], set_=row))


def read_summary(session: Session, run_id: UUID) -> SyncSummary | None:
    """Return the summary of a run, or None if the run has not ended."""
    summary = session.scalar(select(SyncRun.summary).where(SyncRun.id == run_id))
    return None if summary is None else SyncSummary.model_validate(summary)


def recent_syncs(session: Session, limit: int) -> Sequence[Row[Any]]:
    """Return the id, start and counts of accounts of the last runs, the oldest first."""
    counts = (SyncRun.summary[name].as_integer().label(name) for name in ("synced", "failed", "put_off", "waiting"))
    statement = select(SyncRun.id, SyncRun.started_at, *counts).order_by(SyncRun.started_at.desc()).limit(limit)
    return session.execute(statement).all()[::-1]
