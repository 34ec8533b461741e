"""Sending each channel the messages that it has not taken yet, with a receipt for each that it takes."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts import queries
from sivera.alerts.conditions import Kind, cut, plain
from sivera.alerts.options import Channel
from sivera.clock import read_clock
from sivera.grants.queries import find_credential
from sivera.models import Alert
from sivera.values import PlatformName, Value

MAX_MESSAGE = 2_000
"""What Discord takes in all. No other chat takes less; see `blocks.apprise_url` for what is no chat."""

MAX_TITLE = 250

MAX_LINK = 1_200
"""A link that has a longer name of a team is left out, so that the message still has room for the remedy."""

REPEAT = timedelta(days=1)
"""After so long an alert that is still open is repeated, so that nobody forgets it."""

MOST_AT_ONCE = 20
"""Messages that a channel takes in one check: a chat refuses more within a minute. Those that it refuses do not count,
because else the same ones, refused again and again, would keep all others waiting."""

MOST_SECONDS = 30.0
"""How long one check tries one channel: a service that does not answer must not keep the others waiting."""

FIXED_BY_TEAM = (Kind.REAUTHORIZATION_REQUIRED, Kind.ACCESS_ENDS)
"""Kinds that are over once the team's user connects the grant again."""

LinkOf = Callable[[PlatformName, str, str, datetime], str]
"""Makes a link with which a grant is connected again, from its platform, team and name, and the database's time."""

Send = Callable[[str, str], bool]
"""Sends a title and a body by a channel, and says whether the service took them."""


class Message(NamedTuple):
    """A message that a channel has not taken yet."""

    alert_id: int
    is_over: bool
    title: str
    body: str


class Sent(Value):
    """What became of a channel's messages in one check."""

    taken: int = 0
    refused: int = 0


def send_messages(
    engine: Engine, channels: Mapping[Channel, Send], link_of: LinkOf | None = None
) -> dict[Channel, Sent]:
    """Send each channel what it has not taken yet. What it refuses is sent again by the next check.

    Each receipt is a transaction of its own: a process that dies repeats one message at most. With `link_of`, the
    message about a grant has a link with which the team's user connects it again. It is made anew for each message, and
    is stored nowhere.
    """
    return {channel: _send_by(engine, channel, send, link_of) for channel, send in channels.items()}


def _send_by(engine: Engine, channel: Channel, send: Send, link_of: LinkOf | None) -> Sent:
    with Session(engine) as session:
        waiting = messages_of(session, channel, link_of)
    until, taken, refused = time.monotonic() + MOST_SECONDS, 0, 0
    for message in waiting:
        if taken == MOST_AT_ONCE or time.monotonic() >= until:
            break
        if not send(message.title, message.body):
            refused += 1
            continue
        taken += 1
        with Session(engine) as session, session.begin():
            queries.write_receipt(session, message.alert_id, channel, is_over=message.is_over)
    return Sent(taken=taken, refused=refused)


def messages_of(session: Session, channel: Channel, link_of: LinkOf | None = None) -> list[Message]:
    """Return the messages that a channel has not taken yet."""
    now = read_clock(session)
    found = (
        message_of(alert, channel, now, _team_link(session, alert, now, link_of))
        for alert in queries.alerts_to_send(session, now)
    )
    return [message for message in found if message]


def _team_link(session: Session, alert: Alert, now: datetime, link_of: LinkOf | None) -> str:
    is_one_grant = alert.kind in FIXED_BY_TEAM and alert.subject.isdigit() and not alert.closed_at
    if link_of is None or not is_one_grant or (found := find_credential(session, int(alert.subject))) is None:
        return ""
    grant, team = found
    return link_of(PlatformName(grant.platform), team, grant.name, now)


def message_of(alert: Alert, channel: Channel, now: datetime, team_link: str = "") -> Message | None:
    """Return what a channel has yet to be sent of an alert, if anything.

    An alert is sent when it opens, when its level rises, and once a day while it is open; a budget is not repeated,
    because it stays spent until its period ends. Its end is sent to a channel that took its beginning.
    """
    receipt = alert.open_receipts.get(channel)
    taken = datetime.fromisoformat(receipt) if receipt else None
    began = f"{alert.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if alert.closed_at:
        if taken is None or channel in alert.close_receipts:
            return None
        return _message(alert, "Over", f"It began at {began}, and is over. {alert.closed_because or ''}".rstrip())
    # Times ahead of the clock count neither as news nor as a message that is recent.
    is_news = taken is None or taken < alert.raised_at <= now
    if is_news or (alert.kind != Kind.BUDGET and taken and not timedelta() <= now - taken < REPEAT):
        return _message(alert, "Alert" if is_news else "Still", f"{alert.message}\nSince {began}.", team_link)
    return None


def _message(alert: Alert, start: str, text: str, team_link: str = "") -> Message:
    title = cut(plain(f"{start}: {alert.title}"), MAX_TITLE)
    link = f"\n{alert.link}" if alert.link else ""
    if 0 < len(team_link) <= MAX_LINK:
        link = f"\nThe team's user connects it again here, within 24 hours: {team_link}{link}"
    # Two characters stand between title and body.
    body = cut(plain(text), MAX_MESSAGE - len(title.encode("utf-16-le")) // 2 - len(link) - 2) + link
    return Message(alert.id, alert.closed_at is not None, title, body)
