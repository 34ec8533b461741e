"""Sending each channel the messages that it has not accepted yet, with a receipt for each one that it accepts."""

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
"""Discord's limit, the lowest of all chats. See `blocks.apprise_url` for services with a lower one."""

MAX_TITLE = 250

MAX_LINK = 1_200
"""A longer link (its team has a long name) is left out, because the message needs room for the remedy."""

REPEAT = timedelta(days=1)
"""An alert that is still open is repeated after this time, as a reminder."""

MOST_AT_ONCE = 20
"""How many messages a channel accepts in one check; chats refuse more within a minute. Refused ones do not count,
otherwise the same few would block the rest."""

MOST_SECONDS = 30.0
"""How long one check tries one channel. A service that does not answer must not hold up the others."""

FIXED_BY_TEAM = (Kind.REAUTHORIZATION_REQUIRED, Kind.ACCESS_ENDS)
"""Kinds that end when a user of the team connects the grant again."""

LinkOf = Callable[[PlatformName, str, str, datetime], str]
"""Makes a link that reconnects a grant, from its platform, team and name and the database's time."""

Send = Callable[[str, str], bool]
"""Sends a title and a body, and returns whether the service accepted them."""


class Message(NamedTuple):
    """A message that a channel has not accepted yet."""

    alert_id: int
    is_over: bool
    title: str
    body: str


class Sent(Value):
    """How many messages a channel accepted and refused in one check."""

    accepted: int = 0
    refused: int = 0


def send_messages(
    engine: Engine, channels: Mapping[Channel, Send], link_of: LinkOf | None = None
) -> dict[Channel, Sent]:
    """Send each channel the messages that it has not accepted yet. The next check repeats what a channel refuses.

    Each receipt has its own transaction, so a crash repeats at most one message. With `link_of`, a message about a
    grant contains a link that reconnects it. Each message has a new link, which is not stored.
    """
    return {channel: _send_by(engine, channel, send, link_of) for channel, send in channels.items()}


def _send_by(engine: Engine, channel: Channel, send: Send, link_of: LinkOf | None) -> Sent:
    with Session(engine) as session:
        waiting = messages_of(session, channel, link_of)
    until, accepted, refused = time.monotonic() + MOST_SECONDS, 0, 0
    for message in waiting:
        if accepted == MOST_AT_ONCE or time.monotonic() >= until:
            break
        if not send(message.title, message.body):
            refused += 1
            continue
        accepted += 1
        with Session(engine) as session, session.begin():
            queries.write_receipt(session, message.alert_id, channel, is_over=message.is_over)
    return Sent(accepted=accepted, refused=refused)


def messages_of(session: Session, channel: Channel, link_of: LinkOf | None = None) -> list[Message]:
    """Return the messages that a channel has not accepted yet."""
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
    """Return the message that a channel still lacks about an alert, if any.

    An alert is sent when it opens, when its level rises, and once a day while it is open. Alerts on budgets are not
    repeated, because a budget stays spent until its period ends. The end of an alert goes to the channels that accepted
    its beginning.
    """
    receipt = alert.open_receipts.get(channel)
    accepted = datetime.fromisoformat(receipt) if receipt else None
    began = f"{alert.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if alert.closed_at:
        if accepted is None or channel in alert.close_receipts:
            return None
        return _message(alert, "Over", f"It began at {began}, and is over. {alert.closed_because or ''}".rstrip())
    # A time ahead of the clock is neither news nor a recent message.
    is_news = accepted is None or accepted < alert.raised_at <= now
    if is_news or (alert.kind != Kind.BUDGET and accepted and not timedelta() <= now - accepted < REPEAT):
        return _message(alert, "Alert" if is_news else "Still", f"{alert.message}\nSince {began}.", team_link)
    return None


def _message(alert: Alert, start: str, text: str, team_link: str = "") -> Message:
    title = cut(plain(f"{start}: {alert.title}"), MAX_TITLE)
    link = f"\n{alert.link}" if alert.link else ""
    if 0 < len(team_link) <= MAX_LINK:
        link = f"\nA user of the team can connect it again here, within 24 hours: {team_link}{link}"
    # Services put two characters between title and body.
    body = cut(plain(text), MAX_MESSAGE - len(title.encode("utf-16-le")) // 2 - len(link) - 2) + link
    return Message(alert.id, alert.closed_at is not None, title, body)
