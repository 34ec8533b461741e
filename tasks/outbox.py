"""Publishing what transactions left in the outbox, as events of Prefect."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from sqlalchemy.orm import Session

from sivera.queries import outbox
from tasks import resources

BATCH = 100


@task(name="publish-events", cache_policy=NO_CACHE)
def publish_events() -> int:
    """Publish the events that wait, the oldest first, and return how many.

    A process that dies in between publishes some of them again under the same id, which the server stores once.
    """
    published = 0
    while True:
        with Session(resources.engine()) as session, session.begin():
            waiting = outbox.lock_unpublished(session, BATCH)
            for event in waiting:
                emit_event(
                    event.name,
                    resource={"prefect.resource.id": event.resource},
                    occurred=event.created_at,
                    payload=event.payload,
                    id=event.id,
                )
            outbox.mark_published(session, [event.id for event in waiting])
        published += len(waiting)
        if len(waiting) < BATCH:
            return published
