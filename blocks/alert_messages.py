"""What became of the messages of alerts, as the Prefect server's events of its automations' actions say it."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient

from blocks.alert_channels import automation_names
from sivera.alerts.options import Channel
from sivera.alerts.resending import Refusal

TAKEN, NOT_TAKEN = "prefect.automation.action.executed", "prefect.automation.action.failed"


class Message(NamedTuple):
    """A message that an automation sent; `event_id` is what triggered it, None where that was the absence of one."""

    id: UUID
    automation_id: UUID
    event_id: UUID | None
    at: datetime
    is_taken: bool


def read_messages(
    client: SyncPrefectClient,
    automations: Collection[UUID],
    since: datetime | None = None,
    names: Collection[str] = (TAKEN, NOT_TAKEN),
) -> Iterator[Message]:
    """Yield what these automations sent, the newest first.

    Raises:
        httpx.HTTPError: The Prefect server does not answer, or fails.
    """
    wanted: dict[str, Any] = {
        "event": {"name": list(names)},
        "resource": {"id": [f"prefect.automation.{id_}" for id_ in automations]},
        **({"occurred": {"since": since.isoformat()}} if since else {}),
    }
    if not automations:
        return
    page = client.request("POST", "/events/filter", json={"filter": wanted}).json()
    while True:
        yield from map(_message, page["events"])
        if not page["next_page"]:
            return
        # Only its token: the server may be known to itself by another address.
        token = httpx.URL(page["next_page"]).params["page-token"]
        page = client.request("GET", "/events/filter/next", params={"page-token": token}).json()


def find_refusals(client: SyncPrefectClient, since: datetime) -> list[Refusal]:
    """Return the messages of alerts that a service did not take since then.

    Raises:
        httpx.HTTPError: The Prefect server does not answer, or fails.
    """
    channels = {
        each.id: channel
        for channel in Channel
        for each in client.read_automations_by_name(automation_names(channel)[0])
    }
    return [
        Refusal(id=one.id, channel=channels[one.automation_id], event_id=one.event_id, at=one.at)
        for one in read_messages(client, channels, since, names=[NOT_TAKEN])
        if one.event_id
    ]


def last_refused(client: SyncPrefectClient) -> Mapping[Channel, datetime]:
    """Return the channels whose last message was not taken, and when that was.

    Raises:
        httpx.HTTPError: The Prefect server does not answer, or fails.
    """
    found: dict[Channel, datetime] = {}
    for channel in Channel:
        ids = [one.id for name in automation_names(channel) for one in client.read_automations_by_name(name)]
        last = next(read_messages(client, ids), None)
        if last and not last.is_taken:
            found[channel] = last.at
    return found


def _message(event: Mapping[str, Any]) -> Message:
    triggers = [
        _id(one["prefect.resource.id"])
        for one in event["related"]
        if one["prefect.resource.role"] == "triggering-event"
    ]
    return Message(
        id=UUID(event["id"]),
        automation_id=_id(event["resource"]["prefect.resource.id"]),
        event_id=triggers[0] if triggers else None,
        at=datetime.fromisoformat(event["occurred"]).astimezone(UTC),
        is_taken=event["event"] == TAKEN,
    )


def _id(resource: str) -> UUID:
    return UUID(resource.rpartition(".")[2])
