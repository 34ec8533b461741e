"""Queries on teams and on their rows: those that refer to a team by foreign keys or by name in a column `team`."""

from collections.abc import Collection, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, delete, func, literal, or_, select
from sqlalchemy.orm import Session

from sivera.alerts.conditions import Kind
from sivera.errors import ConfigurationError
from sivera.models import AdAccount, Alert, Base, PlatformCredential, SyncRun, Team

COUNTED = 1_000_000
"""Counting stops at this many rows of a table, because it takes too long."""

_TEAMS = cast("Table", Team.__table__)


def _reaching() -> list[Table]:
    found = [_TEAMS]
    for table in Base.metadata.sorted_tables:  # parents first
        if "team" in table.c or any(key.column.table in found for key in table.foreign_keys):
            found.append(table)
    return found


TABLES: Sequence[Table] = tuple(reversed(_reaching()))
"""The tables with rows of teams, those that refer to others first and `teams` last."""

LEAVES: Sequence[Table] = tuple(
    table for table in TABLES if not any(key.column.table is table for other in TABLES for key in other.foreign_keys)
)
"""Those that no other one refers to."""


def _of_team(table: Table, team_id: int) -> ColumnElement[bool]:
    """Return the condition for the rows of a table that refer to a team, also through other tables."""
    if table is _TEAMS:
        return _TEAMS.c.id == team_id
    keys = [(key.parent, key.column) for key in table.foreign_keys if key.column.table in TABLES]
    keys += [(table.c.team, _TEAMS.c.name)] if "team" in table.c else []
    return or_(*(column.in_(select(to).where(_of_team(to.table, team_id))) for column, to in keys))


def list_teams(session: Session) -> Sequence[Team]:
    """Return all teams, by name."""
    return session.scalars(select(Team).order_by(Team.name)).all()


def unknown_teams(session: Session, names: Sequence[str]) -> list[str]:
    """Return the names that no team has."""
    known = set(session.scalars(select(Team.name).where(Team.name.in_(names))))
    return [name for name in names if name not in known]


def check_teams(session: Session, names: Sequence[str]) -> None:
    """Raise ConfigurationError for a name that no team has."""
    for name in unknown_teams(session, names):
        raise ConfigurationError(f"there is no team '{name}': `sivera teams list` shows them all")


def find_team(session: Session, name: str) -> Team:
    """Return the team with a name. Raise ConfigurationError if there is none."""
    check_teams(session, [name])
    return session.scalars(select(Team).where(Team.name == name)).one()


def grants_of(session: Session, team_id: int) -> Sequence[PlatformCredential]:
    """Return the grants of a team, by id."""
    mine = PlatformCredential.team_id == team_id
    return session.scalars(select(PlatformCredential).where(mine).order_by(PlatformCredential.id)).all()


def count_rows(session: Session, team_id: int) -> dict[str, int]:
    """Return the number of a team's rows by table, up to `COUNTED`, without tables that have none."""
    counts = {}
    for table in TABLES:
        rows = select(literal(1)).select_from(table).where(_of_team(table, team_id)).limit(COUNTED).subquery()
        counts[table.name] = session.scalar(select(func.count()).select_from(rows)) or 0
    return {name: count for name, count in counts.items() if count}


def delete_rows(session: Session, table: Table, team_id: int) -> None:
    """Delete a team's rows of a table, however long it takes."""
    session.execute(select(func.set_config("statement_timeout", "0", True)))
    session.execute(delete(table).where(_of_team(table, team_id)))


def delete_rest(session: Session, team_id: int) -> None:
    """Delete a team and all rows that refer to it. Its lock stops other transactions from writing rows with its id."""
    session.execute(select(Team.id).where(Team.id == team_id).with_for_update())
    accounts = set(session.scalars(select(AdAccount.id).where(AdAccount.team_id == team_id)))
    grants = {grant.id for grant in grants_of(session, team_id)}
    _forget_in_runs(session, accounts, grants)
    # Alerts on grants and accounts name them in their text.
    on_grant = and_(
        Alert.kind.in_([Kind.REAUTHORIZATION_REQUIRED.value, Kind.ACCESS_ENDS.value]),
        Alert.subject.in_([str(id_) for id_ in grants]),
    )
    on_account = and_(Alert.kind == Kind.STALE_DATA.value, Alert.subject.in_([f"account-{id_}" for id_ in accounts]))
    session.execute(delete(Alert).where(or_(on_grant, on_account)))
    for table in TABLES:
        delete_rows(session, table, team_id)


def _forget_in_runs(session: Session, accounts: Collection[int], grants: Collection[int]) -> None:
    """Remove entries about these accounts or grants from the summaries of sync-campaigns. The counts stay."""
    named = tuple(f"grant {id_} (" for id_ in grants)

    def is_other(entry: Any) -> bool:
        if isinstance(entry, str):
            return not entry.startswith(named)
        return entry.get("account_id") not in accounts

    for run in session.scalars(select(SyncRun).execution_options(yield_per=500)):
        run.summary = {
            name: list(filter(is_other, value)) if isinstance(value, list) else value
            for name, value in run.summary.items()
        }
