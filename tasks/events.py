"""Events for an operator's automations. Each is sent once: the tables hold what must not be lost."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event, Resource

from blocks.server import impatient

logger = logging.getLogger("sivera.events")

MOST_AT_ONCE = 100
"""Events in one request."""


@contextmanager
def server_once() -> Iterator[SyncPrefectClient]:
    """Yield a client that asks once and waits briefly."""
    with impatient(), get_client(sync_client=True) as server:
        yield server


def notify(name: str, resource: str, payload: Mapping[str, Any]) -> None:
    """Send an event about a resource, by its id; see `send`."""
    notify_all([(name, resource, payload)])


def notify_all(events: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Send events, each given as its name, the id of its resource, and its payload; see `send`."""
    send(
        [
            Event(event=name, resource=Resource({"prefect.resource.id": resource}), payload=dict(payload))
            for name, resource, payload in events
        ]
    )


def send(events: Sequence[Event]) -> None:
    """Send events without secrets to the Prefect server. If it does not accept them, log a warning.

    The server stores two events with the same id only once.
    """
    # Not by `emit_event`: that only queues an event, and a process that is being ended loses the queue.
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
