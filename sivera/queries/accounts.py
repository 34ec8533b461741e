"""Questions about ad accounts: which are due, how to sync one, and how it went."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Row, Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera import values
from sivera.models import AdAccount, PlatformCredential, ReportRequest, Team
from sivera.values import PlatformName

ACTIVE = "active"


class AccountFilter(NamedTuple):
    """Which accounts a run is about; empty means all."""

    platforms: Sequence[PlatformName] = ()
    teams: Sequence[str] = ()
    account_ids: Sequence[int] = ()


def _chosen(wanted: AccountFilter) -> Select[tuple[int, str, str]]:
    statement = (
        select(AdAccount.id, AdAccount.platform, AdAccount.name)
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .join(Team, Team.id == AdAccount.team_id)
    )
    if wanted.platforms:
        statement = statement.where(AdAccount.platform.in_([p.value for p in wanted.platforms]))
    if wanted.teams:
        statement = statement.where(Team.name.in_(wanted.teams))
    if wanted.account_ids:
        statement = statement.where(AdAccount.id.in_(wanted.account_ids))
    return statement


def due_accounts(session: Session, wanted: AccountFilter, now: datetime) -> Sequence[Row[tuple[int, str, str]]]:
    """Return id, platform and name of the accounts to sync, least recently synced first, platforms taking turns.

    Left out: closed accounts, accounts whose grant waits for a human, and those in the slow lane until their time;
    accounts that are asked for by id are taken from the slow lane.
    """
    oldest = (AdAccount.last_synced_at.asc().nulls_first(), AdAccount.id)
    statement = _chosen(wanted).where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE)
    if not wanted.account_ids:
        statement = statement.where(or_(AdAccount.next_attempt_at.is_(None), AdAccount.next_attempt_at <= now))
    turn = func.row_number().over(partition_by=AdAccount.platform, order_by=oldest)
    return session.execute(statement.order_by(turn, *oldest)).all()


def waiting_accounts(session: Session, wanted: AccountFilter) -> Sequence[Row[tuple[int, str, str]]]:
    """Return id, platform and name of the accounts whose grant waits for a human."""
    return session.execute(
        _chosen(wanted).where(AdAccount.status == ACTIVE, PlatformCredential.status != ACTIVE).order_by(AdAccount.id)
    ).all()


def count_resting(session: Session, wanted: AccountFilter, now: datetime) -> int:
    """Count the accounts that the slow lane keeps from being due."""
    resting = (
        _chosen(wanted)
        .where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE, AdAccount.next_attempt_at > now)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(resting)) or 0


def unknown_ids(session: Session, account_ids: Sequence[int]) -> list[int]:
    """Return those of the ids that no account has."""
    known = set(session.scalars(select(AdAccount.id).where(AdAccount.id.in_(account_ids))))
    return [account_id for account_id in account_ids if account_id not in known]


def unknown_teams(session: Session, names: Sequence[str]) -> list[str]:
    """Return those of the names that no team has."""
    known = set(session.scalars(select(Team.name).where(Team.name.in_(names))))
    return [name for name in names if name not in known]


def get_account(session: Session, account_id: int) -> AdAccount | None:
    """Return an account, or None."""
    return session.get(AdAccount, account_id)


def lock_account(session: Session, account_id: int) -> AdAccount | None:
    """Return an account with its row locked until the transaction ends, or None."""
    return session.get(AdAccount, account_id, with_for_update=True)


def outstanding_reports(session: Session, account_id: int) -> list[values.ReportRequest]:
    """Return the reports that were asked for and not yet collected."""
    rows = session.scalars(select(ReportRequest).where(ReportRequest.account_id == account_id))
    return [
        values.ReportRequest(
            report_id=row.report_id,
            ad_product=row.ad_product,
            window=values.DateWindow(since=row.since, until=row.until),
            requested_at=row.requested_at,
        )
        for row in rows
    ]


def replace_outstanding_reports(session: Session, account_id: int, reports: Sequence[values.ReportRequest]) -> None:
    """Remember exactly these reports as outstanding."""
    session.query(ReportRequest).where(
        ReportRequest.account_id == account_id, ReportRequest.report_id.not_in([r.report_id for r in reports])
    ).delete(synchronize_session=False)
    if reports:
        rows = [
            {
                "account_id": account_id,
                "report_id": report.report_id,
                "ad_product": report.ad_product,
                "since": report.window.since,
                "until": report.window.until,
                "requested_at": report.requested_at,
            }
            for report in reports
        ]
        session.execute(insert(ReportRequest).values(rows).on_conflict_do_nothing())


def record_attempt(session: Session, account_id: int, now: datetime) -> None:
    """Write down that a sync of the account begins."""
    session.execute(update(AdAccount).where(AdAccount.id == account_id).values(last_attempt_at=now))


def upsert_accounts(
    session: Session, credential: PlatformCredential, accounts: Sequence[values.AdAccount]
) -> Sequence[AdAccount]:
    """Write the accounts that a grant reaches and return those it carries; their sync state stays.

    An account of the team that another working grant already carries stays with that grant, and is not returned.
    """
    if accounts:
        rows = [
            account.model_dump()
            | {"team_id": credential.team_id, "platform": credential.platform, "credential_id": credential.id}
            for account in accounts
        ]
        statement = insert(AdAccount).values(rows)
        broken = select(PlatformCredential.id).where(PlatformCredential.status != ACTIVE)
        described = ("credential_id", "name", "currency", "timezone", "manager_id", "region", "status")
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["team_id", "platform", "external_id"],
                set_={name: statement.excluded[name] for name in described},
                where=or_(AdAccount.credential_id == credential.id, AdAccount.credential_id.in_(broken)),
            )
        )
    return session.scalars(
        select(AdAccount).where(AdAccount.credential_id == credential.id).order_by(AdAccount.id)
    ).all()


def approve_removals(session: Session, account_id: int) -> int | None:
    """Let the next full sync remove what vanished; return how many campaigns were held, None where none are."""
    row = lock_account(session, account_id)
    if row is None or row.removals_held is None:
        return None
    row.removals_approved = True
    return row.removals_held


def list_accounts(session: Session) -> Sequence[Row[tuple[AdAccount, str, str, str | None]]]:
    """Return every account with its team's name, its grant's status and the reason for it."""
    return session.execute(
        select(AdAccount, Team.name, PlatformCredential.status, PlatformCredential.status_reason)
        .join(Team, Team.id == AdAccount.team_id)
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .order_by(Team.name, AdAccount.platform, AdAccount.id)
    ).all()
