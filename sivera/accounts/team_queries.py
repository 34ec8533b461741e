"""Questions about teams."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from sivera.models import Team


def list_teams(session: Session) -> Sequence[Team]:
    """Return all teams, by name."""
    return session.scalars(select(Team).order_by(Team.name)).all()


def change_team(session: Session, name: str, *, timezone: str | None, language: str | None) -> Team | None:
    """Change what is given of a team, and return it; None where there is no team of that name."""
    changes = {key: value for key, value in (("timezone", timezone), ("language", language)) if value is not None}
    if changes:
        session.execute(update(Team).where(Team.name == name).values(changes))
    return session.scalars(
        select(Team).where(Team.name == name).execution_options(populate_existing=True)
    ).one_or_none()
