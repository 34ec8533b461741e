"""Questions about the parts of an account's sync: how each stands, and the reports that are outstanding."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Text,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from sivera import values
from sivera.models import AdAccount, ReportRequest, SyncPart, Team
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.reports import KnownRequest, is_given_up
from sivera.sync.rules import NO_TROUBLE, account_state
from sivera.upsert import precompiled

STATE = tuple(PartState.model_fields)
DESCRIBED = ("credential_id", *values.AdAccount.model_fields)
REQUESTS_KEPT = timedelta(days=2)

_PARTS = cast("Table", SyncPart.__table__)
_ACCOUNTS, _TEAMS = cast("Table", AdAccount.__table__), cast("Table", Team.__table__)
_NOW = func.clock_timestamp().label("now")
_STATE = [_PARTS.c[name] for name in STATE]
_DESCRIBED = (*(_ACCOUNTS.c[name] for name in DESCRIBED), _TEAMS.c.meta_conversion)
_TARGET = precompiled(
    select(_NOW, *_DESCRIBED, _PARTS.c.kind, _PARTS.c.ad_product, *_STATE)
    .select_from(
        _ACCOUNTS.join(_TEAMS, _TEAMS.c.id == _ACCOUNTS.c.team_id).outerjoin(
            _PARTS, _PARTS.c.account_id == _ACCOUNTS.c.id
        )
    )
    .where(_ACCOUNTS.c.id == bindparam("account"))
)


def read_target(session: Session, account_id: int) -> Sequence[Row[Any]]:
    """Return the time, an account and the state of its parts: a row a part, one if it has none, none if it is gone."""
    return session.execute(_TARGET, {"account": account_id}).all()


def state_of(row: Row[Any]) -> PartState:
    """Return the state of a part from a row that has its columns; a part without a row is new."""
    found = {name: value for name in STATE if (value := getattr(row, name)) is not None}
    return PartState.model_validate(found)


_KEY = ("account_id", "kind", "ad_product")
_VALUES: dict[str, ColumnElement[Any]] = {
    name: bindparam(name, type_=_PARTS.c[name].type)
    for name in (*_KEY, *STATE)
    if name not in ("left_out_rows", "not_enabled_since")
}
_INSERT = insert(_PARTS).values({**_VALUES, "left_out_rows": sql_cast(bindparam("left_out_rows", type_=Text), JSONB)})
# An approval that came since the sync began is for the next one.
_APPROVED = case((_PARTS.c.approved == bindparam("seen"), _INSERT.excluded.approved), else_=_PARTS.c.approved)
_KNOWN = bindparam("known", type_=_PARTS.c.as_of.type)
_WRITE_PART = _INSERT.on_conflict_do_update(
    index_elements=_KEY,
    set_={name: _INSERT.excluded[name] for name in STATE} | {"approved": _APPROVED},
    where=or_(_PARTS.c.as_of.is_not_distinct_from(_KNOWN), _PARTS.c.as_of <= _INSERT.excluded.as_of),
).returning(_PARTS.c.account_id)
_WRITE = precompiled(_WRITE_PART)


def _sums(prefix: str) -> dict[str, ColumnElement[Any]]:
    return {name: bindparam(f"{prefix}{name}", type_=_ACCOUNTS.c[name].type) for name in account_state({})}


_WRITTEN = _WRITE_PART.cte("written")
_WRITE_AND_SUM_UP = precompiled(
    update(_ACCOUNTS).where(_ACCOUNTS.c.id == _WRITTEN.c.account_id).values(_sums("sum_")).returning(_ACCOUNTS.c.id)
)


def write_part(
    session: Session,
    account_id: int,
    part: Part,
    state: PartState,
    known: PartState,
    summed: Mapping[Part, PartState] | None = None,
) -> bool:
    """Write the state of a part, unless a sync that began later was faster. Return whether it was written.

    `known` is its state when the sync began: if `as_of` is the same still, no other sync was there, whatever its value.
    With `summed`, the states of all parts, the same statement sums the account up.
    """
    row = state.model_dump()
    rows = row["left_out_rows"]
    row["left_out_rows"] = None if rows is None else orjson.dumps(rows).decode()
    row |= {"account_id": account_id, "kind": part.kind, "ad_product": part.product}
    row |= {"known": known.as_of, "seen": known.approved}
    if summed is None:
        return session.scalar(_WRITE, row) is not None
    row |= {f"sum_{name}": value for name, value in account_state(summed).items()}
    return session.scalar(_WRITE_AND_SUM_UP, row) is not None


def expect_nothing(session: Session, account_id: int, product: str, now: datetime) -> None:
    """Mark the parts of an ad product that the account does not have, until one of them is written again."""
    mine = (SyncPart.account_id == account_id, SyncPart.ad_product == product, SyncPart.not_enabled_since.is_(None))
    session.execute(update(SyncPart).where(*mine).values({**NO_TROUBLE, "not_enabled_since": now}))
    session.execute(
        delete(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ad_product == product)
    )


_SUM_UP = precompiled(update(_ACCOUNTS).where(_ACCOUNTS.c.id == bindparam("account")).values(_sums("")))


def sum_up(session: Session, account_id: int, states: Mapping[Part, PartState]) -> None:
    """Write the columns of an account that sum up its parts."""
    session.execute(_SUM_UP, {"account": account_id, **account_state(states)})


def parts_by_account(session: Session) -> dict[int, list[SyncPart]]:
    """Return the parts of every account, by our id of the account, without ad products that it does not have."""
    found: dict[int, list[SyncPart]] = {}
    expected = select(SyncPart).where(SyncPart.not_enabled_since.is_(None))
    for part in session.scalars(expected.order_by(SyncPart.account_id, SyncPart.kind, SyncPart.ad_product)):
        found.setdefault(part.account_id, []).append(part)
    return found


def has_open_requests(session: Session, account_id: int) -> bool:
    """Whether a platform is preparing a report for the account."""
    is_open = (ReportRequest.account_id == account_id, ReportRequest.ended_at.is_(None))
    return session.scalar(select(ReportRequest.report_id).where(*is_open).limit(1)) is not None


def approve_removals(session: Session, account_id: int) -> int:
    """Let the next full sync remove the campaigns that are held. Return how many there are."""
    held = (SyncPart.account_id == account_id, SyncPart.kind == PartKind.CAMPAIGNS, SyncPart.held > 0)
    return sum(session.scalars(update(SyncPart).where(*held).values(approved=SyncPart.held).returning(SyncPart.held)))


_REQUESTED = cast("Table", ReportRequest.__table__)
_REQUESTS = precompiled(
    select(_REQUESTED)
    .where(_REQUESTED.c.account_id == bindparam("account"))
    .order_by(_REQUESTED.c.requested_at, _REQUESTED.c.report_id)
)


def read_requests(session: Session, account_id: int) -> dict[str, list[KnownRequest]]:
    """Return an account's requests for reports by ad product, the oldest first, also those that ended lately."""
    found: dict[str, list[KnownRequest]] = {}
    for row in session.execute(_REQUESTS, {"account": account_id}):
        request = KnownRequest(
            report_id=row.report_id,
            ad_product=row.ad_product,
            window=values.DateWindow(since=row.since, until=row.until),
            requested_at=row.requested_at,
            failed_collections=row.failed_collections,
            ended_at=row.ended_at,
            collected=row.collected,
        )
        found.setdefault(row.ad_product, []).append(request)
    return found


