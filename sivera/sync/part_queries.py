"""Questions about the parts of an account's sync: how each stands, and the reports that are outstanding."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
from sqlalchemy import ColumnElement, Row, Table, Text, and_, bindparam, delete, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from sivera import values
from sivera.models import AdAccount, ReportRequest, SyncPart, Team
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.reports import KnownRequest, is_given_up
from sivera.sync.rules import account_state
from sivera.upsert import precompiled

STATE = tuple(PartState.model_fields)
DESCRIBED = ("credential_id", *values.AdAccount.model_fields)
REQUESTS_KEPT = timedelta(days=2)

_PARTS = cast("Table", SyncPart.__table__)
_TARGET = (
    select(
        *(getattr(AdAccount, name) for name in DESCRIBED if name != "status"),
        AdAccount.status,
        SyncPart.kind,
        SyncPart.ad_product,
        Team.meta_conversion,
        *(getattr(SyncPart, name) for name in STATE),
    )
    .join(Team, Team.id == AdAccount.team_id)
    .outerjoin(SyncPart, SyncPart.account_id == AdAccount.id)
    .where(AdAccount.id == bindparam("account"))
)


def read_target(session: Session, account_id: int) -> Sequence[Row[Any]]:
    """Return an account and the state of its parts, a row a part; one row if it has none, none if it is gone."""
    return session.execute(_TARGET, {"account": account_id}).all()


def state_of(row: Row[Any]) -> PartState:
    """Return the state of a part from a row that has its columns; a part without a row is new."""
    found = {name: value for name in STATE if (value := getattr(row, name)) is not None}
    return PartState.model_validate(found)


_LOCK = (
    select(AdAccount.id, *(getattr(SyncPart, name) for name in STATE))
    .outerjoin(
        SyncPart,
        and_(
            SyncPart.account_id == AdAccount.id,
            SyncPart.kind == bindparam("kind"),
            SyncPart.ad_product == bindparam("product"),
        ),
    )
    .where(AdAccount.id == bindparam("account"))
    .with_for_update(of=AdAccount)
)


def lock_part(session: Session, account_id: int, part: Part) -> PartState | None:
    """Lock an account and return the state of a part of it; None if the account is gone."""
    row = session.execute(_LOCK, {"account": account_id, "kind": part.kind, "product": part.product}).one_or_none()
    return None if row is None else state_of(row)


_KEY = ("account_id", "kind", "ad_product")
_VALUES: dict[str, ColumnElement[Any]] = {
    name: bindparam(name, type_=_PARTS.c[name].type) for name in (*_KEY, *STATE) if name != "left_out_rows"
}
_INSERT = insert(_PARTS).values({**_VALUES, "left_out_rows": sql_cast(bindparam("left_out_rows", type_=Text), JSONB)})
_WRITE = precompiled(
    _INSERT.on_conflict_do_update(index_elements=_KEY, set_={name: _INSERT.excluded[name] for name in STATE})
)


def write_part(session: Session, account_id: int, part: Part, state: PartState) -> None:
    """Write the state of a part."""
    row = state.model_dump()
    rows = row["left_out_rows"]
    row["left_out_rows"] = None if rows is None else orjson.dumps(rows).decode()
    session.execute(_WRITE, row | {"account_id": account_id, "kind": part.kind, "ad_product": part.product})


def forget_product(session: Session, account_id: int, product: str) -> None:
    """Forget the parts of an ad product that the account does not have."""
    session.execute(delete(SyncPart).where(SyncPart.account_id == account_id, SyncPart.ad_product == product))
    session.execute(
        delete(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ad_product == product)
    )


_STATES = select(SyncPart.kind, SyncPart.ad_product, *(getattr(SyncPart, name) for name in STATE)).where(
    SyncPart.account_id == bindparam("account")
)


def sum_up(session: Session, account_id: int) -> None:
    """Write the columns of an account that sum up its parts."""
    states = {
        Part(kind=PartKind(row.kind), product=row.ad_product): state_of(row)
        for row in session.execute(_STATES, {"account": account_id})
    }
    mine = AdAccount.id == account_id
    session.execute(
        update(AdAccount).where(mine).values(account_state(states)), execution_options={"synchronize_session": False}
    )


def parts_by_account(session: Session) -> dict[int, list[SyncPart]]:
    """Return the parts of every account, by our id of the account."""
    found: dict[int, list[SyncPart]] = {}
    for part in session.scalars(select(SyncPart).order_by(SyncPart.account_id, SyncPart.kind, SyncPart.ad_product)):
        found.setdefault(part.account_id, []).append(part)
    return found


def has_open_requests(session: Session, account_id: int) -> bool:
    """Whether a platform is preparing a report for the account."""
    is_open = (ReportRequest.account_id == account_id, ReportRequest.ended_at.is_(None))
    return session.scalar(select(ReportRequest.report_id).where(*is_open).limit(1)) is not None


def approve_removals(session: Session, account_id: int) -> int:
    """Let the next full sync remove the campaigns that are held. Return how many there are."""
    listings = and_(SyncPart.account_id == account_id, SyncPart.kind == PartKind.CAMPAIGNS, SyncPart.held > 0)
    return sum(
        session.scalars(update(SyncPart).where(listings).values(approved=SyncPart.held).returning(SyncPart.held))
    )


def read_requests(session: Session, account_id: int, product: str) -> list[KnownRequest]:
    """Return the requests for reports of an ad product, the oldest first, also those that ended lately."""
    mine = select(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ad_product == product)
    return [
        KnownRequest(
            report_id=row.report_id,
            ad_product=row.ad_product,
            window=values.DateWindow(since=row.since, until=row.until),
            requested_at=row.requested_at,
            failed_collections=row.failed_collections,
            ended_at=row.ended_at,
            collected=row.collected,
        )
        for row in session.scalars(mine.order_by(ReportRequest.requested_at))
    ]


def add_request(session: Session, account_id: int, request: values.ReportRequest) -> None:
    """Remember a request, and forget those that ended long ago."""
    row = {
        "account_id": account_id,
        "report_id": request.report_id,
        "ad_product": request.ad_product,
        "since": request.window.since,
        "until": request.window.until,
        "requested_at": request.requested_at,
    }
    session.execute(insert(ReportRequest).values(row).on_conflict_do_nothing())
    old = request.requested_at - REQUESTS_KEPT
    session.execute(delete(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ended_at < old))


def end_request(session: Session, account_id: int, report_id: str, now: datetime, *, collected: bool) -> None:
    """Record that a request ended: it was collected, or given up."""
    _change_request(session, account_id, report_id, ended_at=now, collected=collected)


def leave_request(
    session: Session, account_id: int, request: KnownRequest, now: datetime, *, failed: bool, over: bool
) -> None:
    """Record that a report was not collected, and whether that was a failure; end it if it is over or given up."""
    request = request.model_copy(update={"failed_collections": request.failed_collections + failed})
    if over or is_given_up(request, now):
        end_request(session, account_id, request.report_id, now, collected=False)
    elif failed:
        _change_request(session, account_id, request.report_id, failed_collections=request.failed_collections)


def _change_request(session: Session, account_id: int, report_id: str, **changes: object) -> None:
    mine = (ReportRequest.account_id == account_id, ReportRequest.report_id == report_id)
    session.execute(
        update(ReportRequest).where(*mine).values(changes), execution_options={"synchronize_session": False}
    )
