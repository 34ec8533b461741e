"""Sending an alert's message again, by the one channel whose service did not take it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts import outbox_queries as outbox
from sivera.alerts.events import CLOSED, OPENED, by_one_channel
from sivera.alerts.options import Channel
from sivera.clock import read_clock
from sivera.values import Value

WAIT = timedelta(minutes=5)
MOST_ATTEMPTS = 8
LONGEST_WAIT = WAIT * (2 ** (MOST_ATTEMPTS - 1) - 1)
"""Before the last attempt. It is sent again by the next check, and then after 5, 15, 35 minutes, and so on to this."""

MOST_AT_ONCE = 20
"""Messages that one check sends again to one channel: of too many within a minute a chat refuses the rest anew."""


class Refusal(Value):
    """A message that was not taken: `id` tells it from all others, `event_id` is what it was to tell of."""

    id: UUID
    channel: Channel
    event_id: UUID
    at: datetime

    @property
    def next_id(self) -> UUID:
        """The id of the event by which it is sent again: always the same, so that it is left once."""
        return uuid5(self.id, "again")


def is_due(attempts: int, refused_at: datetime, now: datetime) -> bool:
    """Say whether a message that was sent again so many times, and last refused then, is to be sent once more."""
    return attempts < MOST_ATTEMPTS and now - refused_at >= WAIT * (2**attempts - 1)


def send_again(engine: Engine, refusals: Sequence[Refusal]) -> int:
    """Leave an event for each refused message that is due, for its channel alone; return how many messages that are.

    What is no longer so is not said: neither an alert that is over, nor the end of one that began anew. Where there are
    more than a channel takes at once, the oldest go first, and the others stay due. It may be repeated with the same
    refusals.
    """
    with Session(engine) as session, session.begin():
        now = read_clock(session)
        said = outbox.latest_of_resource(session, [each.event_id for each in refusals], (OPENED, CLOSED))
        was_sent = outbox.which_exist(session, [each.next_id for each in refusals])
        waiting = [each for each in refusals if each.next_id not in was_sent]
        again: dict[Channel, list[dict[str, Any]]] = defaultdict(list)
        for refusal in sorted(waiting, key=lambda each: each.at):
            event = said.get(refusal.event_id)
            attempts: int = event.payload.get("attempts", 0) if event else MOST_ATTEMPTS
            if event and is_due(attempts, refusal.at, now):
                name = OPENED if event.name.startswith(OPENED) else CLOSED
                again[refusal.channel].append(
                    {
                        "id": refusal.next_id,
                        "name": by_one_channel(name, refusal.channel),
                        "resource": event.resource,
                        "payload": event.payload | {"attempts": attempts + 1},
                    }
                )
        return outbox.leave(session, [event for events in again.values() for event in events[:MOST_AT_ONCE]])
