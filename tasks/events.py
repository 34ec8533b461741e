"""Events for automations that an operator builds. Each is sent once; whoever needs certainty reads the tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event, RelatedResource, Resource

from blocks.server import impatient
from sivera.clock import utc_now

if TYPE_CHECKING:
    from sivera.alerts.changes import AlertEvent

logger = logging.getLogger("sivera.events")

MOST_AT_ONCE = 100
"""Events of one request."""


@contextmanager
def server_once() -> Iterator[SyncPrefectClient]:
    """Yield a client that asks once and waits briefly."""
    with impatient(), get_client(sync_client=True) as server:
        yield server


def emit(
    name: str,
    resource: Mapping[str, str],
    payload: Mapping[str, Any],
    *,
    related: Sequence[tuple[str, str]] = (),
    event_id: UUID | None = None,
    occurred: datetime | None = None,
) -> None:
    """Send one event to the Prefect server. If the server does not take it, log a warning.

    `resource` has the labels of what it is about, `prefect.resource.id` among them; `related` the id and role of each
    related resource; `payload` no secret. The server stores an event of one id once.
    """
    # Not by `emit_event`: that only queues an event, and a process that is being ended loses the queue.
    event = Event(
        id=event_id or uuid4(),
        event=name,
        occurred=occurred or utc_now(),
        resource=Resource(dict(resource)),
        related=[RelatedResource({"prefect.resource.id": id_, "prefect.resource.role": role}) for id_, role in related],
        payload=dict(payload),
    )
    _send([event])


def send_alert_events(events: Sequence["AlertEvent"]) -> None:
    """Send the events of alerts that opened, rose or closed, for automations of an operator."""
    _send(
        [
            Event(
                event=each.name,
                occurred=utc_now(),
                resource=Resource({"prefect.resource.id": each.resource}),
                payload=dict(each.payload),
            )
            for each in events
        ]
    )


def _send(events: Sequence[Event]) -> None:
    try:
        for first in range(0, len(events), MOST_AT_ONCE):
            some = [event.model_dump(mode="json") for event in events[first : first + MOST_AT_ONCE]]
            with server_once() as server:
                server.request("POST", "/events", json=some)
    except httpx.HTTPError as error:
        logger.warning(
            "The Prefect server did not take the event %s (%s), so no automation reacts to it: run `sivera doctor`",
            events[0].event,
            type(error).__name__,
        )
