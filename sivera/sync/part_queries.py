"""Questions about the parts of an account's sync: how each stands, and the reports that are outstanding."""

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
from sivera.sync.rules import NO_TROUBLE, account_state

STATE = tuple(PartState.model_fields)
REQUESTS_KEPT = timedelta(days=2)

_TARGET = text(f"""
    SELECT clock_timestamp() AS now, a.credential_id, t.meta_conversion, p.kind, p.ad_product,
           {", ".join(f"a.{name}" for name in values.AdAccount.model_fields)},
           {", ".join(f"p.{name}" for name in STATE)}
    FROM ad_accounts AS a JOIN teams AS t ON t.id = a.team_id LEFT JOIN sync_parts AS p ON p.account_id = a.id
    WHERE a.id = :account""")  # noqa: S608 - constants


def read_target(session: Session, account_id: int) -> Sequence[Row[Any]]:
    """Return the time, an account and the state of its parts: a row a part, one if it has none, none if it is gone."""
    return session.execute(_TARGET, {"account": account_id}).all()


_SUMS = ", ".join(f"{name} = :sum_{name}" for name in account_state({}))
# An approval that came since the sync began is for the next one.
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
    """Write the state of a part and sum up its account, unless a sync that began later was faster.

    `states` has the states of all parts, `known` what was stored of this one when the sync began: if `as_of` is the
    same still, no other sync was there, whatever its value. Return whether it was written.
    """
    row = states[part].model_dump() | {"account": account_id, "kind": part.kind, "product": part.product}
    rows = row["left_out_rows"]
    row["left_out_rows"] = None if rows is None else orjson.dumps(rows).decode()
    row |= {"known": known.as_of, "seen": known.approved}
    return session.scalar(_WRITE, row | _sums(states)) is not None


def expect_nothing(
    session: Session, account_id: int, product: str, now: datetime, states: Mapping[Part, PartState]
) -> None:
    """Mark the parts of an ad product that the account does not have, until one of them is written again.

    `states` has those of all other parts.
    """
    mine = (SyncPart.account_id == account_id, SyncPart.ad_product == product, SyncPart.not_enabled_since.is_(None))
    session.execute(update(SyncPart).where(*mine).values({**NO_TROUBLE, "not_enabled_since": now}))
    session.execute(
        delete(ReportRequest).where(ReportRequest.account_id == account_id, ReportRequest.ad_product == product)
    )
    session.execute(_SUM_UP, {"account": account_id, **_sums(states)})


def _sums(states: Mapping[Part, PartState]) -> dict[str, object]:
    return {f"sum_{name}": value for name, value in account_state(states).items()}


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


_REQUESTS = text("SELECT * FROM report_requests WHERE account_id = :account ORDER BY requested_at, report_id")


def read_requests(session: Session, account_id: int) -> list[KnownRequest]:
    """Return an account's requests for reports, the oldest first, also those that ended lately."""
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
        for row in session.execute(_REQUESTS, {"account": account_id})
    ]


_ADD_REQUEST = text("""
    INSERT INTO report_requests AS known (account_id, report_id, ad_product, since, until, requested_at)
    VALUES (:account, :report_id, :ad_product, :since, :until, :requested_at)
    ON CONFLICT (account_id, report_id) DO UPDATE SET failed_collections = 0, ended_at = NULL WHERE NOT known.collected
""")


def add_request(session: Session, account_id: int, request: values.ReportRequest) -> None:
    """Remember a request.

    A platform that takes it for a duplicate may name a report that was given up: that one is open again.
    """
    asked = request.model_dump(exclude={"window"}) | request.window.model_dump()
    session.execute(_ADD_REQUEST, {"account": account_id, **asked})


_WRITE_REQUEST = text("""
    WITH forgotten AS (DELETE FROM report_requests WHERE account_id = :account AND ended_at < :forgotten)
    UPDATE report_requests SET failed_collections = :failed_collections, ended_at = :ended_at, collected = :collected
    WHERE account_id = :account AND report_id = :report_id""")


def write_request(session: Session, account_id: int, request: KnownRequest, now: datetime) -> None:
    """Write how a request stands. Forget those that ended long ago."""
    row = request.model_dump(include={"report_id", "failed_collections", "ended_at", "collected"})
    session.execute(_WRITE_REQUEST, row | {"account": account_id, "forgotten": now - REQUESTS_KEPT})
