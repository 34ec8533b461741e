"""Queries of reports: the teams, their figures, and the reports that are written."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import (
    Date,
    Row,
    RowMapping,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE, IS_UNATTRIBUTED, coverage
from sivera.clock import past_or
from sivera.models import AccountDailyTotal as Total
from sivera.models import AdAccount, Campaign, PlatformCredential, Report, Team
from sivera.models import CampaignDailyMetric as Metric
from sivera.reports.figures import SUMS, Figures, Line, Point
from sivera.reports.rules import AccountFacts, Period, Unreported, chart_since, covers
from sivera.values import CampaignStatus, PlatformName


def teams_with_reported_days(session: Session, names: Sequence[str], since: date) -> Sequence[RowMapping]:
    """Return the teams with these names (all if none), by id.

    `first_day` is the first day with figures, `reported` the days since `since` that have a report.
    """
    # A query per account uses the index. A join would read every row of the team.
    first = select(func.min(Metric.day)).where(Metric.account_id == AdAccount.id).scalar_subquery()
    first_of_team = select(func.min(first)).where(AdAccount.team_id == Team.id).scalar_subquery()
    days = func.array_remove(func.array_agg(Report.day), None)
    restated = Team.reports_restated_through.label("restated_through")
    statement = (
        select(Team.id, Team.name, Team.timezone, Team.language, restated, Team.meta_conversion)
        .add_columns(first_of_team.label("first_day"), days.label("reported"))
        .outerjoin(Report, and_(Report.team_id == Team.id, Report.day >= since))
        .group_by(Team.id)
        .order_by(Team.id)
    )
    if names:
        statement = statement.where(Team.name.in_(names))
    return session.execute(statement).mappings().all()


def note_restated(session: Session, team_id: int, latest: date) -> None:
    """Note that a team's reports agree with the figures, up to the latest one due."""
    session.execute(update(Team).where(Team.id == team_id).values(reports_restated_through=latest))


def record_report(session: Session, team_id: int, day: date, digest: str, missing: int) -> bool:
    """Record a report. Return False if the same report is recorded already.

    Any other run that writes the same files waits here until the transaction ends.
    """
    statement = insert(Report).values(team_id=team_id, day=day, digest=digest, missing=missing)
    new = statement.excluded
    recorded = session.execute(
        statement.on_conflict_do_update(
            index_elements=[Report.team_id, Report.day],
            set_={"digest": new.digest, "missing": new.missing, "written_at": func.clock_timestamp()},
            where=Report.digest != new.digest,
        ).returning(Report.day)
    )
    return recorded.scalar() is not None


def written_digests(session: Session, team_id: int, since: date, until: date) -> dict[date, str]:
    """Return the digests of a team's reports by day, in order."""
    mine = (Report.team_id == team_id, Report.day.between(since, until))
    rows = session.execute(select(Report.day, Report.digest).where(*mine).order_by(Report.day))
    return {row.day: row.digest for row in rows}


def _spending(team_id: int) -> Subquery:
    """Return the figures of campaigns by day. Unattributed spend is a row without a campaign."""
    # Each half selects the accounts itself. Otherwise PostgreSQL would read those of all teams and drop most of them.
    accounts = select(AdAccount.id).where(AdAccount.team_id == team_id)
    rest = [Total.unattributed if name == "spend" else literal(0) for name in SUMS]
    campaigns = select(Metric.account_id, Metric.day, Metric.currency, Metric.campaign_id)
    return union_all(
        campaigns.add_columns(*(getattr(Metric, name) for name in SUMS)).where(Metric.account_id.in_(accounts)),
        select(Total.account_id, Total.day, Total.currency, null(), *rest).where(
            Total.account_id.in_(accounts), IS_UNATTRIBUTED
        ),
    ).subquery("spending")


def day_digests(session: Session, team_id: int, since: date, until: date) -> dict[tuple[int, date], str]:
    """Return a digest of the rows of each account and day. A day without rows has none."""
    spent = _spending(team_id).c
    row = func.concat_ws("|", spent.campaign_id, spent.currency, *(cast(spent[name], Text) for name in SUMS))
    lines = func.string_agg(row, aggregate_order_by(literal("\n"), spent.campaign_id.collate("C")))
    digest = func.encode(func.sha256(func.convert_to(lines, "UTF8")), "hex")
    of_days = select(spent.account_id, spent.day, digest).where(spent.day.between(since, until))
    rows = session.execute(of_days.group_by(spent.account_id, spent.day))
    return {(account_id, day): found for account_id, day, found in rows}


