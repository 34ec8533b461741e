"""SQL about budgets and the spending on them.

Figures in a different currency from the budget's are never added. A platform's budget with such figures `is_mixed`, and
a team's budget leaves out such accounts.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, and_, case, delete, exists, func, or_, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.accounts.queries import IS_UNATTRIBUTED, coverage
from sivera.alerts.conditions import Kind
from sivera.models import AccountDailyTotal, AdAccount, Alert, Campaign, CampaignDailyMetric, Team, TeamBudget

_IS_ABOUT = and_(
    TeamBudget.team_id == AdAccount.team_id,
    func.coalesce(TeamBudget.platform, AdAccount.platform) == AdAccount.platform,
    func.coalesce(TeamBudget.account_id, AdAccount.id) == AdAccount.id,
)

_READ = coverage().c
_KNOWN_FROM = (
    select(case((~_READ.lacks_product, _READ.since)))
    .where(_READ.account_id == AdAccount.id)
    .correlate(AdAccount)
    .scalar_subquery()
)
"""The first day with all figures of an account read; null if there is none."""


class Since(NamedTuple):
    """The days to read of an account: spending is totalled from `period` on, and returned by day from `history` on."""

    account_id: int
    today: date
    period: date
    history: date


def account_ids(session: Session, platform: str, teams: Sequence[str]) -> Sequence[int]:
    """Return the ids of a platform's accounts, closed ones included, in random order."""
    statement = select(AdAccount.id).join(Team, Team.id == AdAccount.team_id).where(AdAccount.platform == platform)
    return _shuffled(session, statement, teams)


def team_ids(session: Session, teams: Sequence[str]) -> Sequence[int]:
    """Return the ids of the teams with a budget or an open alert on one, in random order."""
    is_open = exists().where(Alert.team_id == Team.id, Alert.account_id.is_(None), Alert.closed_at.is_(None))
    statement = select(Team.id).where(or_(exists().where(TeamBudget.team_id == Team.id), is_open))
    return _shuffled(session, statement, teams)


def _shuffled(session: Session, statement: Select[tuple[int]], teams: Sequence[str]) -> Sequence[int]:
    # The order is random so that a deadline does not always cut off the same ones.
    wanted = statement.where(Team.name.in_(teams)) if teams else statement
    return session.scalars(wanted.order_by(func.random())).all()


def read_accounts(session: Session, ids: Sequence[int]) -> Sequence[Row[tuple[AdAccount, str, date | None]]]:
    """Return these accounts, each with its team's name and the first day with all its figures read."""
    return session.execute(
        select(AdAccount, Team.name, _KNOWN_FROM)
        .join(Team, Team.id == AdAccount.team_id)
        .where(AdAccount.id.in_(ids))
        .order_by(AdAccount.id)
    ).all()


# A shared budget is one row, however many campaigns use it. If they disagree for a moment, the latest change wins.
# A lifetime budget is over after its last day, or when its campaign is removed. Other budgets last until their period
# ends. Each budget's figures have their own lower bound, which an index can use. If the platform does not report on a
# campaign, its missing days are unknown, so a budget with only such campaigns has no figures at all.
_SPEND = text("""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:todays AS date[]), CAST(:periods AS date[]),
                             CAST(:histories AS date[])) AS asked (account_id, today, period, history)
    ), budgets AS (
        SELECT c.account_id, c.budget_kind,
               CASE c.budget_kind WHEN 'shared' THEN 'shared-' || c.budget_id
                                  ELSE 'campaign-' || c.external_id END AS budget,
               array_agg(c.external_id ORDER BY c.external_id) AS campaigns,
               (array_agg(c.name ORDER BY c.external_id))[1] AS name,
               (array_agg(c.budget_amount ORDER BY c.changed_at DESC, c.external_id))[1] AS amount,
               (array_agg(c.budget_currency ORDER BY c.changed_at DESC, c.external_id))[1] AS currency,
               CASE WHEN count(c.start_date) = count(*) THEN min(c.start_date) END AS first_day,
               CASE WHEN count(c.end_date) = count(*) THEN max(c.end_date) END AS last_day,
               bool_or(c.status = 'active') AS is_active,
               count(*) FILTER (WHERE NOT c.is_reported) AS unreported,
               CASE c.budget_kind WHEN 'lifetime' THEN '-infinity' ELSE min(asked.period) END AS since,
               min(asked.history) AS history
        FROM asked JOIN campaigns AS c USING (account_id)
        WHERE c.budget_amount > 0
          AND (c.budget_kind IN ('daily', 'shared')
               OR (c.budget_kind = 'lifetime' AND c.status IN ('active', 'paused', 'other')
                   AND (c.end_date IS NULL OR c.end_date >= asked.today)))
        GROUP BY c.account_id, c.budget_kind, budget
    )
    SELECT account_id, budget_kind, budget, cardinality(campaigns) AS campaigns, name, amount, currency, first_day,
           last_day, is_active, unreported, figures.*
    FROM budgets, LATERAL (
        SELECT count(*) AS known_days, bool_or(is_mixed) AS is_mixed,
               coalesce(sum(spend) FILTER (WHERE day >= since), 0) AS spent,
               coalesce(array_agg(day ORDER BY day) FILTER (WHERE day >= history), '{}') AS days,
               coalesce(array_agg(spend ORDER BY day) FILTER (WHERE day >= history), '{}') AS spends
        FROM (
            SELECT m.day, sum(m.spend) AS spend, bool_or(m.currency <> budgets.currency) AS is_mixed
            FROM campaign_daily_metrics AS m
            WHERE m.account_id = budgets.account_id AND m.campaign_id = ANY (campaigns)
              AND m.day >= least(since, history)
            GROUP BY m.day
        ) AS of_a_day
    ) AS figures
    WHERE known_days > 0 OR (is_active AND unreported > 0)
    ORDER BY account_id, budget
""")


