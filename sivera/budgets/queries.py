"""Questions about budgets and what is spent of them, for hundreds of accounts in one statement.

Figures in another currency than the budget's are never added: a platform's budget with such figures `is_mixed`, and a
team's budget leaves out such accounts.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, delete, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.alerts.conditions import Kind
from sivera.models import AdAccount, Alert, BudgetCheck, Campaign, Team, TeamBudget

_WAITS = func.coalesce(BudgetCheck.checked_at, AdAccount.created_at)
_TEAM_WAITS = func.coalesce(TeamBudget.checked_at, TeamBudget.created_at)

_IS_ABOUT = and_(
    TeamBudget.team_id == AdAccount.team_id,
    func.coalesce(TeamBudget.platform, AdAccount.platform) == AdAccount.platform,
    func.coalesce(TeamBudget.account_id, AdAccount.id) == AdAccount.id,
)

MAY_SPEND = ("active", "paused", "other")
"""Campaigns of these statuses can spend again."""


class Since(NamedTuple):
    """Which days to read of an account; `id` is the account's own, or that of a team budget that counts it.

    Spending is added up from `period` on, and each day is returned from `history` on.
    """

    id: int
    account_id: int
    today: date
    period: date
    history: date


def waiting_since(session: Session, teams: str) -> dict[str, datetime]:
    """Return when the account that waits longest was last checked, by platform, and the same for team budgets.

    Args:
        session: To read with.
        teams: The key that stands for team budgets.
    """
    of_platforms = select(AdAccount.platform, func.min(_WAITS)).outerjoin(BudgetCheck).group_by(AdAccount.platform)
    of_teams = select(literal(teams), func.min(_TEAM_WAITS)).having(func.count() > 0).select_from(TeamBudget)
    return {row[0]: row[1] for row in session.execute(of_platforms.union_all(of_teams))}


def accounts_in_turn(session: Session, platform: str, teams: Sequence[str]) -> Sequence[int]:
    """Return the ids of a platform's accounts, closed ones too, those first that have waited longest for a check."""
    statement = (
        select(AdAccount.id)
        .join(Team, Team.id == AdAccount.team_id)
        .outerjoin(BudgetCheck)
        .where(AdAccount.platform == platform)
        .order_by(_WAITS, AdAccount.id)
    )
    return session.scalars(statement.where(Team.name.in_(teams)) if teams else statement).all()


def read_accounts(session: Session, ids: Sequence[int]) -> Sequence[Row[tuple[AdAccount, str, bool]]]:
    """Return accounts by their ids, each with its team's name.

    The last value says whether there is a budget to watch, of a campaign or of the team.
    """
    has_budget = or_(
        exists().where(Campaign.account_id == AdAccount.id, Campaign.budget_amount > 0, Campaign.status.in_(MAY_SPEND)),
        exists().where(_IS_ABOUT, TeamBudget.currency == AdAccount.currency),
    )
    return session.execute(
        select(AdAccount, Team.name, has_budget)
        .join(Team, Team.id == AdAccount.team_id)
        .where(AdAccount.id.in_(ids))
        .order_by(AdAccount.id)
    ).all()


def mark_accounts(session: Session, ids: Sequence[int]) -> None:
    """Note that the budgets of accounts are checked now."""
    checked = select(AdAccount.id, func.now()).where(AdAccount.id.in_(ids))
    statement = insert(BudgetCheck).from_select(["account_id", "checked_at"], checked)
    written = {"checked_at": statement.excluded.checked_at}
    session.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=written))


def teams_in_turn(session: Session, names: Sequence[str]) -> Sequence[int]:
    """Return the ids of the teams with a budget or an open alert on one, those that have waited longest first."""
    waits = select(func.min(_TEAM_WAITS)).where(TeamBudget.team_id == Team.id).scalar_subquery()
    is_open = exists().where(Alert.team_id == Team.id, Alert.account_id.is_(None), Alert.closed_at.is_(None))
    # A team without a budget comes first: its alerts only have to be closed.
    statement = select(Team.id).where(or_(waits.is_not(None), is_open)).order_by(waits.nulls_first(), Team.id)
    return session.scalars(statement.where(Team.name.in_(names)) if names else statement).all()


def mark_teams(session: Session, ids: Sequence[int]) -> None:
    """Note that the budgets that these teams set are checked now."""
    session.execute(update(TeamBudget).where(TeamBudget.team_id.in_(ids)).values(checked_at=func.now()))


