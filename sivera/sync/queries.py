"""Questions about campaigns."""

from collections.abc import Iterable
from datetime import datetime

import orjson
from sqlalchemy import Row, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Text

from sivera import values
from sivera.models import Campaign
from sivera.upsert import upsert

COLUMNS = (
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
REMOVED = values.CampaignStatus.REMOVED.value


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


_UPSERT = upsert(Campaign, key=("external_id",), columns=COLUMNS, returning=("status",))


def upsert_campaigns(
    session: Session, account_id: int, campaigns: Iterable[values.Campaign], now: datetime
) -> tuple[int, int, int]:
    """Write an account's campaigns; return how many are new, changed, and changed to removed."""
    rows = orjson.dumps([_row(campaign) for campaign in campaigns]).decode()
    written = session.execute(_UPSERT, {"account_id": account_id, "rows": rows, "now": now}).all()
    added = sum(row.inserted for row in written)
    removed = sum(not row.inserted and row.status == REMOVED for row in written)
    return added, len(written) - added - removed, removed


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
    """Count an account's campaigns that stand as not removed: those missing from a listing, and all."""
    return session.execute(_COUNT_MISSING, {"account": account_id, "listed": listed}).one()


def mark_missing_removed(session: Session, account_id: int, listed: list[str], now: datetime) -> None:
    """Mark as removed the campaigns that a complete listing no longer holds."""
    session.execute(
        _REMOVE_MISSING,
        {"account": account_id, "listed": listed, "at": now},
        execution_options={"synchronize_session": False},
    )