def read_spend(session: Session, asked: Sequence[Since]) -> Sequence[Row[Any]]:
    """Return the platforms' budgets of these accounts with their days, if spending is known or can never be known."""
    names = ("ids", "todays", "periods", "histories")
    return session.execute(_SPEND, {name: [one[at] for one in asked] for at, name in enumerate(names)}).all()


def read_team_spend(session: Session, account_ids: Sequence[int], currency: str, since: date) -> dict[date, Decimal]:
    """Return the spending of some accounts in a currency by day, from a day on. Days without figures are left out.

    Unattributed spend counts too.
    """
    days: dict[date, Decimal] = {}
    row, total = CampaignDailyMetric, AccountDailyTotal
    for table, spend, counts in ((row, row.spend, true()), (total, total.unattributed, IS_UNATTRIBUTED)):
        rows = session.execute(
            select(table.day, func.sum(spend))
            .where(table.account_id.in_(account_ids), table.currency == currency, table.day >= since, counts)
            .group_by(table.day)
        )
        for day, spent in rows:
            days[day] = days.get(day, Decimal(0)) + spent
    return days


def count_mixed(session: Session, account_ids: Sequence[int], currency: str, since: date) -> int:
    """Count the accounts with figures in another currency on or after `since`."""
    row = CampaignDailyMetric
    is_one = (row.account_id.in_(account_ids), row.day >= since, row.currency != currency)
    return session.scalar(select(func.count(row.account_id.distinct())).where(*is_one)) or 0


def count_unreported(session: Session, account_ids: Sequence[int]) -> int:
    """Count the active campaigns that their platform does not report on."""
    is_one = (Campaign.account_id.in_(account_ids), Campaign.status == "active", Campaign.is_reported.is_(False))
    return session.scalar(select(func.count()).select_from(Campaign).where(*is_one)) or 0


def list_team_budgets(
    session: Session, team_ids: Sequence[int] | None = None
) -> Sequence[Row[tuple[TeamBudget, str, str]]]:
    """Return the budgets of these teams, or of all teams, each with the names of its team and its account, if any."""
    statement = (
        select(TeamBudget, Team.name, AdAccount.name)
        .join(Team, Team.id == TeamBudget.team_id)
        .outerjoin(AdAccount, AdAccount.id == TeamBudget.account_id)
        .order_by(Team.name, TeamBudget.id)
    )
    return session.execute(statement if team_ids is None else statement.where(Team.id.in_(team_ids))).all()


def accounts_of_team_budgets(session: Session, ids: Sequence[int]) -> Sequence[Row[tuple[int, AdAccount, date | None]]]:
    """Return the accounts of each of these budgets in any currency and status, with the day as in `read_accounts`."""
    return session.execute(
        select(TeamBudget.id, AdAccount, _KNOWN_FROM)
        .join(AdAccount, _IS_ABOUT)
        .where(TeamBudget.id.in_(ids))
        .order_by(TeamBudget.id, AdAccount.id)
    ).all()


def set_team_budget(session: Session, **budget: Any) -> TeamBudget:
    """Insert a team's monthly budget, or update the one for the same accounts and currency."""
    statement = insert(TeamBudget).values(budget)
    new = {"amount": statement.excluded.amount, "updated_at": func.now()}
    same = ["team_id", "platform", "account_id", "currency"]
    return session.scalars(
        statement.on_conflict_do_update(index_elements=same, set_=new).returning(TeamBudget),
        execution_options={"populate_existing": True},
    ).one()


def remove_team_budget(session: Session, budget_id: int) -> bool:
    """Delete a team's budget, and return whether there was one."""
    found = session.execute(delete(TeamBudget).where(TeamBudget.id == budget_id).returning(TeamBudget.id)).scalar()
    return found is not None


def thresholds_reached(session: Session) -> Sequence[Row[Any]]:
    """Return how many budgets have an open alert, by threshold and platform (None: set by a team), in order."""
    return session.execute(
        select(Alert.level, AdAccount.platform, func.count())
        .outerjoin(AdAccount, AdAccount.id == Alert.account_id)
        .where(Alert.kind == Kind.BUDGET.value, Alert.closed_at.is_(None))
        .group_by(Alert.level, AdAccount.platform)
        .order_by(Alert.level)
    ).all()