# A shared budget is one row, however many campaigns draw on it. If they disagree for a moment, the last change counts.
# Figures are read in two arms: with an OR no index could bound the days, and each check would read the whole history.
# What a lifetime budget spent before the projection's days is one sum, so that years of days need not be sorted.
# A lifetime budget is over after its last day, or when its campaign is removed; other budgets last until their period
# ends.
_SPEND = text("""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:todays AS date[]), CAST(:periods AS date[]),
                             CAST(:histories AS date[])) AS asked (account_id, today, period, history)
    ), drawing AS (
        SELECT asked.*, c.external_id, c.name, c.budget_kind, c.budget_amount, c.budget_currency, c.start_date,
               c.end_date, c.changed_at, c.status = 'active' AS is_active,
               CASE c.budget_kind WHEN 'shared' THEN 'shared-' || c.budget_id
                                  ELSE 'campaign-' || c.external_id END AS budget
        FROM asked JOIN campaigns AS c USING (account_id)
        WHERE c.budget_amount > 0
          AND (c.budget_kind IN ('daily', 'shared')
               OR (c.budget_kind = 'lifetime' AND c.status IN ('active', 'paused', 'other')
                   AND (c.end_date IS NULL OR c.end_date >= asked.today)))
    ), budgets AS (
        SELECT account_id, budget, budget_kind, max(period) AS period,
               (array_agg(name ORDER BY external_id))[1] AS name, count(*) AS campaigns,
               (array_agg(budget_amount ORDER BY changed_at DESC, external_id))[1] AS amount,
               (array_agg(budget_currency ORDER BY changed_at DESC, external_id))[1] AS currency,
               CASE WHEN count(start_date) = count(*) THEN min(start_date) END AS first_day,
               CASE WHEN count(end_date) = count(*) THEN max(end_date) END AS last_day,
               bool_or(is_active) AS is_active
        FROM drawing GROUP BY account_id, budget, budget_kind
    ), figures AS (
        SELECT d.account_id, d.budget, d.budget_kind, d.history, before.*
        FROM drawing AS d, LATERAL (
            SELECT min(m.day) AS day, sum(m.spend) AS spend, bool_or(m.currency <> d.budget_currency) AS is_mixed
            FROM campaign_daily_metrics AS m
            WHERE m.account_id = d.account_id AND m.campaign_id = d.external_id AND m.day < d.history
        ) AS before
        WHERE d.budget_kind = 'lifetime' AND before.day IS NOT NULL
        UNION ALL
        SELECT d.account_id, d.budget, d.budget_kind, d.history, m.day, m.spend, m.currency <> d.budget_currency
        FROM drawing AS d
        JOIN campaign_daily_metrics AS m ON m.account_id = d.account_id AND m.campaign_id = d.external_id
        WHERE m.day >= CASE d.budget_kind WHEN 'lifetime' THEN d.history ELSE least(d.period, d.history) END
    ), days AS (
        SELECT account_id, budget, budget_kind, day, min(history) AS history, sum(spend) AS spend,
               bool_or(is_mixed) AS is_mixed
        FROM figures GROUP BY account_id, budget, budget_kind, day
    )
    SELECT b.account_id, b.budget, b.budget_kind, b.name, b.campaigns, b.amount, b.currency, b.first_day, b.last_day,
           b.is_active, bool_or(d.is_mixed) AS is_mixed, min(d.day) AS known_from,
           coalesce(sum(d.spend) FILTER (WHERE b.budget_kind = 'lifetime' OR d.day >= b.period), 0) AS spent,
           coalesce(array_agg(d.day ORDER BY d.day) FILTER (WHERE d.day >= d.history), '{}') AS days,
           coalesce(array_agg(d.spend ORDER BY d.day) FILTER (WHERE d.day >= d.history), '{}') AS spends
    FROM budgets AS b JOIN days AS d USING (account_id, budget, budget_kind)
    GROUP BY b.account_id, b.budget, b.budget_kind, b.name, b.campaigns, b.amount, b.currency, b.first_day, b.last_day,
             b.is_active, b.period
    ORDER BY b.account_id, b.budget
""")

# Account by account: for a plain join the planner would read every row of the table.
_TEAM_SPEND = text("""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:account_ids AS bigint[]), CAST(:periods AS date[]),
                             CAST(:histories AS date[])) AS asked (id, account_id, period, history)
    ), days AS (
        SELECT asked.id, of_account.day, min(asked.period) AS period, min(asked.history) AS history,
               sum(of_account.spend) AS spend
        FROM asked
        JOIN team_budgets AS b ON b.id = asked.id
        CROSS JOIN LATERAL (
            SELECT m.day, sum(m.spend) AS spend FROM campaign_daily_metrics AS m
            WHERE m.account_id = asked.account_id AND m.currency = b.currency
              AND m.day >= least(asked.period, asked.history)
            GROUP BY m.day
        ) AS of_account
        GROUP BY asked.id, of_account.day
    )
    SELECT id, coalesce(sum(spend) FILTER (WHERE day >= period AND day < period + interval '1 month'), 0) AS spent,
           coalesce(array_agg(day ORDER BY day) FILTER (WHERE day >= history), '{}') AS days,
           coalesce(array_agg(spend ORDER BY day) FILTER (WHERE day >= history), '{}') AS spends
    FROM days GROUP BY id
""")


