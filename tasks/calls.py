"""Keeping how often a run called each platform."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.runtime import flow_run
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.metrics.queries import add_calls
from tasks import resources

logger = logging.getLogger("sivera.metrics")


@contextmanager
def counted_calls() -> Iterator[None]:
    """Add the calls that are made in the body to what this run has called, however the body ends."""
    before = resources.breaker().calls()
    try:
        yield
    finally:
        made = {platform: now.since(before[platform]) for platform, now in resources.breaker().calls().items()}
        try:
            with Session(resources.engine()) as session, session.begin():
                add_calls(session, UUID(flow_run.id), made)
        except SQLAlchemyError as error:
            # A run is not worse for it: only the figures of its calls are lost.
            logger.warning("The calls of this run were not kept: the database failed (%s)", type(error).__name__)
