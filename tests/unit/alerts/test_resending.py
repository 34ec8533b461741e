"""Which messages are sent again, and when, in a real PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts.events import CLOSED, OPENED, alert_event
from sivera.alerts.options import Channel
from sivera.alerts.resending import LONGEST_WAIT, MOST_AT_ONCE, MOST_ATTEMPTS, WAIT, Refusal, is_due, send_again
from sivera.models import OutboxEvent

NOW = datetime.now(UTC)


def leave(engine: Engine, name: str, subject: str = "a/all", minutes_ago: int = 30) -> OutboxEvent:
    said = alert_event(name, kind="job-failed", subject=subject, title="t", message="m", since=NOW, link="")
    event = OutboxEvent(id=uuid4(), created_at=NOW - timedelta(minutes=minutes_ago), **said)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.add(event)
    return event


def refused(event: OutboxEvent, channel: Channel = Channel.SLACK, ago: timedelta = timedelta(seconds=1)) -> Refusal:
    return Refusal(id=uuid4(), channel=channel, event_id=event.id, at=NOW - ago)


def outbox(engine: Engine) -> Sequence[OutboxEvent]:
    with Session(engine) as session:
        return session.query(OutboxEvent).order_by(OutboxEvent.created_at).all()


def test_each_channel_that_refused_gets_it_again_and_no_other(engine: Engine) -> None:
    opened, closed = leave(engine, OPENED), leave(engine, CLOSED, subject="b/all")
    found = [refused(opened), refused(opened, Channel.URL), refused(closed)]
    assert send_again(engine, found) == 3
    assert send_again(engine, found) == 0
    assert send_again(engine, []) == 0
    again = outbox(engine)[2:]
    assert sorted((row.name, row.resource) for row in again) == [
        ("sivera.alert.closed.slack", closed.resource),
        ("sivera.alert.opened.slack", opened.resource),
        ("sivera.alert.opened.url", opened.resource),
    ]
    assert [row.published_at for row in again] == [None] * 3
    assert {row.payload["attempts"] for row in again} == {1}
    assert {row.payload["title"] for row in again} == {"t"}


def test_only_what_is_still_so_is_said_again(engine: Engine) -> None:
    opened = leave(engine, OPENED, minutes_ago=30)
    closed = leave(engine, CLOSED, minutes_ago=20)
    leave(engine, OPENED, subject="b/all", minutes_ago=10)
    assert send_again(engine, [refused(opened)]) == 0
    assert send_again(engine, [refused(closed)]) == 1
    # Not among those that were left here, as the one of a test of the channels.
    assert send_again(engine, [Refusal(id=uuid4(), channel=Channel.URL, event_id=uuid4(), at=NOW)]) == 0


def test_what_is_refused_again_waits_longer_each_time_and_not_for_ever(engine: Engine) -> None:
    event = leave(engine, OPENED)
    waits = []
    while send_again(engine, [refused(event, ago=LONGEST_WAIT)]):
        event = outbox(engine)[-1]
        waits.append(event.payload["attempts"])
        assert len(waits) < 20
    assert waits == list(range(1, MOST_ATTEMPTS + 1))


def test_a_chat_gets_so_many_at_once_the_oldest_first_and_the_others_later(engine: Engine) -> None:
    events = [leave(engine, OPENED, subject=f"{number}/all") for number in range(MOST_AT_ONCE + 5)]
    # Not in the order of their times, as the server tells them.
    found = [
        refused(event, channel, ago=timedelta(minutes=number))
        for number, event in enumerate(events)
        for channel in (Channel.SLACK, Channel.URL)
    ]
    assert send_again(engine, found) == 2 * MOST_AT_ONCE
    first = {(row.resource, row.name) for row in outbox(engine)[len(events) :]}
    assert {resource for resource, _ in first} == {event.resource for event in events[5:]}
    assert send_again(engine, found) == 2 * 5
    again = outbox(engine)[len(events) :]
    assert {row.resource for row in again} == {event.resource for event in events}
    assert {row.payload["attempts"] for row in again} == {1}, "to be passed over is no attempt"
    assert send_again(engine, found) == 0


@pytest.mark.parametrize(
    ("attempts", "ago", "due"),
    [
        (0, timedelta(), True),
        (1, WAIT - timedelta(seconds=1), False),
        (1, WAIT, True),
        (2, 2 * WAIT, False),
        (2, 3 * WAIT, True),
        (MOST_ATTEMPTS - 1, LONGEST_WAIT, True),
        (MOST_ATTEMPTS, timedelta(days=1), False),
    ],
)
def test_when_it_is_due(attempts: int, ago: timedelta, due: bool) -> None:
    assert is_due(attempts, NOW - ago, NOW) is due
