"""The events by which alerts leave: their names, and what they say."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sivera.alerts.options import Channel

OPENED, CLOSED = "sivera.alert.opened", "sivera.alert.closed"


def by_one_channel(name: str, channel: Channel) -> str:
    """Return the name of an event that is the same, but that only one channel sends."""
    return f"{name}.{channel.value}"


def alert_event(
    name: str,
    *,
    kind: str,
    subject: str,
    title: str,
    message: str,
    since: datetime,
    link: str,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the outbox keeps of an event; what `more` says goes before all else in the payload."""
    payload = {
        "kind": kind,
        "subject": subject,
        "title": title,
        "message": message,
        "since": since.astimezone(UTC).isoformat(timespec="seconds"),
        "link": link,
    }
    return {"name": name, "resource": f"sivera.alert.{kind}.{subject}", "payload": payload | dict(more or {})}
