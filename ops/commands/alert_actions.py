"""What `ops.commands.alerts` does once the way to the Prefect server is set: it imports prefect."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import Event, Resource
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr
from sqlalchemy.orm import Session

from blocks.alert_channels import CHANNEL_TYPES, TEST, automation_names, document_name
from blocks.alert_messages import last_refused, read_messages
from blocks.server import connect
from blocks.setup import setup
from ops.commands.session import open_database
from ops.commands.tables import print_table, say, to_minute
from sivera.alerts.options import Channel
from sivera.alerts.queries import list_open, list_open_of_budgets
from sivera.errors import ConfigurationError

PATIENCE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.5


def set_channel(channel: Channel, read_url: Callable[[str], SecretStr]) -> None:
    """Save a channel and make its automations.

    Raises:
        ConfigurationError: The URL will not do, or the Prefect server does not answer; nothing was saved.
    """
    with connect():
        pass  # before a person pastes a secret
    setup(channels={channel: read_url(f"the URL of the {channel.value} channel")})
    say(f"Saved. Alerts come by {channel.value} from now on. To see one: sivera alerts test")


def remove_channel(channel: Channel) -> None:
    """Delete a channel and its automations.

    Raises:
        ConfigurationError: There is none, or the Prefect server does not answer.
    """
    kind = CHANNEL_TYPES[channel]
    with connect() as client:
        try:
            document = client.read_block_document_by_name(document_name(channel), kind.get_block_type_slug())
        except ObjectNotFound:
            raise ConfigurationError(f"there is no channel {channel.value}: see `sivera alerts list`") from None
        client.delete_block_document(document.id)
    setup()
    say(f"Removed. No alert comes by {channel.value} any more.")


def list_alerts() -> None:
    """Print the channels and whether they are on, and the alerts that are open."""
    with connect() as client:
        refused = last_refused(client)
        states = {channel: _state(client, channel, refused.get(channel)) for channel in Channel}
    print_table(("channel", "state"), [(channel.value, state) for channel, state in states.items()], [], empty="")
    sys.stdout.write("\n")
    with open_database() as engine, Session(engine) as session:
        found = list_open(session)
        budgets = list_open_of_budgets(session)
    print_table(
        ("since (UTC)", "kind", "what"),
        [
            *((to_minute(alert.since), alert.kind, alert.title) for alert in found),
            *((to_minute(alert.opened_at), alert.kind, alert.title) for alert in budgets),
        ],
        notes=[f"{alert.title}: {alert.message}" for alert in found],
        empty="No alert is open.",
    )


def test_channels() -> int:
    """Send a message by each channel and say what became of it; return the exit code.

    Raises:
        ConfigurationError: There is no channel, or the Prefect server does not answer.
    """
    with connect() as client:
        automations = _automations(client)
        if not automations:
            raise ConfigurationError("there is no channel: set one with `sivera alerts set slack`, discord or url")
        event = _test_event()
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
        outcomes = _wait(client, event, [id_ for id_, is_on in automations.values() if is_on])
    for channel, (id_, is_on) in automations.items():
        say(f"{channel.value}: {outcomes.get(id_, _NOT_KNOWN) if is_on else _OFF}")
    return 0 if all(outcomes.get(id_) == _TAKEN for id_, _ in automations.values()) else 1


_TAKEN = "the message was taken."
_REFUSED = "the message was not taken: is the webhook still there? Set it again with `sivera alerts set`."
_NOT_KNOWN = f"the server has not sent it within {PATIENCE_SECONDS:.0f} seconds: look into its log."
_OFF = "its automation is switched off in the UI."


def _wait(client: SyncPrefectClient, event: Event, automations: Sequence[UUID]) -> Mapping[UUID, str]:
    """Return what became of the message that each automation sends on an event, as far as that is known in time."""
    until = time.monotonic() + PATIENCE_SECONDS
    outcomes: dict[UUID, str] = {}
    while automations and len(outcomes) < len(automations) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN_SECONDS)
        for message in read_messages(client, automations, event.occurred):
            if message.event_id == event.id:
                outcomes[message.automation_id] = _TAKEN if message.is_taken else _REFUSED
    return outcomes


def _automations(client: SyncPrefectClient) -> Mapping[Channel, tuple[UUID, bool]]:
    """Return of each channel that is set the id of the automation that tells, and whether it is on."""
    found = {channel: client.read_automations_by_name(automation_names(channel)[0]) for channel in Channel}
    return {channel: (each[0].id, each[0].enabled) for channel, each in found.items() if each}


def _state(client: SyncPrefectClient, channel: Channel, refused_at: datetime | None) -> str:
    found = [one for name in automation_names(channel) for one in client.read_automations_by_name(name)]
    if not found:
        return "not set"
    if len(found) < len(automation_names(channel)):
        return "an automation is missing: run `sivera deploy`"
    if not all(one.enabled for one in found):
        return "switched off in the UI"
    return f"on, but its last message was not taken ({to_minute(refused_at)})" if refused_at else "on"


def _test_event() -> Event:
    now = datetime.now(UTC)
    return Event(
        event=TEST,
        occurred=now,
        resource=Resource({"prefect.resource.id": "sivera.alert.test.test"}),
        payload={
            "kind": "test",
            "subject": "test",
            "title": "a message of `sivera alerts test`",
            "message": "Alerts come by this channel.",
            "since": now.isoformat(timespec="seconds"),
            "link": "",
        },
    )