def read_spend(session: Session, asked: Sequence[Since]) -> Sequence[Row[Any]]:
    """Return the platforms' budgets of these accounts with any known spending, each with its days."""
    return session.execute(
        _SPEND,
        {
            "ids": [one.account_id for one in asked],
            "todays": [one.today for one in asked],
            "periods": [one.period for one in asked],
            "histories": [one.history for one in asked],
        },
    ).all()


def read_team_spend(session: Session, asked: Sequence[Since]) -> dict[int, Row[Any]]:
    """Return what was spent of team budgets, in their currency, with its days; none without known spending."""
    rows = session.execute(
        _TEAM_SPEND,
        {
            "ids": [one.id for one in asked],
            "account_ids": [one.account_id for one in asked],
            "periods": [one.period for one in asked],
            "histories": [one.history for one in asked],
        },
    )
    return {row.id: row for row in rows}


def list_team_budgets(
    session: Session, team_ids: Sequence[int] | None = None
) -> Sequence[Row[tuple[TeamBudget, str, str]]]:
    """Return the budgets of these teams, or of all, each with its team's name and that of its account, if any."""
    statement = (
        select(TeamBudget, Team.name, AdAccount.name)
        .join(Team, Team.id == TeamBudget.team_id)
        .outerjoin(AdAccount, AdAccount.id == TeamBudget.account_id)
        .order_by(Team.name, TeamBudget.id)
    )
    return session.execute(statement if team_ids is None else statement.where(Team.id.in_(team_ids))).all()


def accounts_of_team_budgets(session: Session, ids: Sequence[int]) -> Sequence[Row[tuple[int, AdAccount]]]:
    """Return the accounts that each of these budgets is about, of any currency and status."""
    return session.execute(
        select(TeamBudget.id, AdAccount)
        .join(AdAccount, _IS_ABOUT)
        .where(TeamBudget.id.in_(ids))
        .order_by(TeamBudget.id, AdAccount.id)
    ).all()


def find_team(session: Session, name: str) -> int | None:
    """Return a team's id, or None."""
    return session.scalar(select(Team.id).where(Team.name == name))


def set_team_budget(
    session: Session, team_id: int, *, currency: str, amount: Decimal, platform: str | None, account_id: int | None
) -> int:
    """Write a team's monthly budget, in place of the one for the same accounts and currency; return its id."""
    statement = insert(TeamBudget).values(
        team_id=team_id, currency=currency, amount=amount, platform=platform, account_id=account_id
    )
    written: int = session.execute(
        statement.on_conflict_do_update(
            index_elements=["team_id", "platform", "account_id", "currency"],
            set_={"amount": statement.excluded.amount, "updated_at": func.now()},
        ).returning(TeamBudget.id)
    ).scalar_one()
    return written


def remove_team_budget(session: Session, budget_id: int) -> bool:
    """Delete a team's budget; return whether there was one."""
    found = session.execute(delete(TeamBudget).where(TeamBudget.id == budget_id).returning(TeamBudget.id)).scalar()
    return found is not None


def thresholds_reached(session: Session) -> Sequence[Row[tuple[int | None, str, int]]]:
    """Return threshold, platform (None for the teams' own budgets) and number of the budgets that have reached it."""
    return session.execute(
        select(Alert.level, AdAccount.platform, func.count())
        .outerjoin(AdAccount, AdAccount.id == Alert.account_id)
        .where(Alert.kind == Kind.BUDGET.value, Alert.closed_at.is_(None))
        .group_by(Alert.level, AdAccount.platform)
    ).all()


def alerts_by_day(session: Session, back: timedelta) -> Sequence[Row[tuple[date, int | None, int]]]:
    """Return day in UTC, threshold and number of the alerts on budgets that opened or last rose on it, by the day."""
    day = func.date(func.timezone("UTC", Alert.raised_at)).label("day")
    return session.execute(
        select(day, Alert.level, func.count())
        .where(Alert.kind == Kind.BUDGET.value, Alert.raised_at > func.now() - back)
        .group_by(day, Alert.level)
        .order_by(day, Alert.level)
    ).all()