_ASKED = ("account_id", "report_id", "ad_product", "since", "until", "requested_at")
_ADD_REQUEST = precompiled(
    insert(_REQUESTED)
    .values({name: bindparam(name, type_=_REQUESTED.c[name].type) for name in _ASKED})
    .on_conflict_do_update(
        index_elements=["account_id", "report_id"],
        set_={"failed_collections": literal_column("0"), "ended_at": null()},
        where=_REQUESTED.c.collected.is_(False),
    )
)


def add_request(session: Session, account_id: int, request: values.ReportRequest) -> None:
    """Remember a request.

    A platform that takes it for a duplicate may name a report that was given up: that one is open again.
    """
    row = {
        "account_id": account_id,
        "report_id": request.report_id,
        "ad_product": request.ad_product,
        "since": request.window.since,
        "until": request.window.until,
        "requested_at": request.requested_at,
    }
    session.execute(_ADD_REQUEST, row)


_OF_ACCOUNT = _REQUESTED.c.account_id == bindparam("account")
_END_REQUEST = precompiled(
    update(_REQUESTED)
    .add_cte(delete(_REQUESTED).where(_OF_ACCOUNT, _REQUESTED.c.ended_at < bindparam("forgotten")).cte("forgotten"))
    .where(_OF_ACCOUNT, _REQUESTED.c.report_id == bindparam("report"))
    .values(ended_at=bindparam("now"), collected=bindparam("collected"))
)


def end_request(session: Session, account_id: int, report_id: str, now: datetime, *, collected: bool) -> None:
    """Record that a request ended: it was collected, or given up. Forget those that ended long ago."""
    row = {"account": account_id, "report": report_id, "now": now, "collected": collected}
    session.execute(_END_REQUEST, row | {"forgotten": now - REQUESTS_KEPT})


def leave_request(
    session: Session, account_id: int, request: KnownRequest, now: datetime, *, failed: bool, over: bool
) -> KnownRequest:
    """Record that a report was not collected, and whether that was a failure; end it if it is over or given up.

    Return the request as it is now.
    """
    request = request.model_copy(update={"failed_collections": request.failed_collections + failed})
    if over or is_given_up(request, now):
        end_request(session, account_id, request.report_id, now, collected=False)
        return request.model_copy(update={"ended_at": now})
    if failed:
        mine = (_REQUESTED.c.account_id == account_id, _REQUESTED.c.report_id == request.report_id)
        session.execute(update(_REQUESTED).where(*mine).values(failed_collections=request.failed_collections))
    return request
