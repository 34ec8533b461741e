"""A stub until the computed history is merged: what became of the jobs, from the table."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sivera.models import JobOccurrence
from sivera.occurrences.rules import Occurrence
from tasks import resources
from tasks.occurrences import account_for_occurrences


def read_history(since: datetime) -> list[Occurrence]:
    """Return what became of the jobs since a time."""
    account_for_occurrences.fn()
    with Session(resources.engine()) as session:
        found = session.scalars(select(JobOccurrence).where(JobOccurrence.scheduled_at >= since))
        return [Occurrence.model_validate(row) for row in found]
