"""Publishing what transactions left in the outbox, as events of Prefect."""

import logging

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from sqlalchemy.orm import Session

from sivera.alerts import outbox_queries as outbox
from sivera.models import OutboxEvent
from tasks import resources

logger = logging.getLogger("sivera.outbox")

BATCH = 100


@task(name="publish-events", task_run_name="publish-events", cache_policy=NO_CACHE)
def publish_events() -> int:
    """Publish the events that wait, the oldest first, and return how many; what the server does not take stays.

    A process that dies in between publishes some of them again under the same id, which the server stores once.
    """
    published = 0
    # Not by `emit_event`: it only queues an event, and says nothing where that is lost.
    with get_client(sync_client=True) as server:
        while True:
            with Session(resources.engine()) as session, session.begin():
                waiting = outbox.lock_unpublished(session, BATCH)
                if not waiting:
                    return published
                try:
                    server.request("POST", "/events", json=[_event(row).model_dump(mode="json") for row in waiting])
                except httpx.HTTPError as error:
                    logger.warning("%s events wait in the outbox (%s)", len(waiting), type(error).__name__)
                    return published
                outbox.mark_published(session, [row.id for row in waiting])
            published += len(waiting)


def _event(row: OutboxEvent) -> Event:
    return Event(
        id=row.id,
        event=row.name,
        occurred=row.created_at,
        resource=Resource({"prefect.resource.id": row.resource}),
        payload=row.payload,
    )
