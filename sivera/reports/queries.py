"""Questions about reports: who got which, and the figures that stand in them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Text, and_, cast, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from sivera.models import (
    AdAccount,
    Campaign,
    CampaignDailyMetric,
    PlatformCredential,
    Report,
    ReportRequest,
    Team,
)
from sivera.reports.figures import Figures, Line
from sivera.reports.rules import CHART_DAYS, AccountFacts, Outstanding, Period, covers
from sivera.values import PlatformName

FIGURES = tuple(Figures.model_fields)


class ReportTeam(NamedTuple):
    """A team, the days since a day of which it has a report, and the last one due when these were last restated."""

    id: int
    name: str
    timezone: str
    language: str
    restated_through: date | None
    reported: frozenset[date]


def teams_with_reported_days(session: Session, names: Sequence[str], since: date) -> list[ReportTeam]:
    """Return the teams (of these names; none means all) with the days since a day that have a report, by id."""
    days = func.array_agg(Report.day.distinct()).filter(Report.day.is_not(None))
    statement = (
        select(Team.id, Team.name, Team.timezone, Team.language, Team.reports_restated_through, days)
        .outerjoin(Report, and_(Report.team_id == Team.id, Report.day >= since))
        .group_by(Team.id)
        .order_by(Team.id)
    )
    if names:
        statement = statement.where(Team.name.in_(names))
    return [
        ReportTeam(team_id, name, timezone, language, through, frozenset(reported or ()))
        for team_id, name, timezone, language, through, reported in session.execute(statement)
    ]


def first_days(session: Session, team_ids: Sequence[int]) -> dict[int, date]:
    """Return the first day of which each team has figures; teams without any are left out."""
    first = (
        select(func.min(CampaignDailyMetric.day))
        .where(CampaignDailyMetric.account_id == AdAccount.id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(AdAccount.team_id, func.min(first)).where(AdAccount.team_id.in_(team_ids)).group_by(AdAccount.team_id)
    )
    return {team_id: day for team_id, day in rows if day is not None}


def note_restated(session: Session, team_id: int, latest: date) -> None:
    """Note that a team's reports up to the last one due agree with the figures."""
    session.execute(update(Team).where(Team.id == team_id).values(reports_restated_through=latest))


class Version(NamedTuple):
    """The newest version of a report."""

    version: int
    checksum: str


def newest_versions(session: Session, team_id: int, since: date) -> dict[date, Version]:
    """Return the newest version of each report of a team since a day."""
    rows = session.execute(
        select(Report.day, Report.version, Report.checksum)
        .where(Report.team_id == team_id, Report.day >= since)
        .distinct(Report.day)
        .order_by(Report.day, Report.version.desc())
    )
    return {row.day: Version(row.version, row.checksum) for row in rows}


def day_digests(session: Session, team_id: int, since: date, until: date) -> dict[tuple[int, date], str]:
    """Return a digest of all rows of each account and day; what has no row has none."""
    row = func.concat_ws(
        "|",
        CampaignDailyMetric.campaign_id,
        CampaignDailyMetric.currency,
        *(cast(getattr(CampaignDailyMetric, name), Text) for name in FIGURES),
    )
    lines = func.string_agg(row, aggregate_order_by(literal("\n"), CampaignDailyMetric.campaign_id.collate("C")))
    digest = func.encode(func.sha256(func.convert_to(lines, "UTF8")), "hex")
    rows = session.execute(
        select(CampaignDailyMetric.account_id, CampaignDailyMetric.day, digest)
        .join(AdAccount, AdAccount.id == CampaignDailyMetric.account_id)
        .where(AdAccount.team_id == team_id, CampaignDailyMetric.day.between(since, until))
        .group_by(CampaignDailyMetric.account_id, CampaignDailyMetric.day)
    )
    return {(account_id, day): found for account_id, day, found in rows}


def active_accounts(session: Session, team_id: int) -> list[AccountFacts]:
    """Return the accounts of a team that are not closed, by id."""
    rows = session.execute(
        select(AdAccount, PlatformCredential.status)
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .where(AdAccount.team_id == team_id, AdAccount.status == "active")
        .order_by(AdAccount.id)
    )
    return [
        AccountFacts(
            id=account.id,
            platform=PlatformName(account.platform),
            name=account.name,
            timezone=account.timezone,
            is_connected=grant_status == "active",
            synced_as_of=account.synced_as_of,
            reports_as_of=account.reports_as_of,
            connected_at=account.created_at,
        )
        for account, grant_status in rows
    ]


def outstanding_reports(session: Session, team_id: int) -> list[Outstanding]:
    """Return what platforms still prepare for a team's accounts."""
    rows = session.execute(
        select(ReportRequest.account_id, ReportRequest.since, ReportRequest.until)
        .join(AdAccount, AdAccount.id == ReportRequest.account_id)
        .where(AdAccount.team_id == team_id)
    )
    return [Outstanding(*row) for row in rows]


