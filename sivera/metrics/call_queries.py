"""The calls to platforms that runs have made."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.models import PlatformCall
from sivera.values import PlatformName


def add_calls(session: Session, run_id: UUID, calls: Mapping[PlatformName, Calls]) -> None:
    """Add to what a run has called; a run that is repeated has called again."""
    rows = [
        {"run_id": run_id, "platform": platform.value, **each.model_dump()}
        for platform, each in calls.items()
        if each.api or each.login
    ]
    if not rows:
        return
    statement = insert(PlatformCall).values(rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "platform"],
            set_={
                "at": func.now(),
                "api": PlatformCall.api + new.api,
                "login": PlatformCall.login + new.login,
                "throttled": PlatformCall.throttled + new.throttled,
                "used_percent": func.coalesce(new.used_percent, PlatformCall.used_percent),
            },
        )
    )
