"""A receiver on the loopback that stands for Slack, for Discord and for any webhook.

Slack's and Discord's addresses are fixed, so the sender gets this as its HTTPS proxy, and a certificate under their
names. That way the blocks are tested as they are, down to the bytes.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.own_postgres import make_certificate
from tests.receiver import Received, Receiver, receiving

SLACK, DISCORD = "hooks.slack.com", "discord.com"


@dataclass(frozen=True)
class Message:
    """What was posted: to which service, at which path, and what."""

    host: str
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The words that a person reads there."""
        match self.host:
            case "hooks.slack.com":
                return "\n".join(part for one in self.body["attachments"] for part in (one["title"], one["text"]))
            case "discord.com":
                return str(self.body["content"])
            case _:
                return f"{self.body['title']}\n{self.body['message']}"


@dataclass
class Chats(Receiver):
    """What the services were sent. They answer 200, or what `statuses` says of a service."""

    authority: Path = Path()
    messages: list[Message] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def take(self, request: Received) -> tuple[int, dict[str, str]]:
        """Keep a message."""
        host = request.host or "webhook"
        self.messages.append(Message(host, request.path, json.loads(request.body)))
        return self.statuses.get(host, 200), {}

    def of(self, host: str, start: str = "") -> list[str]:
        """Return the texts that a service was sent, if they begin like this."""
        return [one.text for one in list(self.messages) if one.host == host and one.text.startswith(start)]

    def wait_for(self, host: str, start: str) -> list[str]:
        """Return the same, once there are any."""
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(90), reraise=True):
            with attempt:
                assert self.of(host, start), [one.text for one in self.messages]
        return self.of(host, start)


@contextmanager
def chats(folder: Path) -> Iterator[Chats]:
    """Serve the services, with their keys in a folder."""
    certificate, key = make_certificate(folder, x509.DNSName(SLACK), x509.DNSName(DISCORD))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    services = Chats(tls=context, authority=certificate)
    with receiving(services):
        yield services