def campaign_lines(session: Session, team_id: int, day: date) -> dict[str, list[Line]]:
    """Return the figures of a team's campaigns in the periods of a day's report, by currency."""
    inside = {period: CampaignDailyMetric.day.between(*covers(period, day)) for period in Period}
    statement = (
        select(
            AdAccount.platform,
            AdAccount.id,
            AdAccount.name,
            CampaignDailyMetric.campaign_id,
            func.coalesce(Campaign.name, CampaignDailyMetric.campaign_id),
            CampaignDailyMetric.currency,
            *(_sum(name, inside[period]) for period in Period for name in FIGURES),
        )
        .join(AdAccount, AdAccount.id == CampaignDailyMetric.account_id)
        .outerjoin(
            Campaign,
            and_(
                Campaign.account_id == CampaignDailyMetric.account_id,
                Campaign.external_id == CampaignDailyMetric.campaign_id,
            ),
        )
        .where(AdAccount.team_id == team_id, or_(*inside.values()))
        .group_by(AdAccount.id, CampaignDailyMetric.campaign_id, Campaign.name, CampaignDailyMetric.currency)
    )
    found: dict[str, list[Line]] = {}
    for platform, account_id, account, campaign_id, campaign, currency, *sums in session.execute(statement):
        figures = (sums[at : at + len(FIGURES)] for at in range(0, len(sums), len(FIGURES)))
        line = Line(
            platform=PlatformName(platform),
            account_id=account_id,
            account=account,
            campaign_id=campaign_id,
            campaign=campaign,
            periods={period: _figures(values) for period, values in zip(Period, figures, strict=True)},
        )
        found.setdefault(currency, []).append(line)
    return found


def _sum(name: str, condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(getattr(CampaignDailyMetric, name)).filter(condition), 0)


def _figures(values: Sequence[Any]) -> Figures:
    # PostgreSQL's sum of a bigint is a numeric.
    return Figures.model_validate(dict(zip(FIGURES, values, strict=True)))


def daily_sums(session: Session, team_id: int, day: date) -> Sequence[Row[Any]]:
    """Return currency, day, platform, spend and conversions of each of the last 28 days until a day, in this order."""
    return session.execute(
        select(
            CampaignDailyMetric.currency,
            CampaignDailyMetric.day,
            AdAccount.platform,
            func.sum(CampaignDailyMetric.spend).label("spend"),
            func.sum(CampaignDailyMetric.conversions).label("conversions"),
        )
        .join(AdAccount, AdAccount.id == CampaignDailyMetric.account_id)
        .where(
            AdAccount.team_id == team_id,
            CampaignDailyMetric.day.between(day - timedelta(days=CHART_DAYS - 1), day),
        )
        .group_by(CampaignDailyMetric.currency, CampaignDailyMetric.day, AdAccount.platform)
        .order_by(CampaignDailyMetric.currency, CampaignDailyMetric.day, AdAccount.platform)
    ).all()


def add_version(
    session: Session,
    team_id: int,
    day: date,
    version: int,
    *,
    checksum: str,
    paths: tuple[str, str],
    summary: Mapping[str, Any],
) -> bool:
    """Write down a version; return False where another run has written it, or does: it is waited for.

    Until the transaction ends, no other run can write the same version, or its files.
    """
    added = session.execute(
        insert(Report)
        .values(
            team_id=team_id,
            day=day,
            version=version,
            checksum=checksum,
            html_path=paths[0],
            csv_path=paths[1],
            summary=dict(summary),
        )
        .on_conflict_do_nothing()
        .returning(Report.version)
    ).scalar()
    return added is not None


def list_reports(session: Session, team: str | None, most: int) -> Sequence[Row[tuple[str, Report]]]:
    """Return the newest version of each report with its team's name, the last days first.

    Args:
        session: The database.
        team: Only of the team of this name; None means all.
        most: At most so many.
    """
    newer = Report.__table__.alias()
    is_newest = ~exists().where(
        newer.c.team_id == Report.team_id, newer.c.day == Report.day, newer.c.version > Report.version
    )
    statement = (
        select(Team.name, Report)
        .join(Team, Team.id == Report.team_id)
        .where(is_newest)
        .order_by(Report.day.desc(), Team.name)
        .limit(most)
    )
    return session.execute(statement.where(Team.name == team) if team else statement).all()


def versions_of(session: Session, team: str, day: date) -> Sequence[Report]:
    """Return the versions of a team's report on a day, the newest first."""
    return session.scalars(
        select(Report)
        .join(Team, Team.id == Report.team_id)
        .where(Team.name == team, Report.day == day)
        .order_by(Report.version.desc())
    ).all()
