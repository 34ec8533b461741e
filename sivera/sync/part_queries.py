"""Queries on the parts of an account's sync and on the reports that were requested for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, delete, select, text, update
from sqlalchemy.orm import Session

from sivera import values
from sivera.models import ReportRequest, SyncPart
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.reports import KnownRequest
from sivera.sync.rules import NOTHING_WRONG, account_state

STATE = tuple(PartState.model_fields)
REQUESTS_KEPT = timedelta(days=2)

_TARGET = text(f"""
    SELECT clock_timestamp() AS now, a.credential_id, t.meta_conversion, p.kind, p.ad_product,
           {", ".join(f"a.{name}" for name in values.AdAccount.model_fields)},
           {", ".join(f"p.{name}" for name in STATE)}
    FROM ad_accounts AS a JOIN teams AS t ON t.id = a.team_id LEFT JOIN sync_parts AS p ON p.account_id = a.id
    WHERE a.id = :account""")  # noqa: S608 - constants


def read_target(session: Session, account_id: int) -> Sequence[Row[Any]]:
    """Return the time, an account and its parts, one row per part: one without parts, none without account."""
    return session.execute(_TARGET, {"account": account_id}).all()


_SUMS = ", ".join(f"{name} = :sum_{name}" for name in account_state({}))
# An approval given since the sync started is kept for the next sync.
_WRITE = text(f"""
    WITH written AS (
        INSERT INTO sync_parts AS part (account_id, kind, ad_product, {", ".join(STATE)})
        VALUES (:account, :kind, :product, {", ".join(f":{name}" for name in STATE)})
        ON CONFLICT (account_id, kind, ad_product) DO UPDATE
        SET {", ".join(f"{name} = excluded.{name}" for name in STATE if name != "approved")},
            approved = CASE part.approved WHEN :seen THEN excluded.approved ELSE part.approved END
        WHERE part.as_of IS NOT DISTINCT FROM :known OR part.as_of <= excluded.as_of
        RETURNING account_id
    )
    UPDATE ad_accounts SET {_SUMS} FROM written WHERE id = account_id RETURNING id""")  # noqa: S608 - constants
_SUM_UP = text(f"UPDATE ad_accounts SET {_SUMS} WHERE id = :account")  # noqa: S608 - constants


def write_part(
    session: Session, account_id: int, part: Part, known: PartState, states: Mapping[Part, PartState]
) -> bool:
    """Write a part's state and its account's summary, unless a later sync was faster. Return whether it was written.

    `states` holds all parts, `known` what was stored of this one when the sync started. If the stored `as_of` is still
    that of `known`, no other sync has written, even if it is ahead of the clock.
    """
    row = states[part].model_dump() | {"account": account_id, "kind": part.kind, "product": part.product}
    rows = row["left_out_rows"]
    row["left_out_rows"] = None if rows is None else orjson.dumps(rows).decode()
    row |= {"known": known.as_of, "seen": known.approved}
    return session.scalar(_WRITE, row | _sums(states)) is not None


def expect_nothing(
    session: Session, account_id: int, product: str, now: datetime, states: Mapping[Part, PartState]
) -> None:
    """Mark the parts of a product as not enabled until one is written again. `states` holds all other parts."""
    mine = (SyncPart.account_id == account_id, SyncPart.ad_product == product, SyncPart.not_enabled_since.is_(None))
    session.execute(update(SyncPart).where(*mine).values({**NOTHING_WRONG, "not_enabled_since": now}))
    session.execute(
        delete(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ad_product == product)
    )
    session.execute(_SUM_UP, {"account": account_id, **_sums(states)})


def _sums(states: Mapping[Part, PartState]) -> dict[str, object]:
    return {f"sum_{name}": value for name, value in account_state(states).items()}


def parts_by_account(session: Session) -> dict[int, list[SyncPart]]:
    """Return the parts of every account by our account id, without ad products that the account does not have."""
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
    """Allow the next full sync to remove the campaigns that are held. Return how many there are."""
    held = (SyncPart.account_id == account_id, SyncPart.kind == PartKind.CAMPAIGNS, SyncPart.held > 0)
    return sum(session.scalars(update(SyncPart).where(*held).values(approved=SyncPart.held).returning(SyncPart.held)))


_REQUESTS = text("""
    SELECT report_id, ad_product, json_build_object('since', since, 'until', until) AS window, requested_at,
           failed_collections, ended_at, collected
    FROM report_requests WHERE account_id = :account ORDER BY requested_at, report_id""")


def read_requests(session: Session, account_id: int) -> list[KnownRequest]:
    """Return an account's requests for reports, the oldest first, including those that ended lately."""
    return [
        KnownRequest.model_validate(row, from_attributes=True)
        for row in session.execute(_REQUESTS, {"account": account_id})
    ]


_ADD_REQUEST = text("""
    INSERT INTO report_requests AS known (account_id, report_id, ad_product, since, until, requested_at)
    VALUES (:account, :report_id, :ad_product, :since, :until, :requested_at)
    ON CONFLICT (account_id, report_id) DO UPDATE SET failed_collections = 0, ended_at = NULL WHERE NOT known.collected
""")


def add_request(session: Session, account_id: int, request: values.ReportRequest) -> None:
    """Store a request. If the platform names a report that was given up, as for a duplicate, it is open again."""
    asked = request.model_dump(exclude={"window"}) | request.window.model_dump()
    session.execute(_ADD_REQUEST, {"account": account_id, **asked})


_WRITE_REQUEST = text("""
    WITH forgotten AS (DELETE FROM report_requests WHERE account_id = :account AND ended_at < :forgotten)
    UPDATE report_requests SET failed_collections = :failed_collections, ended_at = :ended_at, collected = :collected
    WHERE account_id = :account AND report_id = :report_id""")


def write_request(session: Session, account_id: int, request: KnownRequest, now: datetime) -> None:
    """Update a request, and delete those of the account that ended long ago."""
    row = request.model_dump(include={"report_id", "failed_collections", "ended_at", "collected"})
    session.execute(_WRITE_REQUEST, row | {"account": account_id, "forgotten": now - REQUESTS_KEPT})