def accounts_of_team(session: Session, team_id: int, now: datetime) -> list[AccountFacts]:
    """Return the accounts of a team, including closed ones. The creation time replaces a time ahead of the clock."""
    account, grant, covered = AdAccount, PlatformCredential, coverage()
    described = (account.id, account.platform, account.name, account.timezone, grant.status == "active")
    times = (past_or(at, now, account.created_at) for at in (account.synced_as_of, account.reports_as_of))
    days = (covered.c.since, covered.c.until, func.coalesce(covered.c.lacks_product, False))
    rows = session.execute(
        select(*described, *times, account.created_at, account.status == ACTIVE, account.currency, *days)
        .join(grant, grant.id == account.credential_id)
        .outerjoin(covered, covered.c.account_id == account.id)
        .where(account.team_id == team_id)
    )
    return [AccountFacts._make(row)._replace(platform=PlatformName(row.platform)) for row in rows]


def unreported_campaigns(session: Session, team_id: int) -> list[Unreported]:
    """Return a team's campaigns that their platform does not report on, without removed ones."""
    started = func.coalesce(Campaign.start_date, cast(Campaign.first_seen_at, Date))
    named = (AdAccount.platform, AdAccount.id, AdAccount.name, Campaign.external_id, Campaign.name)
    rows = session.execute(
        select(*named, AdAccount.currency, started, Campaign.end_date)
        .join(AdAccount, AdAccount.id == Campaign.account_id)
        .where(
            AdAccount.team_id == team_id,
            AdAccount.status == ACTIVE,
            Campaign.is_reported.is_(False),
            Campaign.status != CampaignStatus.REMOVED.value,
        )
    )
    return [Unreported(PlatformName(platform), *rest) for platform, *rest in rows]


def read_lines(session: Session, team_id: int, day: date) -> dict[str, list[Line]]:
    """Return a line for each campaign and each account's unattributed spend, for a day's report, by currency."""
    spent = _spending(team_id).c
    inside = {period: spent.day.between(*covers(period, day)) for period in Period}
    sums = [func.coalesce(func.sum(spent[name]).filter(inside[period]), 0) for period in Period for name in SUMS]
    is_its_own = and_(Campaign.account_id == spent.account_id, Campaign.external_id == spent.campaign_id)
    name = func.coalesce(Campaign.name, spent.campaign_id, "")
    rows = session.execute(
        select(spent.currency, func.coalesce(Campaign.is_reported, True))
        .add_columns(AdAccount.platform, AdAccount.id, AdAccount.name, spent.campaign_id, name, *sums)
        .join(AdAccount, AdAccount.id == spent.account_id)
        .outerjoin(Campaign, is_its_own)
        .where(or_(*inside.values()))
        .group_by(spent.currency, AdAccount.id, spent.campaign_id, Campaign.name, Campaign.is_reported)
    )
    found: dict[str, list[Line]] = defaultdict(list)
    for currency, is_reported, platform, account_id, account, campaign_id, campaign, *amounts in rows:
        values = iter(amounts)
        figures = {period: Figures(*(next(values) for _ in SUMS)) for period in Period}
        is_rest = campaign_id is None
        if is_rest:
            figures = {period: one._replace(unattributed=one.spend) for period, one in figures.items()}
        named = (PlatformName(platform), account_id, account, campaign_id, campaign)
        found[currency].append(Line(*named, figures, is_reported, is_unattributed=is_rest))
    return found


def daily_sums(session: Session, team_id: int, day: date) -> list[Point]:
    """Return the sums by currency, day and platform for the days of the charts, in that order."""
    spent = _spending(team_id).c
    keys = (spent.currency, spent.day, AdAccount.platform)
    rows = session.execute(
        select(*keys, func.sum(spent.spend), func.sum(spent.conversions))
        .join(AdAccount, AdAccount.id == spent.account_id)
        .where(spent.day.between(chart_since(day), day))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [
        Point(currency, on, PlatformName(platform), spend, conversions)
        for currency, on, platform, spend, conversions in rows
        if spend or conversions
    ]


def list_reports(
    session: Session, team: str | None, most: int, day: date | None = None
) -> Sequence[Row[tuple[str, Report]]]:
    """Return reports (of one team, of one day) with the team's name, the last days first."""
    statement = select(Team.name, Report).join(Team, Team.id == Report.team_id)
    statement = statement.order_by(Report.day.desc(), Team.name).limit(most)
    if team is not None:
        statement = statement.where(Team.name == team)
    if day is not None:
        statement = statement.where(Report.day == day)
    return session.execute(statement).all()


def reports_by_day(session: Session, days: int) -> Sequence[Row[tuple[date, str, int]]]:
    """Return the day, outcome (`complete` or `incomplete`) and number of the reports on the last days, in order."""
    last = select(func.max(Report.day)).scalar_subquery()
    outcome = case((Report.missing > 0, "incomplete"), else_="complete").label("outcome")
    counted = select(Report.day, outcome, func.count()).where(Report.day > last - days)
    return session.execute(counted.group_by(Report.day, outcome).order_by(Report.day)).all()
