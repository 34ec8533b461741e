"""SQL of reports: the teams, the figures, and which reports are written."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import Row, Text, and_, case, cast, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from sivera.models import AdAccount, Campaign, PlatformCredential, Report, Team
from sivera.models import CampaignDailyMetric as Metric
from sivera.reports.figures import Figures, Line, Point
from sivera.reports.rules import CHART_DAYS, AccountFacts, Period, covers
from sivera.values import PlatformName

FIGURES = tuple(Figures.model_fields)


class ReportTeam(NamedTuple):
    """A team, the first day with figures, and its reports since a day.

    `restated_through` was the last day due when its reports were last compared with the figures.
    """

    id: int
    name: str
    timezone: str
    language: str
    restated_through: date | None
    first_day: date | None
    reported: Sequence[date]


def teams_with_reported_days(session: Session, names: Sequence[str], since: date) -> list[ReportTeam]:
    """Return the teams (of these names; none means all) with the days since a day that have a report, by id."""
    # Account by account, each by its index: a join would read every row of the team.
    first = select(func.min(Metric.day)).where(Metric.account_id == AdAccount.id).scalar_subquery()
    first_of_team = select(func.min(first)).where(AdAccount.team_id == Team.id).scalar_subquery()
    days = func.array_remove(func.array_agg(Report.day), None)
    statement = (
        select(Team.id, Team.name, Team.timezone, Team.language, Team.reports_restated_through, first_of_team, days)
        .outerjoin(Report, and_(Report.team_id == Team.id, Report.day >= since))
        .group_by(Team.id)
        .order_by(Team.id)
    )
    if names:
        statement = statement.where(Team.name.in_(names))
    return [ReportTeam._make(row) for row in session.execute(statement)]


def note_restated(session: Session, team_id: int, latest: date) -> None:
    """Note that a team's reports up to the last one due agree with the figures."""
    session.execute(update(Team).where(Team.id == team_id).values(reports_restated_through=latest))


def record_report(session: Session, team_id: int, day: date, digest: str, missing: int) -> bool:
    """Record what a report says; return False if the report already said so.

    Until the transaction ends, any other run waits here before it writes the same files.
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
    """Return the digests of a team's reports, by their days in order."""
    rows = session.execute(
        select(Report.day, Report.digest)
        .where(Report.team_id == team_id, Report.day.between(since, until))
        .order_by(Report.day)
    )
    return {row.day: row.digest for row in rows}


def day_digests(session: Session, team_id: int, since: date, until: date) -> dict[tuple[int, date], str]:
    """Return a digest of all rows of each account and day; a day without rows has none."""
    figures = (cast(getattr(Metric, name), Text) for name in FIGURES)
    row = func.concat_ws("|", Metric.campaign_id, Metric.currency, *figures)
    lines = func.string_agg(row, aggregate_order_by(literal("\n"), Metric.campaign_id.collate("C")))
    digest = func.encode(func.sha256(func.convert_to(lines, "UTF8")), "hex")
    rows = session.execute(
        select(Metric.account_id, Metric.day, digest)
        .join(AdAccount, AdAccount.id == Metric.account_id)
        .where(AdAccount.team_id == team_id, Metric.day.between(since, until))
        .group_by(Metric.account_id, Metric.day)
    )
    return {(account_id, day): found for account_id, day, found in rows}


def active_accounts(session: Session, team_id: int) -> list[AccountFacts]:
    """Return the accounts of a team that are not closed."""
    account, grant = AdAccount, PlatformCredential
    described = (account.id, account.platform, account.name, account.timezone)
    rows = session.execute(
        select(*described, grant.status == "active", account.synced_as_of, account.reports_as_of, account.created_at)
        .join(grant, grant.id == account.credential_id)
        .where(account.team_id == team_id, account.status == "active")
    )
    return [AccountFacts._make(row)._replace(platform=PlatformName(row.platform)) for row in rows]


def campaign_lines(session: Session, team_id: int, day: date) -> dict[str, list[Line]]:
    """Return the figures of a team's campaigns in the periods of a day's report, by currency."""
    inside = {period: Metric.day.between(*covers(period, day)) for period in Period}
    sums = [
        func.coalesce(func.sum(getattr(Metric, name)).filter(inside[period]), 0)
        for period in Period
        for name in FIGURES
    ]
    name = func.coalesce(Campaign.name, Metric.campaign_id)
    is_its_own = and_(Campaign.account_id == Metric.account_id, Campaign.external_id == Metric.campaign_id)
    statement = (
        select(Metric.currency, AdAccount.platform, AdAccount.id, AdAccount.name, Metric.campaign_id, name, *sums)
        .join(AdAccount, AdAccount.id == Metric.account_id)
        .outerjoin(Campaign, is_its_own)
        .where(AdAccount.team_id == team_id, or_(*inside.values()))
        .group_by(AdAccount.id, Metric.campaign_id, Campaign.name, Metric.currency)
    )
    found: dict[str, list[Line]] = defaultdict(list)
    for currency, platform, account_id, account, campaign_id, campaign, *values in session.execute(statement):
        rest = iter(values)
        periods = {period.value: Figures(**{name: next(rest) for name in FIGURES}) for period in Period}
        found[currency].append(
            Line(
                platform=PlatformName(platform),
                account_id=account_id,
                account=account,
                campaign_id=campaign_id,
                campaign=campaign,
                **periods,
            )
        )
    return found


def daily_sums(session: Session, team_id: int, day: date) -> list[Point]:
    """Return the sums of each currency, day and platform over the last days until a day, in this order."""
    keys = (Metric.currency, Metric.day, AdAccount.platform)
    since = day - timedelta(days=CHART_DAYS - 1)
    rows = session.execute(
        select(*keys, func.sum(Metric.spend), func.sum(Metric.conversions))
        .join(AdAccount, AdAccount.id == Metric.account_id)
        .where(AdAccount.team_id == team_id, Metric.day.between(since, day))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Point._make(row)._replace(platform=PlatformName(row.platform)) for row in rows]


def list_reports(
    session: Session, team: str | None, most: int, day: date | None = None
) -> Sequence[Row[tuple[str, Report]]]:
    """Return reports (of one team, of one day) with their team's name, the last days first."""
    statement = (
        select(Team.name, Report)
        .join(Team, Team.id == Report.team_id)
        .order_by(Report.day.desc(), Team.name)
        .limit(most)
    )
    if team is not None:
        statement = statement.where(Team.name == team)
    if day is not None:
        statement = statement.where(Report.day == day)
    return session.execute(statement).all()


def reports_by_day(session: Session, days: int) -> Sequence[Row[tuple[date, str, int]]]:
    """Return day, outcome (`complete` or `incomplete`) and number of the reports on the last days, by the day."""
    last = select(func.max(Report.day)).scalar_subquery()
    outcome = case((Report.missing > 0, "incomplete"), else_="complete").label("outcome")
    return session.execute(
        select(Report.day, outcome, func.count())
        .where(Report.day > last - days)
        .group_by(Report.day, outcome)
        .order_by(Report.day)
    ).all()
